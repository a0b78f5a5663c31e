"""The curves of over-optimisation: gains of a proxy and of a judge over the distance from the base.

The distance is d = sqrt(KL), in the square root of nats. A gain is how much higher texts score than
the base's own, in standard deviations of the base's scores. Gao et al. 2022, section 3.1, describe
both gains by

    R(d) = d (alpha - beta log d)    for reinforcement learning,
    R(d) = d (alpha - beta d)        for best-of-n.

Both are linear in alpha and beta, so least squares finds these without a search.

Source: Gao et al. 2022, https://arxiv.org/abs/2210.10760.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, TypedDict

from rlhf_demo.config.overoptimise import PROXY, OveroptimiseConfig
from rlhf_demo.errors import DemoError, JobError, Refused
from rlhf_demo.files import Row, read_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import RewardReport, read_figures
from rlhf_demo.runs.run import Run
from rlhf_demo.runs.samples import prompt_text, response_text
from rlhf_demo.runs.tail import all_rows

RECORD = CHECKPOINTS / "examples" / "overoptimisation.json"
"""Attempts that ship with the page."""
KIND = "overoptimise"
BEST_OF_N = "best_of_n.json"
"""File of a run with its points of best-of-n."""
FEWEST_POINTS = 6
"""Points at different distances that a curve needs before it is fitted: three for each unknown."""
LEAST_R2 = 0.7
"""Share of the points' variance that a curve has to explain; below, it does not describe them."""
FARTHEST = 100.0
"""Logarithm of the farthest top of a curve that is told from one that never falls."""
SURE = 2.0
"""Standard errors by which a curve has to fall from its top before it counts as turned."""
IN_A_BIN = 3
"""Steps of PPO whose gains are averaged."""
DRAWN = 50
"""Places at which a fitted curve is drawn."""
MOST_POINTS = 2_000
"""Points of each way that are drawn, evenly spread: 60 times as many as a default run has."""
DAMAGED = DemoError, OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError
"""What reading a damaged run's files can raise."""
MINUS = "\u2212"

Reader = Callable[[Path], list[Row]]
"""Returns the rows of one of a run's files; none if there is no file."""

Scorer = Literal["proxy", "judge"]
SCORERS: tuple[Scorer, Scorer] = ("proxy", "judge")


class Way(StrEnum):
    """How a score was maximised."""

    PPO = "ppo"
    BEST_OF_N = "best_of_n"


MEAN = {Way.PPO: "mean of neighbouring points", Way.BEST_OF_N: "mean for one n"}
"""What a bin is, in words."""


class Gains(TypedDict):
    """What one policy gains over the base, in standard deviations of the base's scores."""

    kl: float  # from the base, nats per response; of best-of-n an upper bound
    proxy: float
    judge: float


class PPOPoint(Gains):
    """A step of PPO, before its update."""

    step: int


class BestOfPoint(Gains):
    """The best of n responses by the proxy's score."""

    n: int
    proxy_se: float
    judge_se: float


class Text(TypedDict):
    """A text that the policy wrote in a step of PPO."""

    step: int
    prompt: str
    response: str


class Attempt(TypedDict):
    """One proxy, and what maximising its score gave."""

    pairs: int  # that the proxy learned from
    seed: int
    judge: str
    accuracy: float | None  # of the proxy on held-out pairs, 0 to 1; None before it is trained
    ppo: list[PPOPoint]
    best_of_n: list[BestOfPoint]
    texts: list[Text]  # one a step


class DrawnGains(TypedDict):
    """The gains by one scorer, as the page draws them: [square root of KL, gain] each."""

    points: list[tuple[float, float]]
    line: list[tuple[float, float]]  # the fitted curve if it describes them, else means
    fitted: bool


class StudiedWay(TypedDict):
    """One way of maximising the proxies' scores."""

    proxy: DrawnGains
    judge: DrawnGains
    words: str


class Study(TypedDict):
    """What attempts with the same number of pairs show together."""

    pairs: int
    seeds: int  # attempts
    batch_size: int  # responses in a step of PPO
    judge: str
    accuracy: float | None  # mean
    ppo: StudiedWay
    best_of_n: StudiedWay
    texts: list[
        Text
    ]  # of one attempt: at the start, where the judge's curve is highest, at the end


@dataclass(frozen=True)
class Curve:
    """A curve R(d) = d (alpha - beta f(d)), where f is the logarithm for PPO.

    Attributes:
        r2: share of the points' variance that it explains.
    """

    way: Way
    alpha: float
    beta: float
    r2: float

    def gain(self, distance: float) -> float:
        """Return R(d)."""
        first, second = _terms(self.way, distance)
        return self.alpha * first - self.beta * second

    @property
    def top(self) -> float | None:
        """The distance at which R is highest; None if R never falls."""
        if self.beta <= 0:
            return None
        if self.way is Way.PPO:
            exponent = self.alpha / self.beta - 1
            return math.exp(exponent) if exponent < FARTHEST else math.inf
        return max(self.alpha, 0.0) / (2 * self.beta)


@dataclass(frozen=True)
class Bin:
    """Neighbouring points: their mean distance, their mean gain, and its standard error."""

    distance: float
    gain: float
    se: float


@dataclass(frozen=True)
class Turn:
    """A curve that fell: from its highest bin to its last one."""

    top: Bin
    last: Bin

    @property
    def fall(self) -> float:
        """How much lower the last bin is."""
        return self.top.gain - self.last.gain


def _terms(way: Way, distance: float) -> tuple[float, float]:
    """Return what alpha and -beta are multiplied with; d log d is 0 at 0, its limit."""
    if way is Way.BEST_OF_N:
        return distance, distance**2
    return distance, distance * math.log(distance) if distance > 0 else 0.0


def fit(way: Way, points: Sequence[tuple[float, float]]) -> Curve | None:
    """Fit the curve of this way by least squares.

    Args:
        points: distance and gain of each.

    Returns:
        The curve, however badly it fits; None if there are too few points at different distances,
        or if all gains are equal.
    """
    if len({distance for distance, _ in points if distance > 0}) < FEWEST_POINTS:
        return None
    terms = [_terms(way, distance) for distance, _ in points]
    gains = [gain for _, gain in points]
    # The normal equations of gain = alpha a - beta b.
    aa, ab, bb = (sum(row[i] * row[j] for row in terms) for i, j in ((0, 0), (0, 1), (1, 1)))
    ag, bg = (sum(row[i] * gain for row, gain in zip(terms, gains, strict=True)) for i in (0, 1))
    determinant, mean = aa * bb - ab**2, fmean(gains)
    variance = sum((gain - mean) ** 2 for gain in gains)
    if not determinant or not variance:
        return None
    alpha, beta = (ag * bb - bg * ab) / determinant, (ag * ab - bg * aa) / determinant
    missed = sum(
        (gain - alpha * a + beta * b) ** 2 for (a, b), gain in zip(terms, gains, strict=True)
    )
    return Curve(way, alpha, beta, 1 - missed / variance)


def in_bins(points: Sequence[tuple[float, float]], size: int) -> list[Bin]:
    """Average neighbouring points, `size` at a time from the farthest on; the rest form no bin.

    Args:
        points: distance and gain of each.
    """
    ordered = sorted(points)
    starts = range(len(ordered) % size, len(ordered), size)
    parts = [ordered[start : start + size] for start in starts]
    return [
        Bin(
            fmean(distance for distance, _ in part),
            fmean(gain for _, gain in part),
            stdev(gain for _, gain in part) / math.sqrt(size) if size > 1 else 0.0,
        )
        for part in parts
    ]


def turn(bins: Sequence[Bin]) -> Turn | None:
    """Say where a curve turns; None if it has not fallen by more than chance.

    Args:
        bins: in the order of their distances.
    """
    if not bins:
        return None
    top, last = max(bins, key=lambda one: one.gain), bins[-1]
    fell = top.gain - last.gain > SURE * math.hypot(top.se, last.se)
    return Turn(top, last) if fell else None


# -- what attempts show ----------------------------------------------------------------------------


def study(attempts: Sequence[Attempt]) -> Study:
    """Put attempts with the same number of pairs together; there is at least one."""
    first = attempts[0]
    known = [one["accuracy"] for one in attempts if one["accuracy"] is not None]
    return {
        "pairs": first["pairs"],
        "seeds": len(attempts),
        "batch_size": OveroptimiseConfig().ppo.batch_size,  # no option changes it
        "judge": first["judge"],
        "accuracy": fmean(known) if known else None,
        "ppo": studied(Way.PPO, attempts),
        "best_of_n": studied(Way.BEST_OF_N, attempts),
        "texts": telling_texts(first),
    }


def studied(way: Way, attempts: Sequence[Attempt]) -> StudiedWay:
    """Return the curves of one way, and what they show in words."""
    proxy, judge = (gains(way, attempts, scorer) for scorer in SCORERS)
    return {
        "proxy": drawn(way, proxy, bins(way, attempts, "proxy")),
        "judge": drawn(way, judge, bins(way, attempts, "judge")),
        "words": in_words(
            way, bins(way, attempts, "proxy"), bins(way, attempts, "judge"), fit(way, judge)
        ),
    }


def gains(way: Way, attempts: Sequence[Attempt], scorer: Scorer) -> list[tuple[float, float]]:
    """Return distance and gain of all points of some attempts, the nearest to the base first."""
    points: list[Gains] = [
        point for one in attempts for point in (one["ppo"] if way is Way.PPO else one["best_of_n"])
    ]
    return sorted((math.sqrt(max(point["kl"], 0.0)), point[scorer]) for point in points)


def bins(way: Way, attempts: Sequence[Attempt], scorer: Scorer) -> list[Bin]:
    """Return the means of neighbouring points; for best-of-n, the means for each n.

    Of several attempts with PPO, the bins are averaged, the last one with the last one. Their
    standard error is that of the attempts, whose steps resemble each other.
    """
    if way is Way.PPO:
        each = [in_bins(gains(way, [one], scorer), IN_A_BIN) for one in attempts]
        fewest = min(map(len, each))
        ends = [of_one[len(of_one) - fewest :] for of_one in each]
        return [_together(parts) for parts in zip(*ends, strict=True)]
    by_n: dict[int, list[BestOfPoint]] = {}
    for point in (point for one in attempts for point in one["best_of_n"]):
        by_n.setdefault(point["n"], []).append(point)
    return [
        Bin(
            math.sqrt(points[0]["kl"]),
            fmean(point[scorer] for point in points),
            math.hypot(*(_se(point, scorer) for point in points)) / len(points),
        )
        for _, points in sorted(by_n.items())
    ]


def _together(parts: Sequence[Bin]) -> Bin:
    if len(parts) == 1:
        return parts[0]
    gains_of = [one.gain for one in parts]
    se = stdev(gains_of) / math.sqrt(len(parts))
    return Bin(fmean(one.distance for one in parts), fmean(gains_of), se)


def _se(point: BestOfPoint, scorer: Scorer) -> float:
    return point["proxy_se"] if scorer == "proxy" else point["judge_se"]


def drawn(way: Way, points: list[tuple[float, float]], means: list[Bin]) -> DrawnGains:
    """Return points with their line: the fitted curve if it describes them, else the means."""
    curve = fit(way, points)
    if curve is None or curve.r2 < LEAST_R2:
        line = [(one.distance, one.gain) for one in means]
        return {"points": points, "line": line, "fitted": False}
    farthest = points[-1][0]
    places = [farthest * i / (DRAWN - 1) for i in range(DRAWN)]
    return {"points": points, "line": [(d, curve.gain(d)) for d in places], "fitted": True}


def telling_texts(attempt: Attempt) -> list[Text]:
    """Return a text of PPO's first step, of the judge's highest mean, and of the last step."""
    texts = {text["step"]: text for text in attempt["texts"]}
    points = [point for point in attempt["ppo"] if point["step"] in texts]
    if not points:
        return []
    best = max(points, key=lambda point: point["judge"])
    steps = sorted({points[0]["step"], best["step"], points[-1]["step"]})
    return [texts[step] for step in steps]


# -- in words --------------------------------------------------------------------------------------


def in_words(way: Way, proxy: Sequence[Bin], judge: Sequence[Bin], curve: Curve | None) -> str:
    """Say what the proxy gained, where the judge's curve turns, and whether Gao's fits it."""
    if not judge:
        return ""
    return f"{_ends(proxy)} {_turns(way, judge)} {_fits(way, judge, curve)}"


def _ends(proxy: Sequence[Bin]) -> str:
    last = proxy[-1]
    return f"The proxy\u2019s gain is {_signed(last.gain)} at {_nats(last.distance)}."


def _turns(way: Way, judge: Sequence[Bin]) -> str:
    """Say where the judge's curve turns, or that it does not."""
    turned, last = turn(judge), judge[-1]
    end = f"{_signed(last.gain)} at {_nats(last.distance)}"
    if turned is None:
        return f"The judge\u2019s gain never falls by more than chance; it ends at {end}."
    top = f"{_signed(turned.top.gain)}, at about {_nats(turned.top.distance)}"
    highest = f"The highest {MEAN[way]} is {top}; the last is {end}."
    return f"The judge\u2019s gain peaks and then falls. {highest}"


def _fits(way: Way, judge: Sequence[Bin], curve: Curve | None) -> str:
    """Say whether Gao's curve describes the judge's gains, and where its top is."""
    if curve is None:
        return "There are too few points for Gao\u2019s curve."
    # Rounded down, so that a value below the bound is not shown as the bound.
    r2 = f"R\u00b2 {math.floor(100 * curve.r2) / 100:.2f}".replace("-", MINUS)
    if curve.r2 < LEAST_R2:
        return (
            f"Gao\u2019s curve does not describe the judge\u2019s gain ({r2}, below {LEAST_R2:g}), "
            "so the line joins means of the points instead."
        )
    numbers = f"{r2}, \u03b1 {_signed(curve.alpha)}, \u03b2 {_signed(curve.beta)}"
    said = f"Gao\u2019s curve describes the judge\u2019s gain ({numbers}). {_tops(judge, curve)}"
    shared = " A good fit means little here: the points share their samples."
    return said + shared if way is Way.BEST_OF_N else said


def _tops(judge: Sequence[Bin], curve: Curve) -> str:
    """Say where a fitted curve is highest, and what that means for the judge's means."""
    turned, farthest = turn(judge), judge[-1].distance
    if curve.top is None or curve.top > farthest:
        return f"The fitted curve has no peak up to {_nats(farthest)}."
    top = _nats(curve.top)
    if turned is None:
        return f"The fitted curve peaks at {top}, but the fall after it is within chance."
    if top == _nats(turned.top.distance):
        return f"The fitted curve is highest at {top} too."
    return f"The fitted curve is highest at {top}; the points scatter, so the two places differ."


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", MINUS)


def _nats(distance: float) -> str:
    """Return the KL at a distance, with its unit."""
    kl = distance**2
    return f"{kl:.1f} nats" if kl < 10 else f"{kl:.0f} nats"


# -- runs ------------------------------------------------------------------------------------------


def read_attempt(run: Run, rows: Reader = all_rows) -> Attempt:
    """Return what an overoptimise run has measured so far.

    Args:
        rows: reads a file of the run.
    """
    options = run.config["options"]
    report = proxy_report(run)
    best_of_n = run.folder / BEST_OF_N
    points = read_figures(best_of_n, list[BestOfPoint]) if best_of_n.is_file() else []
    texts = {row["step"]: text(row) for row in reversed(rows(run.folder / "samples.jsonl"))}
    return {
        "pairs": options["train_pairs"] if report is None else report["train_pairs"],
        "seed": options["seed"],
        "judge": options["judge"],
        "accuracy": None if report is None else report["accuracy"],
        "ppo": [ppo_point(row) for row in spread(rows(run.folder / "metrics.jsonl"))],
        "best_of_n": spread(points),
        "texts": list(texts.values())[::-1],
    }


def proxy_report(run: Run) -> dict[str, Any] | None:
    """Return the report of the proxy's training; None before it is trained."""
    path = run.folder / PROXY / "report.json"
    return read_figures(path, RewardReport) if path.is_file() else None


def spread(points: list[Any]) -> list[Any]:
    """Return at most MOST_POINTS of the points, evenly spread, with the last one."""
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    return points[::-every][::-1]


def study_of(run: Run, rows: Reader = all_rows) -> Study:
    """Return what one overoptimise run has shown so far.

    Args:
        rows: as for `read_attempt`.

    Raises:
        JobError: it is a run of another kind, or its files are damaged.
        Refused: whoever asks has had too much read.
    """
    if run.config["kind"] != KIND:
        raise JobError(f"{run.folder.name} pushes no reward too far: choose an {KIND} run")
    try:
        return study([read_attempt(run, rows)])
    except Refused:  # they are large, and whoever asks has read many
        raise
    except DAMAGED:
        raise JobError(f"the files of {run.folder.name} are damaged: choose another run") from None


def phase(run: Run, rows: Reader = all_rows) -> str:
    """Say what a running overoptimise run does at the moment; empty if its files are damaged.

    Args:
        rows: as for `read_attempt`.
    """
    try:
        return _phase(run, rows)
    except DAMAGED:
        return ""


def _phase(run: Run, rows: Reader) -> str:
    options = run.config["options"]
    if proxy_report(run) is None:
        trained = rows(run.folder / PROXY / "metrics.jsonl")
        if not trained:
            return "1 of 3: loading its models"
        total = trained[0]["reward/total_steps"]
        return f"1 of 3: the proxy, step {trained[-1]['step']} of {total:d}"
    if not (run.folder / BEST_OF_N).is_file():
        return (
            f"2 of 3: best-of-N: the base writes {options['best_of']} responses to each of "
            f"{options['best_of_prompts']} prompts"
        )
    return f"3 of 3: PPO without a KL penalty, {options['total_steps']} steps"


def ppo_point(row: Row) -> PPOPoint:
    """Return the point of a row of metrics."""
    return {
        "step": row["step"],
        "kl": row["objective/kl"],
        "proxy": row["objective/score"],
        "judge": row["judge/score"],
    }


def text(row: Row) -> Text:
    """Return the text of a row of samples, as far as a page draws it."""
    return {"step": row["step"], "prompt": prompt_text(row), "response": response_text(row)}


def shipped_attempts() -> list[Attempt]:
    """Return the attempts that ship with the page; none if it has none."""
    return read_json(RECORD) if RECORD.is_file() else []


def record() -> list[Study]:
    """Return the studies that ship with the page, the fewest pairs first."""
    attempts = shipped_attempts()
    sizes = sorted({one["pairs"] for one in attempts})
    return [study([one for one in attempts if one["pairs"] == size]) for size in sizes]
