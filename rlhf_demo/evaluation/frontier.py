"""Compare methods at equal KL: wins against the base over the exact KL from it.

A method usually wins more if it may move further from the base, so methods are compared at equal
KL. A method may have several settings and several seeds; each seed's points, of all settings, are
joined, which gives its wins at any KL between them.

Everything here is a pure function of a record (runs/frontier.py), without torch.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, variance
from typing import Any, NotRequired, TypedDict

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.policy_gradient import PolicyGradientConfig
from rlhf_demo.config.ppo import SCALE_SAMPLES
from rlhf_demo.config.stages import STAGES
from rlhf_demo.files import printable
from rlhf_demo.intervals import t_quantile
from rlhf_demo.runs.frontier import (
    AGAINST,
    BEST_OF_N,
    DIGITS,
    Cost,
    FrontierPoint,
    FrontierRecord,
    FrontierRun,
)

LEVELS = (1.0, 2.0, 3.0)
"""KL, nats, at which the methods are compared. The bound of the best of 64 is 3.2 nats."""

METHODS = [
    kind
    for kind, stage in STAGES.items()
    if issubclass(stage.config, PolicyGradientConfig | OfflineConfig)
]
"""The kinds of run that train a policy on preferences or texts."""

UNSEEN = ("seed", "judge", "samples_every", "checkpoint_every", "dtype", "device")
"""Options that do not change how strongly a method trains."""

Wins = list[float]
"""Share of the base's responses that a response beats, 0 to 1, for each prompt."""


class Interval(TypedDict):
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float


class Mark(Interval):
    """A point of the chart: the wins of one setting at one step, over its seeds."""

    arm: str
    setting: str
    step: int
    seeds: int
    kl: float  # mean over the seeds, nats
    kl_low: float  # of the seeds
    kl_high: float
    distinct_2: float | None


class Meeting(Interval):
    """Two arms at the same KL: how many more wins the first one has, as a share."""

    kl: float
    arms: tuple[str, str]
    tie: bool  # the interval contains 0


class Level(TypedDict):
    """All arms at the same KL."""

    kl: float
    wins: dict[str, Interval]  # arm -> wins; without arms that do not reach the KL
    meetings: list[Meeting]
    sentence: str


class OwnRun(TypedDict):
    """A run that is compared with the record's arms and is none of them."""

    name: str
    marks: list[Mark]
    sentence: str  # how its last point compares with the arms at its KL


class JudgeView(TypedDict):
    """A frontier by one judge."""

    judge: str
    marks: list[Mark]
    levels: list[Level]
    notes: list[str]  # what holds at every level: arms that are not compared, or have one seed
    own: list[OwnRun]


class CostRow(Cost):
    """What a run of an arm costs."""

    arm: str
    title: str
    seconds: NotRequired[float]
    answer: str  # texts sampled for an answer


# -- wins ------------------------------------------------------------------------------------------


def half_wins(scores: Sequence[float], against: Sequence[Sequence[float]]) -> str:
    """Count on each prompt the wins of a score against the base's; see DIGITS.

    Args:
        scores: of a model's responses, one for each prompt.
        against: of the base's responses, AGAINST for each prompt. A tie is half a win.
    """
    return "".join(
        DIGITS[sum((score > other) + (score >= other) for other in others)]
        for score, others in zip(scores, against, strict=True)
    )


def wins_of(digits: str) -> Wins:
    """Return the share of the base's responses that is beaten on each prompt."""
    return [DIGITS.index(digit) / (2 * AGAINST) for digit in digits]


# -- at equal KL -----------------------------------------------------------------------------------


def wins_at(points: Sequence[tuple[float, Wins]], kl: float) -> Wins | None:
    """Interpolate the wins at a KL, prompt by prompt: linearly over the square root of KL.

    Gains grow almost linearly with it (Gao et al. 2022, https://arxiv.org/abs/2210.10760). A line
    over KL itself would pass below a curve that flattens, most where points are far apart.

    Args:
        points: KL and wins of one seed, in any order.

    Returns:
        None if no point lies on one side of the KL: nothing is extrapolated.
    """
    ordered = sorted(points, key=lambda point: point[0])
    for (low, left), (high, right) in pairwise(ordered):
        if low <= kl <= high:
            start, end = math.sqrt(low), math.sqrt(high)
            weight = (math.sqrt(kl) - start) / (end - start) if high > low else 0.5
            return [(1 - weight) * a + weight * b for a, b in zip(left, right, strict=True)]
    return None


def arm_at(runs: Iterable[FrontierRun], arm: str, judge: str, kl: float) -> list[Wins]:
    """Return an arm's wins at a KL, one list a seed; of no seed if one of them does not reach it.

    The points of all settings of a seed make one curve.
    """
    by_seed: dict[int, list[tuple[float, Wins]]] = {}
    for run in runs:
        if run["arm"] == arm:
            points = ((point["kl"], wins_of(point["wins"][judge])) for point in run["points"])
            by_seed.setdefault(run["seed"], []).extend(points)
    found = [wins_at(points, kl) for points in by_seed.values()]
    reached = [wins for wins in found if wins is not None]
    return reached if len(reached) == len(found) else []


# -- intervals -------------------------------------------------------------------------------------


def estimate(seeds: Sequence[Wins]) -> Interval:
    """Return the mean wins over seeds and prompts."""
    rows = _by_prompt(seeds)
    mean, half = fmean(rows), _half([_prompts(rows), _spread(seeds)])
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def difference(left: Sequence[Wins], right: Sequence[Wins], comparisons: int = 1) -> Interval:
    """Return how many more wins the left arm has than the right one, paired by prompt.

    The variance is the sum of three: over the prompts, of the difference; and over each arm's
    seeds. The noise of sampling is in the first and in the others, so the interval is rather too
    wide than too narrow. An arm with a single seed adds nothing: its result is about that one run.

    Args:
        comparisons: how many of these intervals shall hold together in 95% of cases (Bonferroni).
    """
    pairs = zip(_by_prompt(left), _by_prompt(right), strict=True)
    rows = [a - b for a, b in pairs]
    parts = [_prompts(rows), _spread(left), _spread(right)]
    mean, half = fmean(rows), _half(parts, 0.05 / comparisons)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _by_prompt(seeds: Sequence[Wins]) -> Wins:
    """Average over the seeds, prompt by prompt."""
    return [fmean(row) for row in zip(*seeds, strict=True)]


Part = tuple[float, int]
"""Variance of a mean, and its degrees of freedom."""


def _prompts(rows: Wins) -> Part:
    """Return the variance of the mean over prompts."""
    return variance(rows) / len(rows), len(rows) - 1


def _spread(seeds: Sequence[Wins]) -> Part:
    """Return the variance of the mean over seeds; 0 for a single one, whose spread is unknown."""
    if len(seeds) < 2:
        return 0.0, 1
    return variance([fmean(wins) for wins in seeds]) / len(seeds), len(seeds) - 1


def _half(parts: Sequence[Part], misses: float = 0.05) -> float:
    """Return half the width of an interval whose variance has several parts.

    The degrees of freedom are those of Welch and Satterthwaite.

    Args:
        misses: the probability that the interval does not contain the truth.
    """
    total = sum(part for part, _ in parts)
    if not total:
        return 0.0
    freedom = total**2 / sum(part**2 / count for part, count in parts)
    return t_quantile(int(freedom + 1e-9), misses) * math.sqrt(total)


# -- the arms side by side -------------------------------------------------------------------------


def arms_of(runs: Iterable[FrontierRun]) -> list[str]:
    """List the arms in the order of the stages, best-of-n last."""
    there = {run["arm"] for run in runs}
    return [arm for arm in (*METHODS, BEST_OF_N) if arm in there]


def title(arm: str) -> str:
    """Return an arm's name for people; a run's own name stays as it is."""
    if arm == BEST_OF_N:
        return "best-of-N"
    return STAGES[arm].title if arm in STAGES else arm


def level_of(runs: Sequence[FrontierRun], judge: str, kl: float) -> Level:
    """Compare all arms that reach a KL with each other."""
    found = {arm: arm_at(runs, arm, judge, kl) for arm in arms_of(runs)}
    reached = {arm: seeds for arm, seeds in found.items() if seeds}
    pairs = list(combinations(reached, 2))
    meetings = [meeting(kl, pair, reached[pair[0]], reached[pair[1]], len(pairs)) for pair in pairs]
    sentence = verdict(kl, [title(arm) for arm in reached], meetings)
    wins = {arm: estimate(seeds) for arm, seeds in reached.items()}
    return {"kl": kl, "wins": wins, "meetings": meetings, "sentence": sentence}


def meeting(
    kl: float,
    arms: tuple[str, str],
    left: Sequence[Wins],
    right: Sequence[Wins],
    comparisons: int,
) -> Meeting:
    """Compare two arms at a KL: they tie if the interval of their difference contains 0."""
    between = difference(left, right, comparisons)
    return {"kl": kl, "arms": arms, "tie": between["low"] <= 0 <= between["high"], **between}


def nats(kl: float) -> str:
    """Return a KL with its unit."""
    return f"{kl:g} {'nat' if kl == 1 else 'nats'}"


def verdict(kl: float, arms: Sequence[str], meetings: Sequence[Meeting]) -> str:
    """Say which arms tie at a KL, and which win more than others."""
    start, names = f"At {nats(kl)},", listed(arms)
    if not meetings:
        alone = f"{names} alone is" if arms else "no method is"
        return f"{start} {alone} measured: nothing to compare."
    apart = wins_more(meetings)
    if not apart:
        return f"{start} {names} tie: every interval of a difference contains 0."
    ties = any(one["tie"] for one in meetings)
    return f"{start} {'; '.join(apart)}{'; all other pairs tie' if ties else ''}."


def wins_more(meetings: Sequence[Meeting]) -> list[str]:
    """Say for each arm that wins more than others how much higher its share of wins is."""
    beaten: dict[str, list[str]] = {}
    for one in meetings:
        if not one["tie"]:
            left, right = map(title, one["arms"])
            low, high = one["low"], one["high"]
            if one["mean"] < 0:
                left, right, low, high = right, left, -high, -low
            losers = beaten.setdefault(left, [])
            points = f"{100 * abs(one['mean']):.0f}" + ("" if losers else " percentage points")
            losers.append(f"than {right}'s by {points} [{100 * low:.0f}, {100 * high:.0f}]")
    return [
        f"{winner}'s share of wins is higher {listed(losers)}" for winner, losers in beaten.items()
    ]


def notes_of(runs: Sequence[FrontierRun]) -> list[str]:
    """Say which arms stay below all levels, and which methods were trained with one seed."""
    lowest = LEVELS[0]
    notes = [
        f"{title(arm)} does not reach {nats(lowest)}, so it is not compared."
        for arm in arms_of(runs)
        if max(point["kl"] for run in runs if run["arm"] == arm for point in run["points"]) < lowest
    ]
    methods = [arm for arm in arms_of(runs) if arm != BEST_OF_N]
    seeds = {arm: {run["seed"] for run in runs if run["arm"] == arm} for arm in methods}
    lone = [title(arm) for arm in methods if len(seeds[arm]) < 2]
    return [*notes, one_seed(lone, everyone=len(lone) == len(methods))] if lone else notes


def one_seed(methods: Sequence[str], *, everyone: bool) -> str:
    """Say what the figures of methods with one seed are about."""
    who, whose = f"{listed(methods)} were", "their"
    if everyone:
        who, whose = "Each method was", "the"
    elif len(methods) == 1:
        who, whose = f"{methods[0]} was", "its"
    return (
        f"{who} trained with one seed. So {whose} intervals cover the prompts only, and the "
        "sentences are about these runs, not about the methods."
    )


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: a, b and c."""
    return " and ".join([part for part in (", ".join(words[:-1]), *words[-1:]) if part])


# -- the chart and the tables ----------------------------------------------------------------------


def judge_view(record: FrontierRecord, judge: str, own: Sequence[FrontierRun] = ()) -> JudgeView:
    """Return the chart's points and the comparisons at equal KL by one judge.

    Args:
        own: runs that are measured as the record's are, to be compared with its arms.
    """
    runs = record["runs"]
    return {
        "judge": judge,
        "marks": marks_of(runs, judge),
        "levels": [level_of(runs, judge, kl) for kl in LEVELS],
        "notes": notes_of(runs),
        "own": [own_run(runs, run, judge) for run in own],
    }


def own_run(runs: Sequence[FrontierRun], own: FrontierRun, judge: str) -> OwnRun:
    """Compare a run's last model with every arm that reaches its KL."""
    marks, last = marks_of([own], judge), own["points"][-1]
    wins, kl = [wins_of(last["wins"][judge])], last["kl"]
    against = {arm: arm_at(runs, arm, judge, kl) for arm in arms_of(runs)}
    reached = {arm: seeds for arm, seeds in against.items() if seeds}
    meetings = [
        meeting(kl, (own["name"], arm), wins, seeds, len(reached)) for arm, seeds in reached.items()
    ]
    rate = marks[-1]
    start = (
        f"At its {kl:.1f} nats, {own['name']} wins {100 * rate['mean']:.0f}% "
        f"[{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"
    )
    if not meetings:
        return {
            "name": own["name"],
            "marks": marks,
            "sentence": f"{start}; no method reaches that KL.",
        }
    ties = listed([title(one["arms"][1]) for one in meetings if one["tie"]])
    parts = wins_more(meetings)
    parts += [f"{own['name']} ties with {ties}"] if ties else []
    return {"name": own["name"], "marks": marks, "sentence": f"{start}: {'; '.join(parts)}."}


def marks_of(runs: Iterable[FrontierRun], judge: str) -> list[Mark]:
    """Average the points over the seeds of a setting, step by step."""
    groups: dict[tuple[str, str, int], list[FrontierPoint]] = {}
    for run in runs:
        for point in run["points"]:
            groups.setdefault((run["arm"], run["setting"], point["step"]), []).append(point)
    return [
        mark_of(arm, setting, step, points, judge)
        for (arm, setting, step), points in groups.items()
    ]


def mark_of(arm: str, setting: str, step: int, points: Sequence[FrontierPoint], judge: str) -> Mark:
    """Average the points of several seeds."""
    kls = [point["kl"] for point in points]
    different = [point["distinct_2"] for point in points if "distinct_2" in point]
    return {
        "arm": arm,
        "setting": setting,
        "step": step,
        "seeds": len(points),
        "kl": fmean(kls),
        "kl_low": min(kls),
        "kl_high": max(kls),
        "distinct_2": fmean(different) if different else None,
        **estimate([wins_of(point["wins"][judge]) for point in points]),
    }


def setting_of(kind: str, options: dict[str, Any]) -> str:
    """Say in which options a run differs from its stage's defaults; empty if in none."""
    usual = STAGES[kind].config().to_dict()
    return ", ".join(
        f"{name.replace('_', ' ')} {_shown(value)}"
        for name, value in options.items()
        if name not in UNSEEN and value != usual.get(name, value)
    )


def _shown(value: Any) -> str:
    """Return an option's value for everyone to read: of a path its last name alone."""
    if isinstance(value, str):
        return Path(value).name
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- costs -----------------------------------------------------------------------------------------


def cost_of(kind: str, options: dict[str, Any], steps: int, labels: int | None) -> Cost:
    """Return what a run has used to learn.

    Args:
        kind: of the run.
        options: of the run.
        steps: that it has finished.
        labels: votes that it, or its reward model, has learned from; None if not known.
    """
    batch = options["batch_size"] * steps
    if "ppo_epochs" in options:  # a step's texts, and those that give the reward's scale
        sampled = batch + SCALE_SAMPLES
        cost: Cost = {
            "generated": sampled,
            "reward_calls": sampled,
            "read": batch * options["ppo_epochs"],
        }
    else:  # the last batch of an epoch may be smaller
        rows = options.get("train_pairs") or options["train_texts"]
        texts = 2 if "train_pairs" in options else 1
        read = texts * min(batch, options["epochs"] * (labels or rows))
        cost = {"generated": 0, "reward_calls": 0, "read": read}
    return cost if labels is None else {"labels": labels, **cost}


def cost_rows(record: FrontierRecord) -> list[CostRow]:
    """Return the costs of the reward model, and of each arm those of its longest run.

    Best-of-N has the labels of the reward model that chooses.
    """
    rows: list[CostRow] = []
    reward = record.get("reward_model")
    if reward:
        rows.append({**reward, "arm": "reward", "title": "Reward model", "answer": ""})
    for arm in arms_of(record["runs"]):
        runs = [run for run in record["runs"] if run["arm"] == arm]
        cost = max((run["cost"] for run in runs), key=lambda cost: cost["read"])
        row: CostRow = {**cost, "arm": arm, "title": title(arm), "answer": "1"}
        if arm == BEST_OF_N:
            most = max(point["step"] for run in runs for point in run["points"])
            row["answer"] = f"1 to {most}"
            if reward and "labels" in reward:
                row["labels"] = reward["labels"]
        rows.append(row)
    seconds = record.get("seconds", {})
    for row in rows:
        if row["arm"] in seconds:
            row["seconds"] = seconds[row["arm"]]
    return rows


# -- as text ---------------------------------------------------------------------------------------


def table(record: FrontierRecord, judge: str, own: Sequence[FrontierRun] = ()) -> str:
    """Return a frontier by one judge as a text table."""
    view = judge_view(record, judge, own)
    runs = [("", mark) for mark in view["marks"]]
    runs += [(run["name"], mark) for run in view["own"] for mark in run["marks"]]
    lines = [
        f"Wins against {record['base']} by {judge}, on {len(record['prompts'])} prompts",
        _line("method", "step or n", "seeds", "KL, nats", "wins", "setting"),
        *(_mark_line(name, mark) for name, mark in runs),
        "",
        "At equal KL (a tie: the interval of the difference contains 0)",
        _line("method", *(nats(level["kl"]) for level in view["levels"])),
    ]
    for arm in arms_of(record["runs"]):
        lines.append(
            _line(title(arm), *(_wins(level["wins"].get(arm)) for level in view["levels"]))
        )
    lines += [level["sentence"] for level in view["levels"]]
    return _printed([*lines, *view["notes"], *(run["sentence"] for run in view["own"])])


def cost_table(record: FrontierRecord) -> str:
    """Return what a run of each arm costs, as a text table."""
    columns = {
        "labels": "labels",
        "generated": "texts sampled",
        "reward_calls": "reward calls",
        "read": "texts read",
        "seconds": "seconds",
        "answer": "texts per answer",
    }
    rows = cost_rows(record)
    shown = [name for name in columns if any(name in row for row in rows)]
    lines = [_line(row["title"], *(_count(row.get(name)) for name in shown)) for row in rows]
    return _printed([_line("cost", *(columns[name] for name in shown)), *lines])


def _printed(lines: Sequence[str]) -> str:
    """Join lines; a record's texts may come from someone else."""
    return "\n".join(printable(line) for line in lines)


def _mark_line(name: str, mark: Mark) -> str:
    bound = "<= " if mark["arm"] == BEST_OF_N else ""
    figures = (str(mark["step"]), str(mark["seeds"]), f"{bound}{mark['kl']:.2f}", _wins(mark))
    return _line(name or title(mark["arm"]), *figures, mark["setting"] or "default")


def _wins(wins: Interval | None) -> str:
    if wins is None:
        return "-"
    return f"{100 * wins['mean']:.0f}% [{100 * wins['low']:.0f}, {100 * wins['high']:.0f}]"


def _count(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)


def _line(label: str, *cells: str) -> str:
    return f"{label[:18]:18}" + "".join(f"{cell:>17}" for cell in cells)
