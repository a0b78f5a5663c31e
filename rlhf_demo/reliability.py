"""How far a reward model can be relied on: what it gets right on pairs it has not seen.

Works on margins (score of the chosen response minus score of the rejected one) and texts; knows
nothing of models. Margins are in the units of training, where sigmoid(margin) is the probability
that the rater prefers the first response (Bradley and Terry 1952; Stiennon et al. 2020,
https://arxiv.org/abs/2009.01325, section 3.4).
"""

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

from rlhf_demo.intervals import cluster_interval
from rlhf_demo.preferences import Pairs

BIN_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WORST_SHOWN = 10
"""How many of the most mistaken pairs are kept in the report."""


def rightness(margin: float) -> float:
    """Return 1 for a pair in the rater's order, 0 for the reverse, and a half for a tie."""
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def held_out_report(pairs: Pairs, margins: Sequence[float]) -> dict[str, Any]:
    """Say how often and how surely the reward model agrees with the rater on held-out pairs.

    Args:
        pairs: the held-out pairs, at least one.
        margins: for each pair score(chosen) - score(rejected), in the units of training.

    Returns:
        JSON-ready values. Shares are 0 to 1, `loss` is in nats per pair, ties count half
        everywhere. Several people's votes on the same two texts are several pairs here; the
        interval takes them for one.
    """
    right = [rightness(margin) for margin in margins]
    longer = [rightness(len(c) - len(r)) for c, r in zip(pairs.chosen, pairs.rejected, strict=True)]
    low, high = cluster_interval(right, same_pair(pairs))
    return {
        "accuracy": mean(right),
        "accuracy_low": low,
        "accuracy_high": high,
        "pairs": len(right),
        "loss": mean([pair_loss(margin) for margin in margins]),
        "baseline_longer": mean(longer),
        "reliability": reliability_table(margins),
        "margin_quartiles": [] if pairs.margins is None else quartile_table(pairs.margins, right),
        "most_wrong": [
            {
                "prompt": pairs.prompts[index],
                "chosen": pairs.chosen[index],
                "rejected": pairs.rejected[index],
                "margin": margins[index],
            }
            for index in sorted(range(len(margins)), key=lambda index: margins[index])[:WORST_SHOWN]
            if margins[index] < 0
        ],
    }


def same_pair(pairs: Pairs) -> list[Hashable]:
    """Return for each row what it shares with other votes on its pair: prompt and both texts."""
    rows = zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True)
    return [(prompt, frozenset(texts)) for prompt, *texts in rows]


def pair_loss(margin: float) -> float:
    """Return -log sigmoid(margin): the Bradley-Terry loss of one pair, nats."""
    # For a large negative margin exp(-margin) overflows; there the loss is -margin itself.
    return math.log1p(math.exp(-margin)) if margin > 0 else math.log1p(math.exp(margin)) - margin


def reliability_table(margins: Sequence[float]) -> list[dict[str, float]]:
    """Compare what the model says with how often it is right, by how sure it is.

    In the data the chosen response always comes first; had the two come in random order, the model
    would give its favourite sigmoid(|margin|) >= 0.5. So that is what it predicts, and what is
    observed is how often the rater had the same favourite.

    Returns:
        One row for each bin that holds pairs: `low`, `high`, `predicted` and `observed` (means),
            `pairs`.
    """
    rows = []
    sure = [1 / (1 + math.exp(-abs(margin))) for margin in margins]
    for low, high in pairwise(BIN_EDGES):
        inside = [i for i, p in enumerate(sure) if low <= p < high or p == high == 1.0]
        if inside:
            rows.append(
                {
                    "low": low,
                    "high": high,
                    "predicted": mean([sure[i] for i in inside]),
                    "observed": mean([rightness(margins[i]) for i in inside]),
                    "pairs": len(inside),
                }
            )
    return rows


def quartile_table(
    rater_margins: Sequence[float], right: Sequence[float]
) -> list[dict[str, float]]:
    """Return the accuracy where the rater was least sure, up to where it was most sure.

    Returns:
        Four rows (fewer for under four pairs): `low`, `high` (the rater's margins), `accuracy`,
        `pairs`.
    """
    order = sorted(range(len(right)), key=lambda index: abs(rater_margins[index]))
    rows = []
    for quarter in range(4):
        inside = order[len(order) * quarter // 4 : len(order) * (quarter + 1) // 4]
        if inside:
            rows.append(
                {
                    "low": abs(rater_margins[inside[0]]),
                    "high": abs(rater_margins[inside[-1]]),
                    "accuracy": mean([right[index] for index in inside]),
                    "pairs": len(inside),
                }
            )
    return rows


def format_report(report: dict[str, Any]) -> str:
    """Return the report as a short text for the terminal."""
    lines = [
        f"Held-out report: {report['pairs']:,} pairs that were not trained on",
        "",
        f"  reward model        {report['accuracy']:.3f}  "
        f"(95% interval {report['accuracy_low']:.3f} to {report['accuracy_high']:.3f})",
        f"  the longer one wins {report['baseline_longer']:.3f}",
        "  tossing a coin      0.500",
        f"  loss                {report['loss']:.3f}  nats per pair (a coin: 0.693)",
        "",
        "  how sure it is   it says  it is right   pairs",
    ]
    lines += [
        f"    {row['low']:.1f} to {row['high']:.1f}      {row['predicted']:.2f}"
        f"         {row['observed']:.2f}  {row['pairs']:6,}"
        for row in report["reliability"]
    ]
    if report["margin_quartiles"]:
        lines += ["", "  rater's margin   accuracy   pairs"]
        lines += [
            f"    {row['low']:4.2f} to {row['high']:4.2f}"
            f"      {row['accuracy']:.2f}  {row['pairs']:6,}"
            for row in report["margin_quartiles"]
        ]
    if report["most_wrong"]:
        worst = report["most_wrong"][0]
        lines += [
            "",
            f"  most wrong (margin {worst['margin']:.2f}; "
            f"the worst {len(report['most_wrong'])} are in report.json):",
            f"    prompt    {_short(worst['prompt'])}",
            f"    preferred {_short(worst['chosen'])}",
            f"    rejected  {_short(worst['rejected'])}",
        ]
    if report.get("dropped") or report.get("cut"):
        dropped = [f"{count} {reason}" for reason, count in report["dropped"].items()]
        lines += ["", f"  rows dropped: {', '.join(dropped) or 'none'}; texts cut: {report['cut']}"]
    return "\n".join(lines)


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one number."""
    return sum(values) / len(values)


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else "..." + text[-most + 3 :]
