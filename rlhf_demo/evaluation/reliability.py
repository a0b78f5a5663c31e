"""How reliable a reward model is: its accuracy and calibration on pairs that it has not seen.

Works on margins (score of the chosen response minus score of the rejected one) and texts; knows
nothing of models. Margins come in as logits, the units of training, where sigmoid(margin) is the
probability that a voter prefers the first response (Bradley and Terry 1952; Stiennon et al. 2020,
https://arxiv.org/abs/2009.01325, section 3.4). The report gives margins of the saved model, which
are `score_std` times as small, because its scores are divided by their deviation on the base's
texts.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import cast

from rlhf_demo.data.pairs import Pairs
from rlhf_demo.intervals import cluster_interval, watched_interval
from rlhf_demo.runs.reports import (
    QuartileRow,
    ReliabilityRow,
    RewardReport,
    WrongPair,
    read_figures,
)

BIN_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WORST_SHOWN = 10
"""Pairs with the worst margins that the report keeps."""
LETTERS_SHOWN = 5000
"""Letters of each of their texts: ten pairs then stay far below the limit of a report."""
FEWEST_FOR_TABLES = 30
"""With fewer different held-out pairs, the calibration tables would show only noise."""


def rightness(margin: float) -> float:
    """Return 1 if the model prefers the chosen response, 0 if the rejected one, 0.5 for a tie."""
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def held_out_report(pairs: Pairs, margins: Sequence[float], score_std: float) -> RewardReport:
    """Measure how often and how confidently the reward model agrees with the held-out votes.

    Args:
        pairs: the held-out pairs, at least one.
        margins: for each pair score(chosen) - score(rejected), logits.
        score_std: logits per unit of the saved model's score.

    Returns:
        The report, without what only the training knows. The baseline is the better of "always the
        longer one" and "always the shorter one", chosen on these very pairs, in its favour.
    """
    right = [rightness(margin) for margin in margins]
    longer = fmean(
        [rightness(len(c) - len(r)) for c, r in zip(pairs.chosen, pairs.rejected, strict=True)]
    )
    groups = dependent(pairs)
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
        "different_pairs": len(set(same_pair(pairs))),
        "loss": fmean([pair_loss(margin) for margin in margins]),
        "baseline_length": max(longer, 1 - longer),
        "baseline_side": "longer" if longer >= 0.5 else "shorter",
        "stated": fmean([confidence(margin) for margin in margins]),
        "score_std": score_std,
        "reliability": reliability_table(margins, groups) if enough else [],
        "margin_quartiles": (
            quartile_table(pairs.margins, right, groups) if enough and pairs.margins else []
        ),
        "most_wrong": [
            {
                "prompt": _end(pairs.prompts[index]),
                "chosen": _beginning(pairs.chosen[index]),
                "rejected": _beginning(pairs.rejected[index]),
                "margin": margins[index] / score_std,
            }
            for index in sorted(range(len(margins)), key=lambda index: margins[index])[:WORST_SHOWN]
            if margins[index] < 0
        ],
    }


def same_pair(pairs: Pairs) -> list[Hashable]:
    """Return a key for each row that all votes on the same pair share: prompt and both texts."""
    rows = zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True)
    return [(prompt, frozenset(texts)) for prompt, *texts in rows]


def dependent(pairs: Pairs) -> list[Hashable]:
    """Return a key for each row that rows share if they are right or wrong together.

    These are the votes on one pair, and the pairs of one ranking, which share their texts.
    """
    return [
        pair if ranking is None else ranking
        for pair, ranking in zip(same_pair(pairs), pairs.ranking_keys, strict=True)
    ]


def pair_loss(margin: float) -> float:
    """Return -log sigmoid(margin): the Bradley-Terry loss of one pair, nats."""
    # exp(-margin) overflows for a large negative margin; log(1 + e^-m) = log(1 + e^m) - m.
    return math.log1p(math.exp(-margin)) if margin > 0 else math.log1p(math.exp(margin)) - margin


def confidence(margin: float) -> float:
    """Return the probability that the model gives to the response it prefers, 0.5 to 1.

    In the data the chosen response always comes first. Without knowing which one was chosen, the
    model gives its preferred response sigmoid(|margin|).
    """
    return 1 / (1 + math.exp(-abs(margin)))


def reliability_table(margins: Sequence[float], groups: Sequence[Hashable]) -> list[ReliabilityRow]:
    """Compare the model's confidence with how often it is right, bin by bin.

    Args:
        margins: [pairs], logits.
        groups: [pairs], the keys of `dependent`.

    Returns:
        One row for each bin that holds pairs.
    """
    rows: list[ReliabilityRow] = []
    confidences = [confidence(margin) for margin in margins]
    for low, high in pairwise(BIN_EDGES):
        inside = [i for i, p in enumerate(confidences) if low <= p < high or p == high == 1.0]
        if inside:
            right = [rightness(margins[i]) for i in inside]
            observed_low, observed_high = cluster_interval(right, [groups[i] for i in inside])
            rows.append(
                {
                    "low": low,
                    "high": high,
                    "predicted": fmean([confidences[i] for i in inside]),
                    "observed": fmean(right),
                    "observed_low": observed_low,
                    "observed_high": observed_high,
                    "pairs": len(inside),
                }
            )
    return rows


def quartile_table(
    labeller_margins: Sequence[float], right: Sequence[float], groups: Sequence[Hashable]
) -> list[QuartileRow]:
    """Return the accuracy by quartile of the labeller's margin, the smallest margins first.

    Args:
        labeller_margins: [pairs], as the simulated voter's scorer gave them.
        right: [pairs], the model's rightness.
        groups: [pairs], the keys of `dependent`.

    Returns:
        Four rows; fewer for under four pairs.
    """
    order = sorted(range(len(right)), key=lambda index: abs(labeller_margins[index]))
    rows: list[QuartileRow] = []
    for quarter in range(4):
        inside = order[len(order) * quarter // 4 : len(order) * (quarter + 1) // 4]
        if inside:
            in_quarter = [right[index] for index in inside]
            low, high = cluster_interval(in_quarter, [groups[index] for index in inside])
            rows.append(
                {
                    "low": abs(labeller_margins[inside[0]]),
                    "high": abs(labeller_margins[inside[-1]]),
                    "accuracy": fmean(in_quarter),
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "pairs": len(inside),
                }
            )
    return rows


def preference(difference: float, score_std: float) -> float:
    """Return the probability that a text is preferred to one whose score is lower by this much."""
    return 1 / (1 + math.exp(-score_std * difference))


def read_report(folder: Path) -> RewardReport | None:
    """Return the held-out report of a run, or None if there is none.

    Reports without `baseline_side` are older, with margins in another unit, and count as none.

    Raises:
        DataError: the report is damaged or too large.
        OSError: it cannot be read.
    """
    path = folder / "report.json"
    if not path.is_file():
        return None
    report = cast(RewardReport, read_figures(path, RewardReport))
    if "most_wrong" in report:  # a browser takes seconds to draw a megabyte of another run's texts
        report["most_wrong"] = report["most_wrong"][:WORST_SHOWN]
    return report if report.get("baseline_side") in ("longer", "shorter") else None


def format_report(report: RewardReport) -> str:
    """Return the report as a short text for the terminal."""
    lines = [
        f"Held-out report: {report['pairs']:,} pairs that the model was not trained on",
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
    dropped, cut = report.get("dropped", {}), report.get("cut", 0)
    if dropped or cut:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        lines += ["", f"  rows dropped: {reasons or 'none'}; texts cut: {cut}"]
    return "\n".join(lines)


def _table_lines(report: RewardReport) -> list[str]:
    if not report["reliability"]:
        return ["", "  Too few pairs to compare its confidence with how often it is right."]
    lines = ["", "  confidence       its mean  it is right (95%)    pairs"]
    lines += [
        f"    {row['low']:.1f} to {row['high']:.1f}      {row['predicted']:.2f}      "
        f"{row['observed']:.2f} ({row['observed_low']:.2f} to {row['observed_high']:.2f})"
        f"  {row['pairs']:6,}"
        for row in report["reliability"]
    ]
    if report["margin_quartiles"]:
        lines += ["", "  labeller's margin          accuracy (95%)       pairs"]
    lines += [
        f"    {row['low']:4.2f} to {row['high']:4.2f}             "
        f"{row['accuracy']:.2f} ({row['accuracy_low']:.2f} to {row['accuracy_high']:.2f})"
        f"  {row['pairs']:6,}"
        for row in report["margin_quartiles"]
    ]
    return lines


def _worst_lines(most_wrong: list[WrongPair]) -> list[str]:
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


def _beginning(text: str) -> str:
    return text if len(text) <= LETTERS_SHOWN else text[:LETTERS_SHOWN] + "\u2026"


def _end(text: str) -> str:
    return text if len(text) <= LETTERS_SHOWN else "\u2026" + text[-LETTERS_SHOWN:]


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else "..." + text[-most + 3 :]
