"""One response of a PPO step: the score at its end becomes an advantage of every token."""

from functools import cache
from typing import Any

from rlhf_demo.explain.ppo_step import Trace, trace
from rlhf_demo.files import Row, read_json, read_jsonl
from rlhf_demo.lessons.looks import Outcome, PPOStepLook
from rlhf_demo.lessons.request import Models, number_of, rounded
from rlhf_demo.paths import CHECKPOINTS

RUN = "ppo-quick"
"""The shipped run whose responses are shown."""
STEP, SAMPLE = 1, 0
"""Of the question's response, \u201cThis thriller is a complete mess.\u201d"""
BLAMED = " mess"
"""The word that one of the answers blames."""


def look(models: Models, request: dict[str, Any]) -> PPOStepLook:
    """Return the figures of a response that the shipped run kept.

    Args:
        request: `step` from 1, `sample` from 0.

    Raises:
        DemoError: there is no such response.
    """
    steps, _, _ = _record()
    step = number_of(request, "step", STEP, 1, max(steps))
    rows = steps[step]
    sample = number_of(request, "sample", SAMPLE, 0, len(rows) - 1)
    row, found = rows[sample], _trace(step, sample)
    return {
        "run": RUN,
        "step": step,
        "steps": max(steps),
        "sample": sample,
        "samples": len(rows),
        "prompt": row["prompt"],
        "score": row["score"],
        "tokens": row["token"],
        "reward": _column(found, "reward"),
        "value": _column(found, "value"),
        "advantage": _column(found, "advantage"),
        "ratio": _column(found, "ratio"),
        "asked": _asked(found),
        "stopped": _stopped(found),
        "clipped": row["clipped"],
        "clip_range": _record()[2]["clip_range"],
    }


def outcome(models: Models) -> Outcome:
    """Return which tokens of the question's response get a negative advantage."""
    tokens = _record()[0][STEP][SAMPLE]["token"]
    advantages = _column(_trace(STEP, SAMPLE), "advantage")
    below = [token for token, value in zip(tokens, advantages, strict=True) if value < 0]
    result = (
        f"{len(below)} of {len(tokens)} tokens have a negative advantage: from "
        f"{advantages[0]:.2f} at the first to {advantages[-1]:.2f} at the last, in standard "
        "deviations of the step\u2019s advantages."
    ).replace("-", "\u2212")
    answers = {tuple(tokens[-1:]): 0, (BLAMED,): 1, tuple(tokens): 2}
    return {"answer": answers.get(tuple(below), 3), "result": result}


@cache
def _record() -> tuple[dict[int, list[Row]], dict[int, Row], dict[str, Any]]:
    """Return the shipped run's kept responses and metrics by step, and its options."""
    folder = CHECKPOINTS / "examples" / RUN
    steps: dict[int, list[Row]] = {}
    for row in read_jsonl(folder / "samples.jsonl"):
        steps.setdefault(row["step"], []).append(row)
    metrics = {row["step"]: row for row in read_jsonl(folder / "metrics.jsonl")}
    return steps, metrics, read_json(folder / "config.json")["options"]


def _trace(step: int, sample: int) -> Trace:
    steps, metrics, options = _record()
    return trace(steps[step], sample, metrics[step], options)


def _column(found: Trace, name: str) -> list[float]:
    column = found.columns[name]
    assert column is not None  # the shipped run notes enough
    return rounded(column[0])


def _stopped(found: Trace) -> list[bool]:
    assert found.stopped is not None
    return found.stopped[0].tolist()


def _asked(found: Trace) -> int:
    """Return the token of the second question: the first one that the clip stops.

    If it stops none: the one whose ratio is furthest from 1.
    """
    stopped, ratios = _stopped(found), _column(found, "ratio")
    if True in stopped:
        return stopped.index(True)
    return max(range(len(ratios)), key=lambda at: abs(ratios[at] - 1))
