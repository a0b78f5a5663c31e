"""Follow JSONL files that another process is writing: each read takes only the new rows.

Many browsers ask for a run's rows at every step. Reading the whole file each time would cost more
than the training that writes it.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError
from rlhf_demo.files import Row, is_record, open_plain, parse_lines, short_name

HIGHEST_STEP = 10**9

MOST_BYTES, MOST_ROWS, MOST_ROW_BYTES = 2**25, 50_000, 2**20
"""Limits of a followed file; no training that people watch writes more. In memory, a file takes up
to 25 times its size on the disk."""

FREE_LISTS, BYTES_PER_LIST = 16, 8
"""A row may have so many lists and objects, and one more for each 8 bytes. An empty list takes two
bytes on the disk but up to 96 in memory. The rows of our runs have 24 bytes or more for each."""

DEEPEST = 4
"""Lists and objects inside each other, with the row itself; our rows have up to 3."""

MOST_KEPT = 2**26
"""Bytes of all followed files together."""

TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')
"""A text in JSON."""

END_BYTES = 2**16
"""Bytes that `last_rows` reads: about fifty rows of PPO."""


class Tail:
    """The rows of one JSONL file so far; safe for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._forget()

    def rows(self) -> list[Row]:
        """Return all rows so far, without an unfinished last line; none if there is no file.

        A file that was replaced (another inode) or became shorter is read again from its start.

        Raises:
            DataError: a complete line is not JSON or not a row of a run, or the file is too large.
            OSError: the file cannot be read, or is not a regular file.
        """
        with self._lock:
            try:
                with open_plain(self.path) as file:
                    self._read(file.fileno())
            except FileNotFoundError:
                self._forget()
            return list(self._rows)

    def _forget(self) -> None:
        self._rows: list[Row] = []
        self._offset = 0
        self._inode: int | None = None

    def _read(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._forget()
            self._inode = status.st_ino
        if status.st_size > MOST_BYTES:
            raise DataError(
                f"{short_name(self.path)} has more than {MOST_BYTES / 1e6:.0f} MB: restore or "
                "delete the file"
            )
        new = os.pread(descriptor, status.st_size - self._offset, self._offset)
        whole = new[: new.rfind(b"\n") + 1]
        # Bytes, because an unfinished line may end inside a character.
        lines = whole.split(b"\n")[:-1]
        if len(self._rows) + len(lines) > MOST_ROWS:
            raise DataError(
                f"{short_name(self.path)} has more than {MOST_ROWS:,} rows: restore or delete the "
                "file"
            )
        self._rows += _parse(self.path, lines, first=len(self._rows) + 1)
        self._offset += len(whole)

    @property
    def size(self) -> int:
        """Bytes of the file that have been read."""
        return self._offset


def all_rows(path: Path) -> list[Row]:
    """Return the rows of a file once, within the limits of a followed file; see `Tail.rows`."""
    return Tail(path).rows()


def last_rows(path: Path) -> list[Row]:
    """Return the rows at the end of a file, for callers that need only the newest figures.

    There are none if there is no file.

    Raises:
        DataError: one of these lines is not JSON or not a row of a run.
        OSError: the file cannot be read, or is not a regular file.
    """
    try:
        with open_plain(path) as file:
            start = max(0, file.seek(0, os.SEEK_END) - END_BYTES)
            file.seek(start)
            lines = file.read(END_BYTES).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return _parse(path, lines[1:] if start else lines)  # the first line may be cut


def _parse(path: Path, lines: list[bytes], first: int = 1) -> list[Row]:
    """Parse complete lines, of which the first has the number `first` in the file."""
    # Parsing one very long line would block all other threads, and many lists fill the memory.
    long = [number for number, line in enumerate(lines, first) if _is_bloated(line)]
    rows = [] if long else parse_lines(path, lines, first=first)
    odd = long or [number for number, row in enumerate(rows, first) if not _is_row(row)]
    if odd:
        raise DataError(
            f"{short_name(path)} line {odd[0]} is not a row of a run: restore or delete the file"
        )
    return rows


def _is_bloated(line: bytes) -> bool:
    """Say whether a line is too long, or would take far more memory than its bytes."""
    if len(line) > MOST_ROW_BYTES:
        return True
    most = FREE_LISTS + len(line) // BYTES_PER_LIST
    if line.count(b"[") + line.count(b"{") <= most:
        return False
    structure = TEXT.sub(b"", line)  # a response may have many brackets
    return structure.count(b"[") + structure.count(b"{") > most


def _is_row(row: Any) -> bool:
    """Say whether it has a step, and is nested no deeper than the rows of our runs."""
    step = row.get("step") if is_record(row) else None
    return type(step) is int and 0 <= step <= HIGHEST_STEP and _is_shallow(row, DEEPEST)


def _is_shallow(value: Any, most: int) -> bool:
    """Say whether at most `most` lists and objects are inside each other."""
    if type(value) not in (list, dict):
        return True
    inside: Iterable[Any] = value.values() if is_record(value) else value
    return most > 0 and all(_is_shallow(each, most - 1) for each in inside)


class Tails:
    """The tails of the files that were read last: up to `most` files and MOST_KEPT bytes."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tails: OrderedDict[Path, Tail] = OrderedDict()

    def rows(self, path: Path) -> list[Row]:
        """Return all rows of the file so far; see `Tail.rows`."""
        with self._lock:
            tail = self._tails.setdefault(path, Tail(path))
            self._tails.move_to_end(path)
            while len(self._tails) > self._most or (
                len(self._tails) > 1 and sum(each.size for each in self._tails.values()) > MOST_KEPT
            ):
                self._tails.popitem(last=False)
        return tail.rows()
