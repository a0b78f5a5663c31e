"""The record of a frontier: how often models win against the base, and how far from it they are.

evaluation/frontier_measure.py makes it, evaluation/frontier.py computes with it.
"""

from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast, get_args, get_origin, get_type_hints

from rlhf_demo.errors import DataError
from rlhf_demo.files import short_name
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import read_figures

SHIPPED_FRONTIER = CHECKPOINTS / "examples" / "frontier.json"

AGAINST = 8
"""Responses of the base that each response of a model is compared with, prompt by prompt. One alone
would make the win rate depend on the base's luck."""

DIGITS = "0123456789abcdefg"
"""Half wins of a response against those of the base: 0 to 2 * AGAINST, one digit for a prompt."""

BEST_OF_N = "best-of-n"
"""The arm that trains nothing."""


class Cost(TypedDict):
    """What a run has used to learn."""

    labels: NotRequired[int]  # votes, also those behind the reward model; absent if not known
    generated: int  # texts sampled to learn from them
    reward_calls: int
    read: int  # texts read with gradient, each as often as it is read


class FrontierPoint(TypedDict):
    """A model of a run: its wins against the base, and its KL from it."""

    step: int  # the last finished one; of best-of-n, n
    kl: float  # exact, nats per response; of best-of-n, its upper bound
    kl_se: NotRequired[float]
    wins: dict[str, str]  # judge -> half wins on each prompt, see DIGITS
    distinct_2: NotRequired[float]


class FrontierRun(TypedDict):
    """A run and its measured steps; of best-of-n, the responses that were sampled with one seed."""

    name: str
    arm: str  # kind of run, or BEST_OF_N
    setting: str  # the options that differ from the defaults, in words; empty if none does
    seed: int
    cost: Cost  # of the whole run
    points: list[FrontierPoint]


class FrontierRecord(TypedDict):
    """Runs measured on the same prompts, against the same responses of the base."""

    base: str  # its name
    prompts: list[str]
    max_new_tokens: int
    temperature: float
    judges: list[str]
    against: dict[str, list[list[float]]]  # judge -> scores of the base's responses to each prompt
    runs: list[FrontierRun]
    chosen_by: NotRequired[str]  # scorer of best-of-n
    reward_model: NotRequired[Cost]  # of the reward model that the arms learn from, if they do
    seconds: NotRequired[dict[str, float]]  # arm -> of a run in its default setting, alone


def read_frontier(path: Path = SHIPPED_FRONTIER) -> FrontierRecord:
    """Read a record whole.

    Raises:
        DataError: the file is no record of a frontier, or has figures that do not fit together.
        OSError: the file cannot be read.
    """
    record = cast(FrontierRecord, read_figures(path, FrontierRecord))
    problem = _missing(record, FrontierRecord) or _misfit(record)
    if problem:
        raise DataError(
            f"{short_name(path)} is no record of a frontier ({problem}): restore or delete the file"
        )
    return record


def _missing(value: Any, kind: Any) -> str:
    """Name the first key that a value of the right types lacks; empty if it lacks none."""
    if get_origin(kind) is list:
        return next((lack for one in value if (lack := _missing(one, get_args(kind)[0]))), "")
    if not hasattr(kind, "__required_keys__"):
        return ""
    for name, inside in get_type_hints(kind).items():
        if name not in value:
            if name in kind.__required_keys__:
                return f"{name!r} is missing"
        elif lack := _missing(value[name], inside):
            return lack
    return ""


def _misfit(record: FrontierRecord) -> str:
    """Say which figures of a complete record do not fit together; empty if all do."""
    judges, count = record["judges"], len(record["prompts"])
    if not judges or count < 2:
        return "it needs a judge and two prompts"
    for judge in judges:
        scores = record["against"].get(judge, [])
        if len(scores) != count or any(len(row) != AGAINST for row in scores):
            return f"{judge} lacks scores of the base"
    for run in record["runs"]:
        if not run["points"]:
            return f"{run['name']} has no point"
        for point in run["points"]:
            digits = [point["wins"].get(judge, "") for judge in judges]
            if any(len(row) != count or set(row) - set(DIGITS) for row in digits):
                return f"the wins of {run['name']} do not fit the prompts"
            if point["kl"] < 0:
                return f"the KL of {run['name']} is below 0"
    return ""
