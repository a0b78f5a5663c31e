"""Data that "Inside a step" draws of one PPO step, binned and summed to a few kilobytes.

The trainer writes a row of distributions.jsonl for every step whose texts it keeps. The newest row
gives the distributions of scores, ratios and values. All rows together show which words were pushed
up and down. A finished step never changes, so each answer is computed once for all readers.
"""

import math
from collections import Counter, defaultdict
from operator import itemgetter
from typing import Any, TypedDict, TypeGuard, cast

from rlhf_demo.errors import DataError
from rlhf_demo.files import Row, figure_or_none, is_figure
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import ODD
from rlhf_demo.runs.run import Run
from rlhf_demo.runs.samples import MOST_OF_TOKEN

SCORE_WIDTH = 0.25
"""Width of a bin of scores, standard deviations; doubled until there are few enough bins."""
MOST_BINS = 40
FEWEST = 20
"""Occurrences in the run's responses below which a word is not shown."""
MOST_WORDS = 10
"""Words shown in each direction."""
MOST_SUMMED = 500_000
"""Bytes on the disk of the newest steps whose words are summed up, anew for each step; 150 steps of
the default run take as much."""
CHANCE = 3.0
"""Standard errors that a word's mean advantage must be away from 0. Of some hundred words that PPO
does not care about, 5 would be beyond two of them, and less than one beyond three.
"""
ALIKE = 2.0
"""Variance of a word's mean advantage over n occurrences, times n. A step's advantages have
variance 1, so it would be 1 were they independent; but those of one response resemble each other.
For the commonest words it is 0.6 to 1.6 in the shipped runs and at most 2.0 in nine others:
`python -m bench.pushed_words`. In a run that repeats one word over and over it would be more.
"""
MOST_SCORES = 4096
"""Scores of a step, one a response: the largest batch that the options allow."""
MOST_PARTS = 100
"""PPO epochs of a step, and bins of its probability ratios, that are shown; ours have up to 16 and
60."""
MOST_ANSWERS = 256
MOST_COUNT = 2**31
LARGEST_ADVANTAGE = 1e15


class ScoreBins(TypedDict):
    """The scores of two steps in the same bins; shares are from 0 to 1.

    A bin holds its lower edge but not its upper one.
    """

    middles: list[float]  # of the bins, in standard deviations of the base's scores
    width: float  # of a bin, in the same unit
    then: list[float]  # share of the earlier step's responses in each bin
    now: list[float]


class ScoreHistogram(ScoreBins):
    """The scores of a step, and those of the first step whose scores were kept."""

    first: int  # that step


Word = tuple[str, int, float]
"""Word, how often it occurred, and its mean advantage (a step's advantages have variance 1)."""


class PushedWords(TypedDict):
    """The words that PPO pushed up and down most, the strongest first."""

    up: list[Word]
    down: list[Word]
    steps: int  # that were counted
    fewest: int  # occurrences below which a word is not shown


class StepDetails(TypedDict):
    """What "Inside a step" draws of one step."""

    scores: ScoreHistogram
    ratio: list[list[float]]
    """For each PPO epoch and after the update, the share of tokens in each bin of width 0.05 from
    0 to 3."""
    words: PushedWords
    values: list[tuple[float, float]] | None
    """Value and realised return of a token a response, in standard deviations of the base's scores;
    None without a value head."""
    figures: dict[
        str, float | list[float | None] | None
    ]  # the metrics FIGURES; lists: by PPO epoch
    clip_range: float  # of the probability ratio


class InsideStep:
    """Distributions of a step's figures, computed once for all readers."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._answers: dict[tuple[str, str, int], StepDetails | None] = {}

    def newest(self, run: Run) -> int:
        """Return the last finished step that has a row of distributions that can be read, or -1."""
        metrics = self.jobs.tails.rows(run.folder / "metrics.jsonl")
        finished = metrics[-1]["step"] if metrics else -1
        try:
            steps = self.jobs.tails.steps(run.folder / "distributions.jsonl")
        except DataError:
            return -1
        return max((step for step in steps if step <= finished), default=-1)

    def details(self, run: Run, step: int) -> StepDetails | None:
        """Return the data shown for a step; None if its distributions were not kept or are odd."""
        key = run.folder.name, run.config["created_at"], step
        if key not in self._answers:
            path = run.folder / "distributions.jsonl"
            steps = self.jobs.tails.steps(path)
            if step not in steps:
                return None  # no other file is read for a step that was not kept
            first = self.jobs.tails.rows_of(path, steps[0])
            last = self.jobs.tails.newest_steps(path, step, MOST_SUMMED)
            rows = [row for one in last for row in self.jobs.tails.rows_of(path, one)]
            metrics = self.jobs.tails.rows(run.folder / "metrics.jsonl")
            own = next((row for row in metrics if row["step"] == step), None)
            if own is None or not first or not rows:
                return None  # for now: the step may not be finished
            try:
                details = self._read(run, first[0], rows, own)
            except ODD:  # kept too, so that no poll computes it again
                details = None
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            self._answers[key] = details
        return self._answers[key]

    def _read(self, run: Run, first: Row, rows: list[Row], own: Row) -> StepDetails:
        """Compute a step's details from its metrics and the distributions up to it."""
        now, options = rows[-1], run.config["options"]
        return {
            "scores": {**score_histogram(_scores(first), _scores(now)), "first": first["step"]},
            "ratio": [_shares(_list(counts)) for counts in _list(now["ratio"])],
            "words": pushed_words(rows),
            "values": None if now.get("values") is None else _pairs(now["values"]),
            "figures": {name: _by_epoch(own.get(name)) for name in FIGURES},
            "clip_range": options["clip_range"],
        }


FIGURES = (
    "policy/update_kl_by_epoch", "policy/update_kl", "policy/clip_fraction_by_epoch",
    "policy/clip_fraction", "policy/outside_clip", "policy/ratio_p01", "policy/ratio_p99",
    "value/explained_variance",
)  # fmt: skip
"""Metrics of the step that are shown next to its distributions."""


def _scores(row: Row) -> list[float]:
    """Return a step's scores.

    Raises:
        ValueError: a copied run has more than a step of ours, or other values.
    """
    scores: Any = row["scores"]
    if len(scores) > MOST_SCORES or not all(map(is_figure, scores)):
        raise ValueError("these are no scores of a step")
    return scores


def _list(value: Any, most: int = MOST_PARTS) -> list[Any]:
    """Return a list of a step, as long as one of ours may be; the page draws all of it.

    Raises:
        ValueError: a copied run has a longer one, or no list.
    """
    if type(value) is not list or len(cast("list[Any]", value)) > most:
        raise ValueError("this is no list of a step")
    return cast("list[Any]", value)


def _pairs(values: Any) -> list[tuple[float, float]]:
    pairs = [(value, realised) for value, realised in _list(values, MOST_SCORES)]
    if not all(is_figure(value) and is_figure(realised) for value, realised in pairs):
        raise ValueError("these are no values of a step")
    return pairs


def _by_epoch(figure: Any) -> float | list[float | None] | None:
    """Return a figure, or one for each PPO epoch; the browser would draw a text as markup."""
    if type(figure) is list:
        return [figure_or_none(value) for value in _list(figure)]
    return figure_or_none(figure)


def score_histogram(first: list[float], now: list[float]) -> ScoreBins:
    """Put the scores of two steps into the same bins.

    Args:
        first, now: scores of the responses, standard deviations of the base's scores.
    """
    width, least, most = SCORE_WIDTH, min(*first, *now), max(*first, *now)
    while math.floor(most / width) - math.floor(least / width) >= MOST_BINS:
        width *= 2
    low, high = math.floor(least / width), math.floor(most / width)

    def shares(scores: list[float]) -> list[float]:
        counts = Counter(math.floor(score / width) for score in scores)
        return _shares([counts[index] for index in range(low, high + 1)])

    middles = [(place + 0.5) * width for place in range(low, high + 1)]
    return {"middles": middles, "width": width, "then": shares(first), "now": shares(now)}


def pushed_words(rows: list[Row]) -> PushedWords:
    """Sum up which words PPO pushed up and down over these steps.

    Args:
        rows: of distributions.jsonl; `words` holds [word, count, mean advantage]. Anything else in
            it is left out: a count times a text would be a text of gigabytes.

    Returns:
        At most MOST_WORDS in each direction, of words that occurred FEWEST times or more, with a
        mean beyond chance.
    """
    counts: Counter[str] = Counter()
    sums: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        for word, count, advantage in filter(_is_word, row["words"]):
            counts[word] += count
            sums[word] += count * advantage
    moved = [
        (word, count, round(sums[word] / count, 3))
        for word, count in counts.items()
        if count >= FEWEST and abs(sums[word]) > CHANCE * math.sqrt(ALIKE * count)
    ]
    moved.sort(key=itemgetter(2))
    return {
        "up": [row for row in reversed(moved) if row[2] > 0][:MOST_WORDS],
        "down": [row for row in moved if row[2] < 0][:MOST_WORDS],
        "steps": len(rows),
        "fewest": FEWEST,
    }


def _is_word(row: Any) -> TypeGuard[Word]:
    """Say whether it is a word, a count and a mean advantage, all small enough to compute with."""
    if type(row) is not list or len(cast("list[Any]", row)) != 3:
        return False
    word, count, advantage = cast("list[Any]", row)
    return (
        type(word) is str
        and len(word) <= MOST_OF_TOKEN
        and type(count) is int
        and 0 < count < MOST_COUNT
        and type(advantage) in (int, float)
        and abs(advantage) < LARGEST_ADVANTAGE
    )


def _shares(counts: list[int]) -> list[float]:
    total = sum(counts) or 1
    return [round(count / total, 4) for count in counts]
