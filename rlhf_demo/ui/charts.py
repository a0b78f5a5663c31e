"""Which metrics each board draws, and in which colour. Pure data: the page's JavaScript draws it.

Labels, units and meanings come from the glossary in metrics.py.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rlhf_demo.metrics import GLOSSARY


def _spec(
    title: str,
    subtitle: str,
    *series: tuple[str, str],
    drawn: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    **how: Any,
) -> dict[str, Any]:
    first = GLOSSARY[series[0][0]]
    return {
        "key": series[0][0],
        "title": title,
        "subtitle": subtitle,
        "meaning": f"{first.label}: {first.meaning}"
        + (f"; {first.healthy}" if first.healthy else ""),
        "unit": "" if first.unit in ("-", "0..1", "up to 1") else first.unit,
        "series": [
            {"key": key, "color": color, "name": GLOSSARY[key].label, **drawn.get(key, {})}
            for key, color in series
        ],
        **how,
    }


def _small(title: str, key: str, **how: Any) -> dict[str, Any]:
    return _spec(title, GLOSSARY[key].meaning, (key, "soft"), **how)


PPO: dict[str, Any] = {
    "kind": "ppo",
    "charts": [
        _spec("Score", "mean of the step's responses, by the reward", ("objective/score", "score")),
        _spec(
            "KL from the base", "nats per response; how far the policy has moved",
            ("objective/kl", "kl"), fromZero=True,
        ),
    ],
    "small": [
        _small("KL coefficient", "objective/kl_coef", unit=""),
        _small("Entropy", "policy/entropy", unit="nats"),
        _small("Clipped", "policy/clip_fraction", percent=True),
        _small("Length", "response/length", digits=1),
        _small("Value explains", "value/explained_variance", percent=True),
    ],
    "folded": [
        _spec("Policy loss", "clipped surrogate", ("policy/loss", "soft")),
        _spec("Value loss", "reward units squared", ("value/loss", "soft")),
        _spec("Update size", "nats per token", ("policy/approx_kl", "soft")),
        _spec("Distinct-2", "share of different token pairs", ("objective/distinct_2", "soft")),
        _spec("Ended by itself", "share of the responses", ("response/eos_rate", "soft")),
        _spec("Step time", "seconds", ("time/step_seconds", "soft")),
    ],
}  # fmt: skip

FAINT = {key: {"faint": True, "smooth": 10} for key in ("reward/loss", "reward/accuracy")}
"""A training step sees eight pairs, the last one fewer: its figures jump, so they stay in the
background, and are drawn as means.
"""

REWARD: dict[str, Any] = {
    "kind": "reward",
    "charts": [
        _spec(
            "Loss", "nats per pair; a coin has 0.69; grey: training, mean of 10 steps",
            ("heldout/loss", "score"), ("reward/loss", "soft"), drawn=FAINT,
        ),
        _spec(
            "Accuracy", "share of pairs in the rater's order; grey: training, mean of 10 steps",
            ("heldout/accuracy", "score"), ("reward/accuracy", "soft"), yFormat=".0%", drawn=FAINT,
        ),
        _spec(
            "Margin", "score of preferred less rejected, mean of 10 steps",
            ("reward/margin", "score"), drawn={"reward/margin": {"smooth": 10}},
        ),
    ],
    "small": [],
    "folded": [],
}  # fmt: skip


def keys(board: dict[str, Any]) -> list[str]:
    """Return the metrics that a board draws, `step` first."""
    specs = [*board["charts"], *board["small"], *board["folded"]]
    return ["step", *dict.fromkeys(one["key"] for spec in specs for one in spec["series"])]
