"""Export and import votes, rankings and demonstrations as JSONL and Parquet.

The format of votes is TRL's (`prompt`, `chosen`, `rejected`) with additional columns. A second
layout has every answer, ties and skips included. Demonstrations have TRL's `prompt` and
`completion`. A ranking is one row with its four texts and their order, for which TRL has no format.
Files have voters' numbers, never their nicknames.
"""

import calendar
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from rlhf_demo.data.rows import Bounds, file_rows, short
from rlhf_demo.errors import DataError, Refused
from rlhf_demo.files import is_record, replacing, write_text
from rlhf_demo.votes.vote import (
    ATTENTION_CHECK,
    DUEL,
    KEPT_CHOICES,
    LONGEST_MODEL,
    LONGEST_QUESTION,
    LONGEST_TEXT,
    PLAIN,
    Demonstration,
    Ranking,
    Vote,
    check_different,
    check_order,
    clean_text,
    plain_text,
    written_time,
)

T = TypeVar("T")

PREFERENCE_COLUMNS = {
    "prompt": str, "chosen": str, "rejected": str, "question": str, "lesson": int, "rater": int,
    "round": int, "time": str, "kind": str, "chosen_model": str, "rejected_model": str,
    "chosen_on_left": bool, "simulated": bool, "left_out": bool,
}  # fmt: skip
"""Columns of the TRL layout: the votes for training, so each voter's first decision on a pair.
`lesson` and `rater`, the numbers of the collection and of the voter, keep the names that files from
earlier versions have."""

ALL_COLUMNS = {
    "prompt": str, "first": str, "second": str, "choice": str, "question": str, "lesson": int,
    "rater": int, "round": int, "time": str, "seconds": float, "kind": str, "repeat": bool,
    "swapped": bool, "first_model": str, "second_model": str, "simulated": bool, "left_out": bool,
}  # fmt: skip
"""Columns of the layout with every answer; `swapped`: the second text stood on the left."""

DEMONSTRATION_COLUMNS = {
    "prompt": str, "completion": str, "question": str, "lesson": int, "rater": int, "round": int,
    "time": str, "left_out": bool,
}  # fmt: skip
"""Columns of demonstrations, the texts that voters wrote. Prompt and completion make the text."""

RANKING_COLUMNS = {
    "prompt": str, "first": str, "second": str, "third": str, "fourth": str, "order": str,
    "question": str, "lesson": int, "rater": int, "round": int, "time": str, "model": str,
    "seed": int, "left_out": bool,
}  # fmt: skip
"""Columns of rankings. The texts are A to D; `order` names their letters, best first: "CADB"."""

FIELDS = {"lesson": "collection", "rater": "voter"}
"""The fields of a vote, ranking or demonstration whose column has another name."""

MOST_ROUNDS = 10_000
"""Highest number of a round; a higher one is an error in the file."""

BOUNDS = Bounds(rows=20_000, bytes=20_000_000)
"""As many votes as the open page exports. Larger files are training data."""

HIGHEST_SEED = 2**31 - 1
"""The highest number that every database keeps."""

MOST_SECONDS = 1e9
"""Thirty years for one pair: a longer time, or infinity, is an error in the file."""

_LONGEST = {
    "prompt": LONGEST_TEXT, "first": LONGEST_TEXT, "second": LONGEST_TEXT, "chosen": LONGEST_TEXT,
    "rejected": LONGEST_TEXT, "first_model": LONGEST_MODEL, "second_model": LONGEST_MODEL,
    "chosen_model": LONGEST_MODEL, "rejected_model": LONGEST_MODEL, "completion": LONGEST_TEXT,
    "third": LONGEST_TEXT, "fourth": LONGEST_TEXT, "model": LONGEST_MODEL,
}  # fmt: skip

_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON can contain and a database cannot."""

PREFERENCE_TEXTS = ("prompt", "chosen", "rejected")
ALL_TEXTS = ("prompt", "first", "second", "choice")
DEMONSTRATION_TEXTS = ("prompt", "completion")
RANKING_TEXTS = ("prompt", "first", "second", "third", "fourth", "order")
"""Columns that a file in each layout must have."""


# -- export ----------------------------------------------------------------------------------------


def preference_row(vote: Vote) -> dict[str, Any]:
    """Return a decided vote in TRL's format, with the columns of PREFERENCE_COLUMNS."""
    models = (vote.first_model, vote.second_model)
    chosen_model, rejected_model = models if vote.choice == "first" else models[::-1]
    return {
        "prompt": vote.prompt,
        "chosen": vote.chosen,
        "rejected": vote.rejected,
        "question": vote.question,
        "lesson": vote.collection,
        "rater": vote.voter,
        "round": vote.round,
        "time": written_time(vote.time),
        "kind": vote.kind,
        "chosen_model": chosen_model,
        "rejected_model": rejected_model,
        "chosen_on_left": vote.left,
        "simulated": vote.simulated,
        "left_out": vote.left_out,
    }


def full_row(vote: Vote) -> dict[str, Any]:
    """Return any vote with the columns of ALL_COLUMNS; seconds that are not finite become None."""
    row: dict[str, Any] = {name: getattr(vote, FIELDS.get(name, name)) for name in ALL_COLUMNS}
    row["time"] = written_time(vote.time)
    if row["seconds"] is not None and not math.isfinite(row["seconds"]):
        row["seconds"] = None
    return row


def demonstration_row(demonstration: Demonstration) -> dict[str, Any]:
    """Return a demonstration in TRL's format, with the columns of DEMONSTRATION_COLUMNS."""
    fields = {name: FIELDS.get(name, name) for name in DEMONSTRATION_COLUMNS}
    row: dict[str, Any] = {name: getattr(demonstration, of) for name, of in fields.items()}
    return row | {"time": written_time(demonstration.time)}


def ranking_row(ranking: Ranking) -> dict[str, Any]:
    """Return a ranking with the columns of RANKING_COLUMNS."""
    fields = {name: FIELDS.get(name, name) for name in RANKING_COLUMNS}
    row: dict[str, Any] = {name: getattr(ranking, of) for name, of in fields.items()}
    return row | {"time": written_time(ranking.time)}


def ranking_pair_rows(ranking: Ranking) -> list[dict[str, Any]]:
    """Return a ranking's six pairs in TRL's format, as a reward model trains on them.

    They share the column `ranking`, from which training computes each pair's weight: 1/6.
    """
    common = {
        "question": ranking.question,
        "lesson": ranking.collection,
        "rater": ranking.voter,
        "round": ranking.round,
        "time": written_time(ranking.time),
        "kind": "ranking",
        "chosen_model": ranking.model,
        "rejected_model": ranking.model,
        "left_out": ranking.left_out,
        "ranking": ranking.id,
    }
    texts = [{"prompt": ranking.prompt, "chosen": c, "rejected": r} for c, r in ranking.pairs]
    return [row | common for row in texts]


def export_votes(votes: Iterable[Vote], path: Path, *, all_votes: bool = False) -> int:
    """Write votes as JSONL or Parquet, by the file's name; return how many rows.

    Args:
        votes: the votes to write.
        path: ends in .jsonl or .parquet.
        all_votes: write every answer in the layout of ALL_COLUMNS, not the preferences alone.

    Raises:
        DataError: there is nothing to write, or the name has another ending.
    """
    if all_votes:
        columns, rows = ALL_COLUMNS, [full_row(vote) for vote in votes]
    else:
        columns, rows = PREFERENCE_COLUMNS, [preference_row(v) for v in votes if v.teaches]
    if not rows:
        raise DataError("there are no votes to write yet: vote first")
    return _write_rows(rows, columns, path)


def export_demonstrations(demonstrations: Iterable[Demonstration], path: Path) -> int:
    """Write demonstrations as JSONL or Parquet, by the file's name; return how many rows.

    Raises:
        DataError: there is nothing to write, or the name has another ending.
    """
    rows = [demonstration_row(demonstration) for demonstration in demonstrations]
    if not rows:
        raise DataError('there are no written texts yet: use "Write it better" first')
    return _write_rows(rows, DEMONSTRATION_COLUMNS, path)


def export_rankings(rankings: Iterable[Ranking], path: Path) -> int:
    """Write rankings as JSONL or Parquet, by the file's name; return how many rows.

    Raises:
        DataError: there is nothing to write, or the name has another ending.
    """
    rows = [ranking_row(ranking) for ranking in rankings]
    if not rows:
        raise DataError('there are no rankings yet: use "Rank four" first')
    return _write_rows(rows, RANKING_COLUMNS, path)


def _write_rows(rows: list[dict[str, Any]], columns: dict[str, type], path: Path) -> int:
    if path.suffix == ".jsonl":
        write_text(path, row_lines(rows))
    elif path.suffix == ".parquet":
        _write_parquet(rows, columns, path)
    else:
        raise _unknown_format(path)
    return len(rows)


def _unknown_format(path: Path) -> DataError:
    return DataError(f"{path.name} has an unknown format: name it .jsonl or .parquet")


def row_lines(rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as the text of a JSONL file."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _write_parquet(rows: list[dict[str, Any]], columns: dict[str, type], path: Path) -> None:
    import pyarrow  # noqa: PLC0415  (with its file format: half a second)
    import pyarrow.parquet  # noqa: PLC0415

    kinds: dict[type, pyarrow.DataType] = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        bool: pyarrow.bool_(),
        float: pyarrow.float64(),
    }
    # Explicit types: pyarrow would give a column without any value a type of its own.
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)


# -- import ----------------------------------------------------------------------------------------


class VoteTexts(TypedDict):
    """The fields of a `Vote` that the two layouts hold in different ways."""

    kind: str
    first: str
    second: str
    first_model: str
    second_model: str
    choice: str
    swapped: bool | None
    repeat: bool
    seconds: float | None


class RowFacts(TypedDict):
    """The fields that a `Vote`, a `Ranking` and a `Demonstration` share."""

    collection: int
    round: int
    question: str
    voter: int
    time: float
    left_out: bool


def read_votes(path: Path, *, question: str) -> list[Vote]:
    """Read votes in either layout; missing columns get plain values.

    The two texts of a preference are sorted, so that two people who preferred different texts
    count as disagreeing on one pair.

    Args:
        path: ends in .jsonl or .parquet.
        question: the question, if the file does not say.

    Returns:
        The votes; their ids count rows from 1, and the ids of pairs and collections mean nothing.

    Raises:
        DataError: the file cannot be read or is too large, or a row cannot be used; rows count
            from 1.
    """
    votes = _read_rows(path, lambda row, where, number: _read_vote(row, where, number, question))
    if not votes:
        raise DataError(f"{path.name} holds no votes: choose a file with votes")
    return votes


def read_demonstrations(path: Path, *, question: str) -> list[Demonstration]:
    """Read demonstrations; arguments, missing columns, ids and errors are as in `read_votes`."""
    return _read_rows(path, lambda row, where, number: _read_text(row, where, number, question))


def read_rankings(path: Path, *, question: str) -> list[Ranking]:
    """Read rankings; arguments, missing columns, ids and errors are as in `read_votes`."""
    return _read_rows(path, lambda row, where, number: _read_ranking(row, where, number, question))


def holds_rankings(path: Path) -> bool:
    """Say whether a file holds rankings: its first row decides.

    Raises:
        DataError: the file cannot be read.
    """
    first = next(iter(_rows_of(path)), (0, None))[1]
    return is_record(first) and "order" in first and "choice" not in first


def holds_demonstrations(path: Path) -> bool:
    """Say whether a file holds demonstrations, not votes: its first row decides.

    Raises:
        DataError: the file cannot be read.
    """
    first = next(iter(_rows_of(path)), (0, None))[1]
    return is_record(first) and "completion" in first and "choice" not in first


def _rows_of(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix not in (".jsonl", ".parquet"):
        raise _unknown_format(path)
    known = ALL_COLUMNS | PREFERENCE_COLUMNS | DEMONSTRATION_COLUMNS | RANKING_COLUMNS
    return file_rows(path, known, BOUNDS)


def _read_rows(path: Path, read: Callable[[Any, str, int], T]) -> list[T]:
    """Read each row with `read`, which gets the row, its place in words, and its number."""
    found: list[T] = []
    for number, row in _rows_of(path):
        where = f"{path.name} row {number}"
        try:
            found.append(read(row, where, number))
        except Refused as error:
            raise DataError(f"{where}: {error}") from None
    return found


def _read_vote(row: Any, where: str, number: int, question: str) -> Vote:
    every = is_record(row) and "choice" in row
    columns, required = (
        (ALL_COLUMNS, ALL_TEXTS) if every else (PREFERENCE_COLUMNS, PREFERENCE_TEXTS)
    )
    row = _checked(row, where, columns, required)
    seconds = row.get("seconds")
    if every and seconds is not None and not 0 <= seconds <= MOST_SECONDS:
        raise DataError(f"{where}: seconds is {str(seconds)[:40]}: use 0 or more, or leave it out")
    texts = _all_texts(row, where) if every else _preference_texts(row)
    return Vote(
        id=number,
        pair=0,
        prompt=row["prompt"],
        simulated=_given(row, "simulated", False),
        **_common(row, where, question),
        **texts,
    )


def _read_text(row: Any, where: str, number: int, question: str) -> Demonstration:
    row = _checked(row, where, DEMONSTRATION_COLUMNS, DEMONSTRATION_TEXTS)
    if not row["completion"].strip():
        raise DataError(f"{where}: column 'completion' is empty: give text")
    texts = {name: row[name] for name in DEMONSTRATION_TEXTS}
    return Demonstration(id=number, **texts, **_common(row, where, question))


def _read_ranking(row: Any, where: str, number: int, question: str) -> Ranking:
    row = _checked(row, where, RANKING_COLUMNS, RANKING_TEXTS)
    texts = {name: row[name] for name in RANKING_TEXTS if name not in ("prompt", "order")}
    for name, text in texts.items():
        if not text.strip():
            raise DataError(f"{where}: column {name!r} is empty: give text")
    check_different(list(texts.values()))
    seed = _given(row, "seed", 0)
    if not 0 <= seed <= HIGHEST_SEED:
        raise DataError(f"{where}: seed is {short(seed)}: use 0 to {HIGHEST_SEED}, or leave it out")
    return Ranking(
        id=number,
        prompt=row["prompt"],
        **texts,
        order=check_order(row["order"]),
        model=_given(row, "model", ""),
        seed=seed,
        **_common(row, where, question),
    )


def _common(row: dict[str, Any], where: str, question: str) -> RowFacts:
    number_of_round = _given(row, "round", 1)
    if not 0 < number_of_round <= MOST_ROUNDS:
        raise DataError(f"{where}: round is {number_of_round}: use 1 to {MOST_ROUNDS}")
    return {
        "collection": 0,
        "round": number_of_round,
        "question": clean_text(_given(row, "question", question), LONGEST_QUESTION, "question"),
        "voter": _given(row, "rater", 1),
        "time": _read_time(row.get("time"), where),
        "left_out": _given(row, "left_out", False),
    }


def _checked(
    row: Any, where: str, columns: dict[str, type], required: Sequence[str]
) -> dict[str, Any]:
    """Return a row whose values have the types of the columns; its texts without controls."""
    if not is_record(row):
        raise DataError(f"{where} is {short(row)}, not an object with columns: fix it")
    for name in required:
        if row.get(name) is None:
            raise DataError(f"{where}: column {name!r} is missing: add it")
        if not isinstance(row[name], str):
            raise DataError(f"{where}: column {name!r} is {short(row[name])}: give text")
    for name, kind in columns.items():
        accepted = (int, float) if kind is float else kind
        value = row.get(name)
        wrong = value is not None and not isinstance(value, accepted)
        if wrong or (kind in (int, float) and isinstance(value, bool)):
            raise DataError(
                f"{where}: column {name!r} is {short(value)}: give a value of type {kind.__name__}"
            )
        if isinstance(value, str) and _UNKEEPABLE.search(value):
            raise DataError(
                f"{where}: column {name!r} holds an incomplete or a null character: fix it"
            )
    return row | {
        name: plain_text(row[name], most, name)
        for name, most in _LONGEST.items()
        if isinstance(row.get(name), str)
    }


def _all_texts(row: dict[str, Any], where: str) -> VoteTexts:
    kind = _given(row, "kind", PLAIN)
    if row["choice"] not in KEPT_CHOICES or kind not in (PLAIN, ATTENTION_CHECK, DUEL):
        raise DataError(
            f"{where}: choice {short(row['choice'])} on a pair of kind {short(kind)} is not known: "
            f"use one of {', '.join(KEPT_CHOICES)} and {', '.join((PLAIN, ATTENTION_CHECK, DUEL))}"
        )
    return {
        "kind": kind,
        "first": row["first"],
        "second": row["second"],
        "first_model": _given(row, "first_model", ""),
        "second_model": _given(row, "second_model", ""),
        "choice": row["choice"],
        "swapped": row.get("swapped"),
        "repeat": _given(row, "repeat", False),
        "seconds": row.get("seconds"),
    }


def _preference_texts(row: dict[str, Any]) -> VoteTexts:
    texts = [
        (row["chosen"], _given(row, "chosen_model", "")),
        (row["rejected"], _given(row, "rejected_model", "")),
    ]
    (first, first_model), (second, second_model) = sorted(texts)
    chose_first = first == row["chosen"]
    on_left = row.get("chosen_on_left")
    return {
        "kind": PLAIN,
        "first": first,
        "second": second,
        "first_model": first_model,
        "second_model": second_model,
        "choice": "first" if chose_first else "second",
        "swapped": None if on_left is None else on_left != chose_first,
        "repeat": False,
        "seconds": None,
    }


def _given(row: dict[str, Any], name: str, default: Any) -> Any:
    value = row.get(name)
    return default if value is None else value


def _read_time(text: str | None, where: str) -> float:
    if text is None:
        return time.time()
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        raise DataError(
            f"{where}: column 'time' is {short(text)}: write it as 2026-01-31T09:00:00Z, in UTC"
        ) from None
