"""Which metrics each board draws, and in which colour. Pure data, drawn by the page's JavaScript.

Labels, units and meanings come from the glossary in metrics.py.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypedDict, Unpack

from rlhf_demo.config.stages import STAGES
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.server.payloads import Line


class SeriesOptions(TypedDict, total=False):
    """How a curve is drawn, if not in the default way."""

    name: str
    spread_key: str  # metric with the standard error
    hover: str  # Plotly's template
    mode: str
    size: int  # of a marker, pixels
    faint: bool
    smooth: int  # steps over which it is averaged


class Series(SeriesOptions):
    """A curve of a chart."""

    key: str  # metric
    color: str


class ChartOptions(TypedDict, total=False):
    """How a chart is drawn, if not in the default way."""

    unit: str
    fromZero: bool
    percent: bool
    digits: int
    x: str  # metric on the horizontal axis; default: the step
    xTitle: str
    xFormat: str
    yFormat: str
    yRange: tuple[float, float]
    hovermode: str
    empty: str  # a sentence for a chart without points
    key_shown: bool  # names and colours of the curves, under the title
    only: str  # the kind of run that has it; default: all whose rows have its metrics
    lines: list[Line]


class Chart(ChartOptions):
    """One chart of a board."""

    key: str  # its first metric
    title: str
    subtitle: str
    meaning: str
    series: list[Series]


class BoardCharts(TypedDict):
    """The charts of a board, by part."""

    kind: str
    charts: list[Chart]
    small: list[Chart]
    folded: list[Chart]
    inside: list[Chart]


class Overlaid(TypedDict, total=False):
    """How the curves of two runs are drawn in one chart."""

    key: str  # metric
    title: str
    subtitle: str
    color: str
    mode: str
    fromZero: bool
    yFormat: str
    lines: list[Line]


class StageCharts(TypedDict):
    """What the page's JavaScript knows of a kind of run."""

    title: str
    tab: str | None
    curves: list[Overlaid]


def _spec(
    title: str,
    subtitle: str,
    *series: tuple[str, str],
    drawn: Mapping[str, SeriesOptions] = MappingProxyType({}),
    **options: Unpack[ChartOptions],
) -> Chart:
    first = GLOSSARY[series[0][0]]
    return {
        "key": series[0][0],
        "title": title,
        "subtitle": subtitle,
        "meaning": f"{first.label}: {first.meaning}"
        + (f". In a healthy run: {first.healthy}" if first.healthy else ""),
        "unit": "" if first.unit in ("-", "0..1", "up to 1") else first.unit,
        "series": [
            {"key": key, "color": color, "name": GLOSSARY[key].label, **drawn.get(key, {})}
            for key, color in series
        ],
        **options,
    }


def _small(title: str, key: str, **options: Unpack[ChartOptions]) -> Chart:
    return _spec(title, GLOSSARY[key].meaning, (key, "soft"), **options)


SCORE: SeriesOptions = {
    "spread_key": "objective/score_se",
    "hover": "%{y:+.2f} \u00b1 %{customdata:.2f}<extra>score</extra>",
}
"""The score is drawn with its standard error."""
GRADIENTS: dict[str, SeriesOptions] = {
    "policy/gradient_norm_policy": {"name": "policy loss", "mode": "lines+markers", "size": 5},
    "policy/gradient_norm_value": {"name": "value loss", "mode": "lines+markers", "size": 5},
    "policy/gradient_norm": {"name": "whole gradient"},
}
"""Only some rows have the parts, so their points are marked."""
STEPS: SeriesOptions = {
    "mode": "markers", "size": 6,
    "hover": "step %{customdata}: %{y:+.2f} at %{x:.2f} nats<extra>%{fullData.name}</extra>",
}  # fmt: skip
JUDGED: dict[str, SeriesOptions] = {
    "objective/score": {"name": "score", "spread_key": "objective/score_se", **STEPS},
    "judge/score": {"name": "judge", "spread_key": "judge/score_se", **STEPS},
}
AGREEMENT: SeriesOptions = {
    "spread_key": "judge/agreement_se",
    "hover": "%{y:.0%} \u00b1 %{customdata:.0%}<extra></extra>",
}
"""The share of pairs in the same order is drawn with its standard error, too."""

IMPLICIT: dict[str, SeriesOptions] = {
    "dpo/chosen": {"name": "chosen text", "smooth": 10},
    "dpo/rejected": {"name": "rejected text", "smooth": 10},
}
"""A step of DPO has eight pairs, so its figures jump: they are drawn as means."""
IMITATION: dict[str, SeriesOptions] = {
    "sft/heldout_loss": {"name": "held-out texts"},
    "sft/loss": {"name": "training texts", "faint": True, "smooth": 10},
}
"""A step of SFT has eight texts."""

PPO: BoardCharts = {
    "kind": "ppo",
    "charts": [
        _spec(
            "Score", "mean of the step's responses; band: \u00b1 1 standard error",
            ("objective/score", "score"), drawn={"objective/score": SCORE},
        ),
        _spec(
            "KL from the base",
            "nats per response, of the policy that wrote the step\u2019s texts",
            ("objective/kl", "kl"), fromZero=True,
        ),
        _spec(
            "Implicit rewards",
            "beta \u00d7 log ratio to the base, mean of 10 steps; both may fall, because the loss "
            "depends only on their difference",
            ("dpo/chosen", "score"), ("dpo/rejected", "warn"), drawn=IMPLICIT, only="dpo",
            key_shown=True,
        ),
        _spec(
            "Loss on texts",
            "nats per token; if the loss on held-out texts rises, the policy is memorising; "
            "grey: training, mean of 10 steps",
            ("sft/heldout_loss", "score"), ("sft/loss", "soft"), drawn=IMITATION, only="sft",
            key_shown=True,
        ),
    ],
    "small": [
        _small("Accuracy on pairs", "dpo/accuracy", percent=True, only="dpo"),
        _small("Token accuracy", "sft/accuracy", percent=True, only="sft"),
        _small("KL coefficient", "objective/kl_coef", unit=""),
        _small("Entropy", "policy/entropy", unit="nats"),
        _small("Stopped by the clip", "policy/clip_fraction", percent=True),
        _small("Length", "response/length", digits=1),
        _small("Value\u2019s fit (R\u00b2)", "value/explained_variance"),
    ],
    "folded": [
        _spec(
            "DPO loss", "nats per pair; 0.69 is a coin flip; mean of 10 steps",
            ("dpo/loss", "soft"), drawn={"dpo/loss": {"smooth": 10}}, only="dpo",
        ),
        _spec("Policy loss", "clipped surrogate; it need not fall", ("policy/loss", "soft")),
        _spec(
            "KL in the loss", "nats per token, estimated by k3", ("policy/kl_k3", "kl"),
            fromZero=True,
        ),
        _spec(
            "Value loss", "squared standard deviations; it need not fall", ("value/loss", "soft")
        ),
        _spec(
            "KL of the step", "nats per token; from the policy before the step to the one after",
            ("policy/update_kl", "soft"), fromZero=True,
        ),
        _spec(
            "Distinct-2", "share of distinct token pairs; each step counts equally many",
            ("objective/distinct_2", "soft"),
        ),
        _spec(
            "Ended by itself", "share of the responses", ("response/eos_rate", "soft"),
            yFormat=".0%", yRange=(0, 1.05),
        ),
        _spec("Step time", "seconds", ("time/step_seconds", "soft")),
    ],
    "inside": [
        _spec(
            "Score and judge by KL",
            "mean of each step, against its KL from the base; bars: \u00b1 1 standard error",
            ("objective/score", "score"), ("judge/score", "warn"), drawn=JUDGED,
            x="objective/kl", xTitle="KL from the base, nats per response", xFormat=".3~g",
            hovermode="closest",
        ),
        _spec(
            "Do reward and judge agree?",
            "share of pairs that both put in the same order; band: \u00b1 1 standard error",
            ("judge/agreement", "warn"), drawn={"judge/agreement": AGREEMENT}, yFormat=".0%",
            empty="this run has no judge",
            lines=[{"y": 0.5, "label": "chance", "dash": "dot", "color": "soft"}],
        ),
        _spec(
            "Gradient norm", "mean norm of the step's gradients, before they are scaled down",
            ("policy/gradient_norm", "soft"), ("policy/gradient_norm_policy", "ppo"),
            ("policy/gradient_norm_value", "score"), drawn=GRADIENTS, fromZero=True,
        ),
        _spec(
            "Gradients scaled down",
            "share of the step's updates whose gradient was longer than the limit",
            ("policy/gradient_cut", "soft"), yFormat=".0%", fromZero=True,
        ),
    ],
}  # fmt: skip

BoardPart = Literal["charts", "small", "folded", "inside"]
PARTS_OF_BOARD: tuple[BoardPart, ...] = ("charts", "small", "folded", "inside")

FAINT: dict[str, SeriesOptions] = {
    key: {"faint": True, "smooth": 10} for key in ("reward/loss", "reward/accuracy")
}
"""A training step has eight pairs or fewer, so its figures jump: they are drawn faint, as means."""

REWARD: BoardCharts = {
    "kind": "reward",
    "charts": [
        _spec(
            "Loss", "nats per pair; 0.69 is a coin flip; grey: training, mean of 10 steps",
            ("heldout/loss", "score"), ("reward/loss", "soft"), drawn=FAINT,
        ),
        _spec(
            "Accuracy",
            "share of pairs ordered as their labels say; grey: training, mean of 10 steps",
            ("heldout/accuracy", "score"), ("reward/accuracy", "soft"), yFormat=".0%", drawn=FAINT,
        ),
        _spec(
            "Margin",
            "log-odds of the preferred text: 0 is a coin flip, 2 is 88%; mean of 10 steps",
            ("reward/margin", "score"), drawn={"reward/margin": {"smooth": 10}},
        ),
    ],
    "small": [],
    "folded": [],
    "inside": [],
}  # fmt: skip


def keys(board: BoardCharts) -> list[str]:
    """Return the metrics that a board draws, `step` first."""
    specs = [spec for part in PARTS_OF_BOARD for spec in board[part]]
    series = [one for spec in specs for one in spec["series"]]
    spreads = [one["spread_key"] for one in series if "spread_key" in one]
    return ["step", *dict.fromkeys([one["key"] for one in series] + spreads)]


OVERLAID: dict[str, Overlaid] = {
    "objective/score": {
        "title": "Score",
        "subtitle": (
            "mean of the step\u2019s responses, in standard deviations of the base\u2019s scores"
        ),
    },
    "objective/kl": {
        "title": "KL from the base",
        "subtitle": "nats per response, over the steps",
        "color": "kl",
        "fromZero": True,
    },
    "heldout/loss": {
        "title": "Held-out loss",
        "subtitle": "nats per pair, over the steps; 0.69 is a coin flip",
        "mode": "lines+markers",
        "lines": [{"y": 0.693, "label": "coin flip", "dash": "dot", "color": "soft"}],
    },
    "heldout/accuracy": {
        "title": "Held-out accuracy",
        "subtitle": "share of pairs ordered as their labels say, over the steps",
        "mode": "lines+markers",
        "yFormat": ".0%",
        "lines": [{"y": 0.5, "label": "coin flip", "dash": "dot", "color": "soft"}],
    },
}
"""How a metric is drawn in overlaid curves, if not in the default way."""


def stages() -> dict[str, StageCharts]:
    """Return title, tab and curves to compare for each kind of run."""
    return {
        stage.kind: {
            "title": stage.title,
            "tab": stage.tab,
            "curves": [_overlaid(key) for key in stage.headline],
        }
        for stage in STAGES.values()
    }


def _overlaid(key: str) -> Overlaid:
    metric = GLOSSARY[key]
    return {
        "key": key,
        "title": metric.label.capitalize(),
        "subtitle": f"{metric.unit}, over the steps",
        "color": "score",
        **OVERLAID.get(key, {}),
    }
