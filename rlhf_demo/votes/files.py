"""Export and import votes as JSONL and Parquet.

The format is TRL's (`prompt`, `chosen`, `rejected`) with additional columns. A second layout has
every answer, ties and skips included. Files have voters' numbers, never their nicknames.
"""

import calendar
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

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
    Vote,
    clean_text,
    plain_text,
    written_time,
)

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

FIELDS = {"lesson": "collection", "rater": "voter"}
"""The fields of a vote whose column has another name."""

MOST_ROUNDS = 10_000
"""Highest number of a round; a higher one is an error in the file."""

BOUNDS = Bounds(rows=5_000, bytes=20_000_000)
"""Larger files are training data, not the votes of a page."""

MOST_SECONDS = 1e9
"""Thirty years for one pair: a longer time, or infinity, is an error in the file."""

_LONGEST = {
    "prompt": LONGEST_TEXT, "first": LONGEST_TEXT, "second": LONGEST_TEXT, "chosen": LONGEST_TEXT,
    "rejected": LONGEST_TEXT, "first_model": LONGEST_MODEL, "second_model": LONGEST_MODEL,
    "chosen_model": LONGEST_MODEL, "rejected_model": LONGEST_MODEL,
}  # fmt: skip

_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON can contain and a database cannot."""

_REQUIRED = {
    "preferences": ("prompt", "chosen", "rejected"),
    "all": ("prompt", "first", "second", "choice"),
}


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
    if path.suffix == ".jsonl":
        write_text(path, row_lines(rows))
    elif path.suffix == ".parquet":
        _write_parquet(rows, columns, path)
    else:
        raise DataError(f"{path.name} has an unknown format: name it .jsonl or .parquet")
    return len(rows)


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
    if path.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"{path.name} has an unknown format: name it .jsonl or .parquet")
    votes: list[Vote] = []
    for number, row in file_rows(path, ALL_COLUMNS | PREFERENCE_COLUMNS, BOUNDS):
        where = f"{path.name} row {number}"
        try:
            votes.append(_read_vote(row, where, number, question))
        except Refused as error:
            raise DataError(f"{where}: {error}") from None
    if not votes:
        raise DataError(f"{path.name} holds no votes: choose a file with votes")
    return votes


def _read_vote(row: Any, where: str, number: int, question: str) -> Vote:
    if not is_record(row):
        raise DataError(f"{where} is {short(row)}, not an object with columns: fix it")
    layout = "all" if "choice" in row else "preferences"
    for name in _REQUIRED[layout]:
        if not isinstance(row.get(name), str):
            raise DataError(f"{where}: column {name!r} is {short(row.get(name))}: give text")
    columns = ALL_COLUMNS if layout == "all" else PREFERENCE_COLUMNS
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
    row = row | {
        name: plain_text(row[name], most, name)
        for name, most in _LONGEST.items()
        if isinstance(row.get(name), str)
    }
    asked = clean_text(_given(row, "question", question), LONGEST_QUESTION, "question")
    number_of_round = _given(row, "round", 1)
    if not 0 < number_of_round <= MOST_ROUNDS:
        raise DataError(f"{where}: round is {number_of_round}: use 1 to {MOST_ROUNDS}")
    seconds = row.get("seconds")
    if layout == "all" and seconds is not None and not 0 <= seconds <= MOST_SECONDS:
        raise DataError(f"{where}: seconds is {str(seconds)[:40]}: use 0 or more, or leave it out")
    texts = _all_texts(row, where) if layout == "all" else _preference_texts(row)
    return Vote(
        id=number,
        collection=0,
        round=number_of_round,
        pair=0,
        prompt=row["prompt"],
        question=asked,
        voter=_given(row, "rater", 1),
        time=_read_time(row.get("time"), where),
        simulated=_given(row, "simulated", False),
        left_out=_given(row, "left_out", False),
        **texts,
    )


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
