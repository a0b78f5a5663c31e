"""Follow JSONL files that somebody else is writing: each look reads only what is new.

A run's rows are asked for by many browsers at every step; reading the whole file each time would
cost more than the training that writes it.
"""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record, open_plain, parse_lines, short_name

HIGHEST_STEP = 10**9

MOST_BYTES, MOST_ROWS, MOST_ROW_BYTES = 2**25, 50_000, 2**20
"""Of a file that is followed; what has more was not written by a training that people watch. Read,
it takes up to 25 times as much memory as on the disk."""

MOST_KEPT = 2**27
"""Bytes of all files that are followed at once."""

END_BYTES = 2**16
"""What `last_rows` reads: some fifty rows of PPO."""


class Tail:
    """The rows of one JSONL file so far. May be used by several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._forget()

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows so far, an unfinished last line left out; none if there is no file.

        A file that was replaced (another inode) or became shorter is read again from its start.

        Raises:
            DataError: a whole line is not JSON or no row of a run, or the file is too large.
            OSError: it cannot be read, or is no plain file.
        """
        with self._lock:
            try:
                with open_plain(self.path) as file:
                    self._read(file.fileno())
            except FileNotFoundError:
                self._forget()
            return list(self._rows)

    def _forget(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._offset = 0
        self._inode: int | None = None

    def _read(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._forget()
            self._inode = found.st_ino
        if found.st_size > MOST_BYTES:
            raise DataError(
                f"{short_name(self.path)} has more than {MOST_BYTES / 1e6:.0f} MB: restore or "
                "delete the file"
            )
        new = os.pread(descriptor, found.st_size - self._offset, self._offset)
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
        """Bytes of the file that its rows were read from."""
        return self._offset


def last_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows at the end of a file, for those who want its newest figures only.

    Raises:
        DataError: a line of them is not JSON or no row of a run.
        OSError: the file cannot be read, or is no plain file.
    """
    with open_plain(path) as file:
        start = max(0, file.seek(0, os.SEEK_END) - END_BYTES)
        file.seek(start)
        lines = file.read(END_BYTES).split(b"\n")[:-1]
    return _parse(path, lines[1:] if start else lines)  # the first of them may be cut


def _parse(path: Path, lines: list[bytes], first: int = 1) -> list[dict[str, Any]]:
    """Parse whole lines, the first of them being number `first` in the file."""
    # One line is parsed without a break for anybody else.
    long = [number for number, line in enumerate(lines, first) if len(line) > MOST_ROW_BYTES]
    rows = [] if long else parse_lines(path, lines, first=first)
    odd = long or [number for number, row in enumerate(rows, first) if not _is_row(row)]
    if odd:
        raise DataError(
            f"{short_name(path)} line {odd[0]} is not a row of a run: restore or delete the file"
        )
    return rows


def _is_row(row: Any) -> bool:
    """Say whether it has a step."""
    step = row.get("step") if is_record(row) else None
    return type(step) is int and 0 <= step <= HIGHEST_STEP


class Tails:
    """The tails of the files that were asked for last: `most`, and MOST_KEPT bytes, of them."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tails: OrderedDict[Path, Tail] = OrderedDict()

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """Return all rows of the file so far; see `Tail.rows`."""
        with self._lock:
            tail = self._tails.setdefault(path, Tail(path))
            self._tails.move_to_end(path)
            while len(self._tails) > self._most or (
                len(self._tails) > 1 and sum(one.size for one in self._tails.values()) > MOST_KEPT
            ):
                self._tails.popitem(last=False)
        return tail.rows()
