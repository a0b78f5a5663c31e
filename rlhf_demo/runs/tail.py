"""Follow JSONL files that somebody else is writing: each look reads only what is new.

A run's rows are asked for by many browsers at every step; reading the whole file each time would
cost more than the training that writes it.
"""

import os
import threading
from collections import OrderedDict
from math import isfinite
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError
from rlhf_demo.files import open_plain, parse_lines, short_name

HIGHEST_STEP = 10**9

MOST_BYTES = 2**28
"""Of a file that is followed; what has more was not written by a training here."""


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
        first = len(self._rows) + 1
        rows = parse_lines(self.path, whole.split(b"\n")[:-1], first=first)
        for number, row in enumerate(rows, start=first):
            if not _is_row(row):
                raise DataError(
                    f"{short_name(self.path)} line {number} is no row of a run: restore or delete "
                    "the file"
                )
        self._rows += rows
        self._offset += len(whole)


def _is_row(row: Any) -> bool:
    """Say whether it has a step, and nothing that is not finite."""
    return (
        isinstance(row, dict)
        and type(row.get("step")) is int
        and 0 <= row["step"] <= HIGHEST_STEP
        and all(isfinite(value) for value in row.values() if type(value) is float)
    )


class Tails:
    """The tails of the files that were asked for last, `most` of them."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tails: OrderedDict[Path, Tail] = OrderedDict()

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """Return all rows of the file so far; see `Tail.rows`."""
        with self._lock:
            tail = self._tails.setdefault(path, Tail(path))
            self._tails.move_to_end(path)
            if len(self._tails) > self._most:
                self._tails.popitem(last=False)
        return tail.rows()
