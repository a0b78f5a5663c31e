"""How far a reward model can be relied on: what it gets right on pairs it has not seen.

Works on margins (score of the chosen response minus score of the rejected one) and texts; knows
nothing of models. Margins come in as logits, the units of training, where sigmoid(margin) is the
probability that the rater prefers the first response (Bradley and Terry 1952; Stiennon et al. 2020,
https://arxiv.org/abs/2009.01325, section 3.4). Shown are margins of the saved model, whose scores
are divided by their deviation on the base's texts: `score_std` times as small.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from rlhf_demo.data.pairs import Pairs
from rlhf_demo.files import read_json
from rlhf_demo.intervals import cluster_interval, watched_interval

BIN_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WORST_SHOWN = 10
"""How many of the most mistaken pairs are kept in the report."""
FEWEST_FOR_TABLES = 30
"""Different held-out pairs below which tables by sureness would show noise."""


def rightness(margin: float) -> float:
    """Return 1 for a pair in the rater's order, 0 for the reverse, and a half for a tie."""
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def held_out_report(pairs: Pairs, margins: Sequence[float], score_std: float) -> dict[str, Any]:
    """Say how often and how surely the reward model agrees with the rater on held-out pairs.

    Args:
        pairs: the held-out pairs, at least one.
        margins: for each pair score(chosen) - score(rejected), logits.
        score_std: logits that the saved model calls a score of 1.

    Returns:
        JSON-ready values. Shares are 0 to 1, `loss` is in nats per pair, ties count half
        everywhere. Several people's votes on the same two texts are several `pairs` here, but one
        of the `different_pairs` and one for every interval. `accuracy_low` and `accuracy_high` are
        for one look; the wider `watched_low` and `watched_high` are for whoever looks at model
        after model while votes come in. `stated` is how sure the model is on average, the `margin`
        of the most wrong pairs in units of the saved model's score. The
        tables are empty where there are too few pairs. The baseline is the better of "always the
        longer one" and "always the shorter one"; which that is, is looked up on these very pairs,
        in its favour.
    """
    right = [rightness(margin) for margin in margins]
    longer = fmean(
        [rightness(len(c) - len(r)) for c, r in zip(pairs.chosen, pairs.rejected, strict=True)]
    )
    groups = same_pair(pairs)
    enough = len(set(groups)) >= FEWEST_FOR_TABLES
    low, high = cluster_interval(right, groups)
    watched_low, watched_high = watched_interval(right, groups)
    return {
        "accuracy": fmean(right),
        "accuracy_low": low,
        "accuracy_high": high,
        "watched_low": watched_low,
        "watched_high": watched_high,
        "pairs": len(right),
        "different_pairs": len(set(groups)),
        "loss": fmean([pair_loss(margin) for margin in margins]),
        "baseline_length": max(longer, 1 - longer),
        "baseline_side": "longer" if longer >= 0.5 else "shorter",
        "stated": fmean([sureness(margin) for margin in margins]),
        "score_std": score_std,
        "reliability": reliability_table(margins, groups) if enough else [],
        "margin_quartiles": (
            quartile_table(pairs.margins, right, groups) if enough and pairs.margins else []
        ),
        "most_wrong": [
            {
                "prompt": pairs.prompts[index],
                "chosen": pairs.chosen[index],
                "rejected": pairs.rejected[index],
                "margin": margins[index] / score_std,
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


def sureness(margin: float) -> float:
    """Return the probability that the model gives its own favourite, 0.5 to 1.

    In the data the chosen response always comes first; had the two come in random order, the model
    would give its favourite sigmoid(|margin|).
    """
    return 1 / (1 + math.exp(-abs(margin)))


def reliability_table(
    margins: Sequence[float], groups: Sequence[Hashable]
) -> list[dict[str, float]]:
    """Compare how sure the model is of its favourite with how often the rater has the same one.

    Args:
        margins: [pairs] logits.
        groups: [pairs] what rows on the same pair share.

    Returns:
        One row for each bin that holds pairs: `low`, `high`, `predicted` and `observed` (means),
            `observed_low` and `observed_high` (95%), `pairs`.
    """
    rows = []
    sure = [sureness(margin) for margin in margins]
    for low, high in pairwise(BIN_EDGES):
        inside = [i for i, p in enumerate(sure) if low <= p < high or p == high == 1.0]
        if inside:
            right = [rightness(margins[i]) for i in inside]
            observed_low, observed_high = cluster_interval(right, [groups[i] for i in inside])
            rows.append(
                {
                    "low": low,
                    "high": high,
                    "predicted": fmean([sure[i] for i in inside]),
                    "observed": fmean(right),
                    "observed_low": observed_low,
                    "observed_high": observed_high,
                    "pairs": len(inside),
                }
            )
    return rows


def quartile_table(
    rater_margins: Sequence[float], right: Sequence[float], groups: Sequence[Hashable]
) -> list[dict[str, float]]:
    """Return the accuracy where the rater was least sure, up to where it was most sure.

    Returns:
        Four rows (fewer for under four pairs): `low`, `high` (the rater's margins), `accuracy`,
        `accuracy_low` and `accuracy_high` (95%), `pairs`.
    """
    order = sorted(range(len(right)), key=lambda index: abs(rater_margins[index]))
    rows = []
    for quarter in range(4):
        inside = order[len(order) * quarter // 4 : len(order) * (quarter + 1) // 4]
        if inside:
            found = [right[index] for index in inside]
            low, high = cluster_interval(found, [groups[index] for index in inside])
            rows.append(
                {
                    "low": abs(rater_margins[inside[0]]),
                    "high": abs(rater_margins[inside[-1]]),
                    "accuracy": fmean(found),
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "pairs": len(inside),
                }
            )
    return rows


def preference(difference: float, score_std: float) -> float:
    """Return the probability that a text is preferred whose score is higher by so much."""
    return 1 / (1 + math.exp(-score_std * difference))


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the held-out report of a run, or None where there is none.

    A report from before both baselines were told, whose margins had another unit, counts as none.
    """
    path = folder / "report.json"
    report = read_json(path) if path.is_file() else None
    return report if report and "baseline_side" in report else None


def format_report(report: dict[str, Any]) -> str:
    """Return the report as a short text for the terminal."""
    lines = [
        f"Held-out report: {report['pairs']:,} pairs that were not trained on",
        "",
        f"  reward model         {report['accuracy']:.3f}  "
        f"(95% interval {report['accuracy_low']:.3f} to {report['accuracy_high']:.3f})",
        f"  the {report['baseline_side']:7} one wins {report['baseline_length']:.3f}",
        "  tossing a coin       0.500",
        f"  loss                 {report['loss']:.3f}  nats per pair (a coin: 0.693)",
        "",
        f"  a text that scores 1 higher is preferred with probability "
        f"{preference(1, report['score_std']):.2f} = sigmoid({report['score_std']:.2f} x 1)",
        *_table_lines(report),
        *_worst_lines(report["most_wrong"]),
    ]
    if report.get("dropped") or report.get("cut"):
        dropped = [f"{count} {reason}" for reason, count in report["dropped"].items()]
        lines += ["", f"  rows dropped: {', '.join(dropped) or 'none'}; texts cut: {report['cut']}"]
    return "\n".join(lines)


def _table_lines(report: dict[str, Any]) -> list[str]:
    if not report["reliability"]:
        return ["", "  Too few pairs to tell whether it knows how sure it is."]
    lines = ["", "  how sure it is   it says   it is right (95%)    pairs"]
    lines += [
        f"    {row['low']:.1f} to {row['high']:.1f}      {row['predicted']:.2f}      "
        f"{row['observed']:.2f} ({row['observed_low']:.2f} to {row['observed_high']:.2f})"
        f"  {row['pairs']:6,}"
        for row in report["reliability"]
    ]
    if report["margin_quartiles"]:
        lines += ["", "  rater's margin             accuracy (95%)       pairs"]
    lines += [
        f"    {row['low']:4.2f} to {row['high']:4.2f}             "
        f"{row['accuracy']:.2f} ({row['accuracy_low']:.2f} to {row['accuracy_high']:.2f})"
        f"  {row['pairs']:6,}"
        for row in report["margin_quartiles"]
    ]
    return lines


def _worst_lines(most_wrong: list[dict[str, Any]]) -> list[str]:
    if not most_wrong:
        return []
    worst = most_wrong[0]
    return [
        "",
        f"  most wrong (scores differ by {worst['margin']:.2f}; "
        f"the worst {len(most_wrong)} are in report.json):",
        f"    prompt    {_short(worst['prompt'])}",
        f"    preferred {_short(worst['chosen'])}",
        f"    rejected  {_short(worst['rejected'])}",
    ]


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else "..." + text[-most + 3 :]
