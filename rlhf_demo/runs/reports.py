"""What finished trainings and comparisons report of themselves, as their JSON files hold it."""

from functools import cache
from pathlib import Path
from types import UnionType
from typing import (
    Any,
    NotRequired,
    TypedDict,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from rlhf_demo.errors import DataError
from rlhf_demo.files import is_figure, is_record, read_json, short_name

MOST_REPORT = 2**20
"""Maximum bytes of a report. Ours have some kilobytes, with ten wrong pairs of up to 1,024 tokens
under 200."""

MOST_RECORDS = 1000
"""Records in a list of a report; ours have some dozens. The strip reads one at each poll, and a
megabyte has room for 86,000 short ones."""

MOST_LETTERS = 10_000
"""Letters that are read of a text in a report; a browser draws these at once."""


class ReliabilityRow(TypedDict):
    """How often a reward model is right where its confidence lies in one bin; all from 0 to 1."""

    low: float  # of the bin
    high: float
    predicted: float  # mean confidence
    observed: float  # share right
    observed_low: float  # of its 95% interval
    observed_high: float
    pairs: int


class QuartileRow(TypedDict):
    """How often a reward model is right in a quarter of the pairs, by the labeller's margin."""

    low: float  # smallest margin of the quarter, in the labeller's units
    high: float
    accuracy: float  # 0 to 1
    accuracy_low: float  # of its 95% interval
    accuracy_high: float
    pairs: int


class WrongPair(TypedDict):
    """A pair that a reward model puts in the wrong order."""

    prompt: str
    chosen: str
    rejected: str
    margin: float  # score of the chosen less the rejected response; the saved model's units


class RewardReport(TypedDict):
    """How well a reward model agrees with held-out votes; a tie counts as a half everywhere.

    Votes of several people on the same two texts are several `pairs`, but one of the
    `different_pairs` and one observation in every interval. The tables are empty if there are too
    few pairs.
    """

    accuracy: float  # 0 to 1
    accuracy_low: float  # of the 95% interval for a single evaluation
    accuracy_high: float
    watched_low: float  # of the interval that holds if model after model is evaluated
    watched_high: float
    pairs: int
    different_pairs: int
    loss: float  # nats per pair
    baseline_length: float  # accuracy of always choosing the text of that side, 0 to 1
    baseline_side: str  # longer or shorter: the better one on these very pairs
    stated: float  # the model's mean confidence, 0.5 to 1
    score_std: float  # logits per unit of the saved model's score
    reliability: list[ReliabilityRow]
    margin_quartiles: list[QuartileRow]
    most_wrong: list[WrongPair]
    score_mean: NotRequired[float]  # logits; this and what follows comes from the training
    train_pairs: NotRequired[int]
    dropped: NotRequired[dict[str, int]]  # reason -> rows
    cut: NotRequired[int]  # texts that were too long for the model


class PPOFigures(TypedDict):
    """Means over responses of a PPO run's saved model, one to each prompt."""

    kl: float  # exact, nats per response
    kl_se: float
    score: float  # in standard deviations of the base's scores
    score_se: float
    raw_score: float  # in the scorer's own units
    length: float  # tokens
    prompts: int


class PPOReport(PPOFigures):
    """How good the saved model of a PPO run is."""

    held_out: bool  # the run was not trained on these prompts


class ModelFigures(TypedDict):
    """What a comparison measures of one model."""

    name: str
    scores: list[float]  # means, one a judge, in the judge's units
    length: float  # mean, tokens
    eos_rate: float  # share of responses that end by themselves
    distinct_1: float  # share of different tokens
    distinct_2: float  # share of different bigrams
    different_responses: int
    best_of: NotRequired[int]  # of best-of-n: the n responses that each answer was chosen from
    kl: NotRequired[float]  # exact, from the base, nats per response; of best-of-n an upper bound
    kl_se: NotRequired[float]
    perplexity: NotRequired[float]  # under the base


class Verdict(TypedDict):
    """How often the right model wins against the left one by one judge's scores."""

    wins: int
    ties: int
    losses: int
    win_rate: float  # 0 to 1; a tie counts as half a win
    win_rate_low: float  # of its 95% interval
    win_rate_high: float


class NamedVerdict(Verdict):
    """A verdict with its judge's name."""

    name: str


class ComparedRow(TypedDict):
    """Both models' responses to a prompt, the left one first."""

    prompt: str
    responses: list[str]
    scores: list[list[float]]  # both responses' scores for each judge, in the judge's units


class BestOfRow(TypedDict):
    """How often the best of n responses would win, estimated from more of them."""

    n: int
    kl_bound: float  # most KL from the model that choosing adds, nats
    win_rates: list[float]  # one a judge, 0 to 1; a tie counts as half a win
    intervals: list[list[float]]  # the low and high end of their 95% intervals


class Comparison(TypedDict):
    """What two models' responses to the same prompts show, the left model first."""

    prompts: int
    models: list[ModelFigures]
    counted: dict[str, int]  # tokens and bigrams that distinct-1 and distinct-2 count in each model
    judges: list[NamedVerdict]
    rows: list[ComparedRow]
    by_n: NotRequired[list[BestOfRow]]  # if the right model chose the best of several responses


class CompareReport(Comparison):
    """A comparison and how it was sampled."""

    max_new_tokens: int
    temperature: float
    seed: int
    base: NotRequired[str]  # on the command line: model that KL is measured against
    split: NotRequired[str]  # on the command line: of the prompts
    chosen_by: NotRequired[str]  # on the command line: scorer that chose the best responses


def read_figures(path: Path, kind: Any, most: int = MOST_REPORT) -> Any:
    """Read a JSON file whose figures the page computes with; a copied run may have anything there.

    Args:
        path: the file.
        kind: a TypedDict, or a list of one. The file may lack some of its keys, as files of earlier
            versions do, and have others, which are left out.
        most: bytes.

    Raises:
        DataError: the file is not JSON or is too large, a value has another type than in `kind`, or
            a list has more than MOST_RECORDS records.
        OSError: the file cannot be read.
    """
    try:
        return figures(read_json(path, most), kind)
    except TypeError:
        raise DataError(
            f"{short_name(path)} has values of the wrong type, or too many: restore or delete the "
            "file"
        ) from None


def figures(value: Any, kind: Any) -> Any:
    """Return a value out of JSON without unknown keys and the ends of very long texts.

    Args:
        value: of a file that a copied run may have brought.
        kind: as for `read_figures`.

    Raises:
        TypeError: it does not fit the type.
    """
    if not _fits(value, kind):
        raise TypeError(f"it is no {kind}")
    return _known(value, kind)


def _known(value: Any, kind: Any) -> Any:
    """Return a value that fits the type, without unknown keys and the ends of very long texts."""
    if get_origin(kind) is UnionType:
        return _known(value, next(one for one in get_args(kind) if _fits(value, one)))
    if is_typeddict(kind):
        return {n: _known(value[n], inside) for n, inside in _hints(kind).items() if n in value}
    if get_origin(kind) is list:
        return [_known(each, get_args(kind)[0]) for each in value]
    if get_origin(kind) is dict:
        return {name: _known(each, get_args(kind)[1]) for name, each in value.items()}
    return value[:MOST_LETTERS] if kind is str else value


_hints = cache(get_type_hints)
"""The types of a TypedDict's keys; to work them out for each record takes 28 us."""


def _fits(value: Any, kind: Any) -> bool:
    """Say whether a value out of JSON has the type; a whole number may stand for a float."""
    if is_typeddict(kind):
        return is_record(value) and all(
            _fits(value[name], inside) for name, inside in _hints(kind).items() if name in value
        )
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        [inside] = get_args(kind)
        rows = cast("list[Any]", value)
        if type(value) is not list or (is_typeddict(inside) and len(rows) > MOST_RECORDS):
            return False
        return all(_fits(each, inside) for each in rows)
    if get_origin(kind) is dict:
        return is_record(value) and all(_fits(each, get_args(kind)[1]) for each in value.values())
    if kind in (int, float):
        return is_figure(value) and (kind is float or type(value) is int)
    return type(value) is kind
