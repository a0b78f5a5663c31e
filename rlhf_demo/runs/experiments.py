"""Which answer to an experiment's question came true, computed from the runs' own metrics.

Pure functions over the rows of metrics.jsonl. The experiments are in config/experiments.py.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlhf_demo.config.experiments import Experiment
from rlhf_demo.files import Row
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.runs.trend import END_STEPS, NOISE


@dataclass(frozen=True)
class Measured:
    """What the answer is computed from.

    Attributes:
        rows: all rows of a finished run's metrics.
        accuracy: of its reward model on held-out pairs, 0 to 1; None if unknown.
    """

    rows: Sequence[Row]
    accuracy: float | None = None


@dataclass(frozen=True)
class End:
    """A metric at the end of a run: the mean of its last values, and the mean's standard error."""

    mean: float
    error: float  # NaN if there is one value


@dataclass(frozen=True)
class Outcome:
    """The answer that came true.

    Attributes:
        answer: its place in the experiment's answers.
        sentence: the figures that decided.
    """

    answer: int
    sentence: str


def end_of(rows: Sequence[Row], metric: str) -> End | None:
    """Return a metric's end, from its last END_STEPS values; None if it has no value."""
    values = [row[metric] for row in rows if row.get(metric) is not None][-END_STEPS:]
    if not values:
        return None
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return End(fmean(values), error)


def outcome(experiment: Experiment, run: Measured, default: Measured) -> Outcome | None:
    """Return which answer came true; None if a run has no value of the metric that decides."""
    end, usual = (end_of(measured.rows, experiment.metric) for measured in (run, default))
    if end is None or usual is None:
        return None
    figure, noise = compared(experiment, end, usual)
    answer = bisect_right(experiment.bounds, figure)
    sentences = [_figures(experiment, end, usual, figure)]
    near = {bisect_right(experiment.bounds, figure + side) for side in (-noise, noise)} - {answer}
    if near and not math.isnan(noise):
        other = " or ".join(f"\u201c{experiment.answers[place]}\u201d" for place in sorted(near))
        sentences.append(f"This is close: chance alone could have made it {other}.")
    if experiment.reward is not None and run.accuracy is not None and default.accuracy is not None:
        sentences.append(
            f"The reward model was right on {run.accuracy:.0%} of the held-out pairs; the default "
            f"one is right on {default.accuracy:.0%}."
        )
    return Outcome(answer, " ".join(sentences))


def compared(experiment: Experiment, end: End, usual: End) -> tuple[float, float]:
    """Return the figure that decides, and how far chance moves it (NOISE standard errors).

    The errors of both runs are independent, so their squares add up: those of a difference as they
    are, those of a quotient as shares of the means.
    """
    if experiment.compared == "alone":
        return end.mean, NOISE * end.error
    if experiment.compared == "minus":
        return end.mean - usual.mean, NOISE * math.hypot(end.error, usual.error)
    figure = end.mean / usual.mean
    return figure, NOISE * math.hypot(end.error, figure * usual.error) / abs(usual.mean)


def yardstick(experiment: Experiment, default: Measured) -> str:
    """Say where the default run ended, which the question is compared with."""
    usual = end_of(default.rows, experiment.metric)
    if usual is None:
        return ""
    metric = GLOSSARY[experiment.metric]
    return f"In the default run, the {metric.label} ended at {_with_unit(usual, metric.unit)}."


def _figures(experiment: Experiment, end: End, usual: End, figure: float) -> str:
    metric = GLOSSARY[experiment.metric]
    said = f"The {metric.label} ended at {_with_unit(end, metric.unit)}"
    there = _number(usual.mean)
    if experiment.compared == "times":
        return f"{said}, {_number(figure)} times the default run\u2019s {there}."
    if experiment.compared == "minus":
        more = "more" if figure >= 0 else "less"
        return f"{said}, {_number(abs(figure))} {more} than the default run\u2019s {there}."
    return f"{said}; the base has 0, the default run {there}."


def _number(x: float) -> str:
    """Write two digits behind the point, one from 10 on; never -0."""
    digits = 2 if abs(x) < 10 else 1
    return f"{round(x, digits) + 0.0:.{digits}f}"


def _with_unit(end: End, unit: str) -> str:
    return f"{_number(end.mean)} {unit}"
