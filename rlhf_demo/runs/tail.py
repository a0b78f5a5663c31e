"""Follow JSONL files that another process is writing: each read takes only the new rows.

Many browsers ask for a run's rows at every step. Reading the whole file each time would cost more
than the training that writes it.
"""

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError, Refused
from rlhf_demo.files import Row, is_record, memory_of, open_plain, parse_lines, short_name
from rlhf_demo.rate_limit import RateLimit, sender

HIGHEST_STEP = 10**9

MOST_BYTES, MOST_ROWS, MOST_ROW_BYTES = 2**25, 50_000, 2**20
"""Limits of a followed file on the disk; no training that people watch writes more."""

MOST_MEMORY = 100_000_000
"""Bytes that the rows of a followed file may take in memory: 3 to 10 times their bytes on the disk
in our runs. A thousand steps of PPO take 50 MB."""

FREE_BYTES, BYTES_PER_BYTE = 4096, 20
"""A row may take so many bytes in memory, and so many more for each byte on the disk. An empty list
takes 21 for each, an object with one key 36."""

MOST_KEPT = 3 * MOST_MEMORY
"""Bytes in memory of all followed files together: a run has three large ones."""

LARGE, LARGE_AGAIN = MOST_MEMORY // 100, (10, 0.5)
"""A file from so many bytes in memory on takes a noticeable time to read. If pages follow more of
them than fit, those that made room may be read again so often from an address: at first, and in a
second."""

NEW, NEW_READS = 100_000, (100, 10.0)
"""Bytes on the disk that take a noticeable time to read for the first time, and how many times as
many an address may have read: at first, and in a second. A board of 200 steps takes 26."""

MORE_AT_HOME, MORE_STEPS_AT_HOME = 4, 10
"""How many times as large a file may be where nobody is limited, and one that is read a step at a
time: in a night, a run of 15,000 steps writes 50 MB of metrics and 120 MB of texts."""

MOST_STEP_MEMORY = MOST_MEMORY // 10
"""Bytes that the rows of one step may take where steps are read one at a time: eight responses of
2,000 tokens, of which we keep a dozen figures each, take 7 MB."""

PLACE_BYTES, MOST_PLACES = 200, MOST_MEMORY
"""Bytes that it takes to remember where a row is, and where all rows of all files are."""

MOST_FILES, MOST_STEP_FILES = 1000, 10_000
"""Files whose rows are remembered, and files of which only the places of rows are: these take
little memory, and to find them anew a whole file is parsed. A public page has 200 runs, with three
files whose rows are read."""

DEEPEST = 4
"""Lists and objects inside each other, with the row itself; our rows have up to 3."""

END_BYTES = 2**16
"""Bytes that `last_rows` reads: about fifty rows of PPO."""


class Tail:
    """The rows of one JSONL file so far; safe for several threads.

    Args:
        path: the file.
        times: how many times as large as MOST_BYTES, MOST_ROWS and MOST_MEMORY say it may be.
    """

    def __init__(self, path: Path, times: int = 1) -> None:
        self.path = path
        self._most_bytes, self._most_rows = times * MOST_BYTES, times * MOST_ROWS
        self._most_memory = times * MOST_MEMORY
        self._lock = threading.Lock()
        self._forget()

    def rows(self) -> list[Row]:
        """Return all rows so far, without an unfinished last line; none if there is no file.

        A file that was replaced (another inode) or became shorter is read again from its start.

        Raises:
            DataError: a complete line is not JSON or not a row of a run, a step comes after a
                later one, or the file is too large.
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
        self._refused: tuple[tuple[int, int, int], str] | None = None
        self.memory = 0.0
        """Bytes that the rows take."""

    def _read(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        version = status.st_ino, status.st_size, status.st_mtime_ns
        if self._refused and self._refused[0] == version:
            raise DataError(self._refused[1])
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._forget()
            self._inode = status.st_ino
        try:
            self._read_up_to(status.st_size, descriptor)
        except DataError as error:
            self._forget()
            self._refused = version, str(error)  # reading it at each poll would take a core
            raise

    def _read_up_to(self, size: int, descriptor: int) -> None:
        if size > self._most_bytes:
            raise self._too_large(f"{self._most_bytes / 1e6:.0f} MB")
        while self._offset < size:
            # In parts, so that a file which takes too much memory is refused before it has it.
            most = min(MOST_ROW_BYTES + 1, size - self._offset)
            part = os.pread(descriptor, most, self._offset)
            # Bytes, because an unfinished line may end inside a character.
            *lines, unfinished = part.split(b"\n")
            if not lines and len(unfinished) <= MOST_ROW_BYTES:
                return
            self._add(lines or [unfinished])  # the latter is too long already, and is refused
            self._offset += len(part) - len(unfinished)

    def _add(self, lines: list[bytes]) -> None:
        if len(self._rows) + len(lines) > self._most_rows:
            raise self._too_large(f"{self._most_rows:,} rows")
        rows, memory = _parse(self.path, lines, first=len(self._rows) + 1)
        self.memory += memory
        if self.memory > self._most_memory:
            raise self._too_large(f"{self._most_memory / 1e6:.0f} MB in memory")
        last = self._rows[-1]["step"] if self._rows else 0
        for line, row in enumerate(rows, len(self._rows) + 1):
            if row["step"] < last:  # pages ask for the rows above the last step that they have
                raise DataError(
                    f"{short_name(self.path)} line {line} goes back to step {row['step']}: "
                    "restore or delete the file"
                )
            last = row["step"]
        self._rows += rows

    def _too_large(self, most: str) -> DataError:
        return DataError(f"{short_name(self.path)} has more than {most}, which is too much to show")


class StepTail(Tail):
    """Where the rows of each step are in a JSONL file; safe for several threads.

    Large files are read one step at a time: the rows of all steps together would take up to
    MOST_MEMORY for each file that somebody looks into.
    """

    def steps(self) -> list[int]:
        """Return the steps that have rows so far, in order; errors are those of `rows`."""
        super().rows()
        return sorted(self._places)

    def newest_steps(self, last: int, most: int) -> list[int]:
        """Return the newest steps up to `last` whose rows take at most so many bytes, in order.

        The last of them comes in any case; errors are those of `rows`.
        """
        newest: list[int] = []
        for step in reversed([step for step in self.steps() if step <= last]):
            most -= sum(size for _, size in self._places[step])
            if most < 0 and newest:
                break
            newest.append(step)
        return newest[::-1]

    def rows_of(self, step: int) -> list[Row]:
        """Return the rows of a step so far, in the file's order; errors are those of `rows`."""
        super().rows()
        try:
            with open_plain(self.path) as file:
                places = self._places.get(step, [])
                lines = [os.pread(file.fileno(), size, offset) for offset, size in places]
        except FileNotFoundError:
            return []
        return [row for row in _parse(self.path, lines)[0] if row["step"] == step]

    def _forget(self) -> None:
        super()._forget()
        self._places: dict[int, list[tuple[int, int]]] = {}  # step -> offset and size of its rows
        self._memory_of: Counter[int] = Counter()  # step -> bytes that its rows take
        self._count = 0

    def _add(self, lines: list[bytes]) -> None:
        if self._count + len(lines) > self._most_rows:
            raise self._too_large(f"{self._most_rows:,} rows")
        offset = self._offset
        for line in lines:
            (row,), memory = _parse(self.path, [line], first=self._count + 1)
            self._memory_of[row["step"]] += math.ceil(memory)
            if self._memory_of[row["step"]] > MOST_STEP_MEMORY:
                raise self._too_large(f"{MOST_STEP_MEMORY / 1e6:.0f} MB in memory in a step")
            self._places.setdefault(row["step"], []).append((offset, len(line)))
            self.memory += PLACE_BYTES
            self._count += 1
            offset += len(line) + 1


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
    return _parse(path, lines[1:] if start else lines)[0]  # the first line may be cut


def _parse(path: Path, lines: list[bytes], first: int = 1) -> tuple[list[Row], float]:
    """Parse complete lines, of which the first has the number `first` in the file.

    Returns:
        the rows, and the bytes that they take in memory.
    """
    # Parsing one very long line would block all other threads.
    odd = [number for number, line in enumerate(lines, first) if len(line) > MOST_ROW_BYTES]
    rows = [] if odd else parse_lines(path, lines, first=first)
    memory = [memory_of(row, DEEPEST) if _has_step(row) else math.inf for row in rows]
    odd = odd or [
        number
        for number, (line, size) in enumerate(zip(lines, memory, strict=False), first)
        if size > FREE_BYTES + BYTES_PER_BYTE * len(line)
    ]
    if odd:
        raise DataError(
            f"{short_name(path)} line {odd[0]} is not a row of a run: restore or delete the file"
        )
    return rows, sum(memory)


def _has_step(row: Any) -> bool:
    step = row.get("step") if is_record(row) else None
    return type(step) is int and 0 <= step <= HIGHEST_STEP


class Tails:
    """The tails of the files that were read last: up to `most` files and MOST_KEPT bytes.

    Args:
        most: files.
        limited: visitors are limited: how often an address has large files read, and how large
            they may be.
    """

    def __init__(self, most: int = MOST_FILES, *, limited: bool = True) -> None:
        self._most, self._limited = most, limited
        self._times, self._step_times = (1, 1) if limited else (MORE_AT_HOME, MORE_STEPS_AT_HOME)
        self._lock = threading.Lock()
        self._tails: OrderedDict[Path, Tail] = OrderedDict()
        self._step_tails: OrderedDict[Path, StepTail] = OrderedDict()
        self._dropped: set[Path] = set()  # large files that made room for others
        self._again = RateLimit(*LARGE_AGAIN, time.monotonic)
        self._new = RateLimit(*NEW_READS, time.monotonic)

    def rows(self, path: Path) -> list[Row]:
        """Return all rows of the file so far; see `Tail.rows`.

        Raises:
            Refused: the file is large, and whoever asks has had such files read too often.
            DataError, OSError: those of `Tail.rows`.
        """
        with self._lock:
            if path in self._dropped and self._limited and not self._again.allow(sender.get()):
                raise Refused(
                    f"{short_name(path)} is large, and your pages follow too many large files: "
                    "close those of other runs, and try again in a minute"
                )
            self._dropped.discard(path)
            if path not in self._tails:
                self._check_new(path)
            tail = self._tails.setdefault(path, Tail(path, self._times))
            self._tails.move_to_end(path)
        rows = tail.rows()
        with self._lock:
            self._make_room()
        return rows

    def steps(self, path: Path) -> list[int]:
        """Return the steps that have rows in the file so far; see `StepTail.steps`."""
        return self._step_tail(path).steps()

    def newest_steps(self, path: Path, last: int, most: int) -> list[int]:
        """Return the newest steps of at most so many bytes; see `StepTail.newest_steps`."""
        return self._step_tail(path).newest_steps(last, most)

    def rows_of(self, path: Path, step: int) -> list[Row]:
        """Return the rows of one step; see `StepTail.rows_of`."""
        return self._step_tail(path).rows_of(step)

    def _step_tail(self, path: Path) -> StepTail:
        with self._lock:
            if path not in self._step_tails:
                self._check_new(path)
            tail = self._step_tails.setdefault(path, StepTail(path, self._step_times))
            self._step_tails.move_to_end(path)
            while _too_many(self._step_tails, MOST_STEP_FILES, MOST_PLACES):
                self._step_tails.popitem(last=False)
        return tail

    def _check_new(self, path: Path) -> None:
        """Refuse to read one more large file for an address that has had many of them read."""
        if not self._limited:
            return
        with suppress(OSError):
            size = path.stat().st_size
            if NEW <= size <= MOST_BYTES and not self._new.allow(sender.get(), size // NEW):
                raise Refused("your pages open too many large runs at once: try again in a minute")

    def _make_room(self) -> None:
        while _too_many(self._tails, self._most, MOST_KEPT):
            path, tail = self._tails.popitem(last=False)
            if tail.memory >= LARGE:
                self._dropped.add(path)


def _too_many(tails: Mapping[Path, Tail], most: int, most_memory: float) -> bool:
    memory = sum(each.memory for each in tails.values())
    return len(tails) > most or (len(tails) > 1 and memory > most_memory)
