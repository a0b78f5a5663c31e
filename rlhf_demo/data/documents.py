"""Read documents from a file or the Hub, and hold some of them out.

The first documents in the file's order are held out; if a column `split` has the value test in some
rows, the first of those rows. No model trains on them, and they do not count for the commonest
words.
"""

from pathlib import Path
from typing import Any

from rlhf_demo.data.hub_datasets import hub_rows
from rlhf_demo.data.rows import OWN, file_rows, read_text
from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record, is_unicode
from rlhf_demo.hub.locate import HUB_ID
from rlhf_demo.paths import CHECKPOINTS, typed_path

SHIPPED_PAIRS = CHECKPOINTS / "pairs.jsonl"


def read_documents(data: str | None, column: str, split: str) -> tuple[list[str], list[bool]]:
    """Read all documents, and whether each may be held out, in the file's order.

    Args:
        data: Parquet, JSONL or plain text file (an empty line between documents), or Hub id; None
            = the shipped pairs.
        column: the column of a table with the text.
        split: split of a Hub data set.

    Raises:
        DataError: there is no such file or column, it cannot be read, or it holds no text.
    """
    if data is None:
        return _shipped_pairs()
    path = typed_path(data)
    if path.suffix in (".parquet", ".jsonl") and path.is_file():
        rows = _read_table(path, column)
        texts = [row[column] for row in rows if column in row]
        if len(texts) < len(rows) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"{data} has rows without text in the column {column!r}: name another with --column"
            )
        tests = [row.get("split") == "test" for row in rows]
    elif path.suffix in (".csv", ".json"):
        raise DataError(f"{data} is {path.suffix[1:].upper()}: give Parquet, JSONL or a text file")
    elif path.is_file():
        texts = read_text(path, OWN.bytes).replace("\r\n", "\n").split("\n\n")
        tests = [False] * len(texts)
    elif path.suffix or path.is_absolute() or not HUB_ID.fullmatch(data):
        raise DataError(f"there is no file {data}: check the name")
    else:
        texts = _read_hub(data, column, split)
        tests = [False] * len(texts)
    may_hold = tests if any(tests) else [True] * len(texts)
    kept = [index for index, text in enumerate(texts) if text.strip()]
    broken = [index for index in kept if not is_unicode(texts[index])]
    if broken:
        raise DataError(
            f"{data}: text {broken[0] + 1} holds an incomplete character: write it again"
        )
    if len(kept) < 2:
        raise DataError(f"{data} holds fewer than 2 texts: give a file with text in it")
    return [texts[index] for index in kept], [may_hold[index] for index in kept]


def hold_out(texts: list[str], may_hold: list[bool], count: int) -> tuple[list[str], list[str]]:
    """Return the texts to train on and the held-out ones.

    Args:
        texts: all texts.
        may_hold: whether each may be held out.
        count: how many to hold out; at most a tenth of all texts, so that small files train too.
    """
    count = min(count, max(1, len(texts) // 10))
    held = set([index for index, may in enumerate(may_hold) if may][:count])
    return (
        [text for index, text in enumerate(texts) if index not in held],
        [text for index, text in enumerate(texts) if index in held],
    )


def _shipped_pairs() -> tuple[list[str], list[bool]]:
    if not SHIPPED_PAIRS.is_file():
        raise DataError(
            f"the shipped pairs are missing ({SHIPPED_PAIRS}): restore the file or give --data"
        )
    rows = _read_table(SHIPPED_PAIRS, "prompt")
    both = [row["prompt"] + row[side] for row in rows for side in ("chosen", "rejected")]
    texts = list(dict.fromkeys(both))  # in order, without duplicates
    return texts, [True] * len(texts)


def _read_table(path: Path, column: str) -> list[dict[str, Any]]:
    """Read the rows of a file; from Parquet, only the column and `split`."""
    rows: list[dict[str, Any]] = []
    for number, row in file_rows(path, (column, "split"), OWN):
        if not is_record(row):
            raise DataError(f"{path} row {number} is not a JSON object: write one {{...}} per line")
        rows.append(row)
    if path.suffix == ".parquet" and rows and column not in rows[0]:
        import pyarrow.parquet  # noqa: PLC0415

        names = ", ".join(pyarrow.parquet.read_schema(path).names)
        raise DataError(f"{path} has no column {column!r}: choose one of {names} with --column")
    return rows


def _read_hub(name: str, column: str, split: str) -> list[str]:
    texts: list[Any] = []
    for number, row in hub_rows(name, split, (column,)):
        if not is_record(row):
            raise DataError(f"{name} row {number} is not an object with columns: choose another")
        if number == 1 and column not in row:
            raise DataError(
                f"{name} has no column {column!r}: choose one of {', '.join(row)} with --column"
            )
        texts.append(row.get(column))
    return [text for text in texts if isinstance(text, str)]
