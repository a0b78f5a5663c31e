"""Rows of a data file, JSONL, JSON, CSV (each also with .gz) or Parquet, within given limits.

A small file may unpack to more than there is memory or time for, so the unpacked size is limited.
Each row has its number, so that an error can name a bad row.
"""

import csv
import gzip
import io
import json
import re
import reprlib
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError

LONGEST_TEXT = 200_000
"""Characters of one text from any source: forty times what GPT-2 reads (1,024 tokens)."""

MOST_ROW = 20_000_000
"""Characters of one JSON row: the length of the largest upload. In memory they may take thirty
times as much."""

MOST_COLUMNS = 200
BATCH = 64
"""Rows of a Parquet file to unpack at once."""


@dataclass(frozen=True)
class Bounds:
    """The most to read from one file: rows, and bytes of unpacked text."""

    rows: int
    bytes: int


OWN = Bounds(rows=5_000_000, bytes=500_000_000)
"""For a file on one's own machine; more would need more memory than a laptop has."""

UPLOADED = Bounds(rows=100_000, bytes=20_000_000)
"""For an uploaded file: forty times the shipped pairs."""

Row = tuple[int, Any]
"""The number of a row, from 1, and the row; in JSONL the line number, for use in an editor."""


def kind_of(name: str) -> str:
    """Return the format in a file's name: jsonl, json, csv, parquet, or "" if unknown."""
    match = re.search(r"\.(jsonl|json|csv|parquet)(\.gz)?$", name.lower())
    return match[1] if match else ""


def file_rows(path: Path, columns: Collection[str], bounds: Bounds) -> Iterator[Row]:
    """Yield the rows of a file: dicts, but from JSON any value.

    Args:
        path: the file, with its format in its name.
        columns: columns to read from a Parquet file; all if it has none of these.
        bounds: the most that is read.

    Raises:
        DataError: the file cannot be read or is larger than the bounds.
    """
    kind = kind_of(path.name)
    if not kind:
        raise DataError(
            f"{path.name} has an unknown format: name it .jsonl, .json, .csv or .parquet"
        )
    if kind == "parquet":
        rows = _parquet_rows(path, columns, bounds)
    else:
        rows = _csv_rows(path, bounds) if kind == "csv" else _json_rows(path, bounds)
    try:
        for number, row in rows:
            if number > bounds.rows:
                raise _too_many(path, bounds.rows)
            yield number, row
    except MemoryError:
        raise DataError(
            f"{path.name} does not fit into memory once unpacked: give fewer rows"
        ) from None


def read_text(path: Path, most: int) -> str:
    """Read a text file, unpacking a .gz.

    Raises:
        DataError: it cannot be read, is not UTF-8, or holds more bytes than `most`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise _too_large(path, most)
        return data.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path.name} cannot be read as UTF-8 text ({reason}): save it again"
        ) from None


def short(value: Any) -> str:
    """Return a value for a message, shortened if it is long or nested."""
    return reprlib.repr(value)


def _too_many(path: Path, most: int) -> DataError:
    return DataError(f"{path.name} has more than {most:,} rows: give fewer")


def _too_large(path: Path, most: int) -> DataError:
    return DataError(f"{path.name} holds over {most // 10**6} MB of text: give less")


# -- JSON ------------------------------------------------------------------------------------------


def _json_rows(path: Path, bounds: Bounds) -> Iterator[Row]:
    text = read_text(path, bounds.bytes)
    begins = LIST_BEGINS.match(text)
    if kind_of(path.name) == "json" and begins:
        yield from _listed(text, begins.end(), path.name)
        return
    # One by one, because a list of twenty million empty lines takes much memory. Not splitlines,
    # because texts contain other separators.
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if line.strip():
            yield number, _parse(line, f"{path.name} row {number}")


BLANKS = r"[ \t\n\r]*+"
LIST_BEGINS = re.compile(rf"{BLANKS}\[{BLANKS}")
ROW_ENDS = re.compile(rf"{BLANKS}(,{BLANKS}(?!\]|\Z)|\]{BLANKS}\Z)")


def _listed(text: str, position: int, name: str) -> Iterator[Row]:
    """Yield the rows of a list whose first row starts at `position`.

    Parsed as a whole, they could take thirty times the memory of the text.
    """
    decode = json.JSONDecoder().raw_decode
    window, start, number = (
        "",
        position,
        1,
    )  # a row is parsed from a piece of the text, from `start`
    while position < len(text) and text[position] != "]":
        try:
            row, end = decode(window, position - start)
            after = ROW_ENDS.match(text, start + end)
            if after is None:
                raise ValueError("no comma or ] follows")
        except RecursionError:
            raise _too_deep(f"{name} row {number}") from None
        except ValueError as error:
            if window and start == position:
                raise DataError(
                    f"{name} row {number} is not valid JSON ({getattr(error, 'msg', error)}), or "
                    f"has over {MOST_ROW:,} characters: fix it"
                ) from None
            start, window = position, text[position : position + MOST_ROW]
            continue
        yield number, row
        position, number = after.end(), number + 1


def _parse(text: str, where: str) -> Any:
    if len(text) > MOST_ROW:
        raise DataError(f"{where} has over {MOST_ROW:,} characters: give shorter texts")
    try:
        return json.loads(text)
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({error}): fix it") from None


def _too_deep(where: str) -> DataError:
    return DataError(f"{where} is nested too deeply: write one flat object per row")


# -- CSV -------------------------------------------------------------------------------------------


def _csv_rows(path: Path, bounds: Bounds) -> Iterator[Row]:
    csv.field_size_limit(2 * LONGEST_TEXT)  # some dialogues exceed the default of 128 KiB
    text = io.StringIO(read_text(path, bounds.bytes), newline="")  # see _json_rows
    try:
        reader = csv.DictReader(text, strict=True)
        _check_columns(path, reader.fieldnames or ())
        for number, row in enumerate(reader, start=1):
            if None in row:
                raise DataError(
                    f"{path.name} row {number} has more fields than the file has columns: "
                    "put a text with a comma in quotes"
                )
            yield number, {column: value for column, value in row.items() if value is not None}
    except csv.Error as error:
        raise DataError(f"{path.name} is not valid CSV ({error}): fix it") from None


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    columns = list(columns)
    if len(columns) > MOST_COLUMNS:
        raise DataError(
            f"{path.name} has {len(columns):,} columns: keep prompt, chosen and rejected"
        )
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise DataError(f"{path.name} has two columns named {short(twice)}: leave one out")


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_rows(path: Path, columns: Collection[str], bounds: Bounds) -> Iterator[Row]:
    """Read in batches, because a few bytes of a dictionary may unpack to terabytes of text."""
    import pyarrow  # noqa: PLC0415  (with its file format: a fifth of a second)
    import pyarrow.parquet  # noqa: PLC0415

    left = bounds.bytes
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > bounds.rows:
                raise _too_many(path, bounds.rows)
            names = file.schema_arrow.names
            _check_columns(path, names)
            # If none of them exist, read all, so that an error can name what is missing.
            wanted = [column for column in names if column in columns] or names
            for batch in file.iter_batches(BATCH, columns=wanted, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    # Count the texts: the reported size of a batch with a dictionary is smaller.
                    left -= sum(len(value) for value in row.values() if isinstance(value, str))
                    if left < 0:
                        raise _too_large(path, bounds.bytes)
                    yield number, row
    except MemoryError:  # some of Arrow's errors are both
        raise
    except (pyarrow.ArrowException, OSError, ValueError):  # their words are for programmers
        raise DataError(
            f"{path.name} is not a readable Parquet file, or it is damaged: save it again as "
            "Parquet"
        ) from None
