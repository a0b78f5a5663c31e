"""The order in which callers compute with the server's models.

Models compute for one caller at a time, whether it comes through a lane (web/lanes.py), through
Gradio's queue or from the background: on a few cores, two would only slow each other down.
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import IntEnum
from heapq import heappop, heappush

from rlhf_demo.errors import DemoError

PATIENCE_SECONDS = 2.0
"""Voters pass visitors who came up to this much earlier, but not older ones."""


class Busy(DemoError):
    """A heavy request got no place in time, and nothing of it was done."""

    def __init__(self) -> None:
        super().__init__("the server is busy with other requests: try again in a moment")


class Rank(IntEnum):
    """Priority of callers; within a rank, first come, first served."""

    CLASS = 0  # pairs that a class waits for: before all others
    VOTERS = 1  # pairs for all visitors who vote
    VISITORS = 2  # scores, comparisons and pairs for one visitor


class Turn:
    """The right to compute with a model, held by one thread at a time.

    Args:
        clock: seconds.

    Attributes:
        taken: a thread holds it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._line: list[tuple[bool, float, int]] = []  # a heap of those who wait
        self.taken = False

    @contextmanager
    def of(self, rank: Rank) -> Generator[None]:
        """Wait until no caller computes and none of higher priority waits, then hold the turn."""
        with self._changed:
            since = self._clock() + rank * PATIENCE_SECONDS
            ticket = (rank > Rank.CLASS, since, next(self._numbers))
            heappush(self._line, ticket)
            self._changed.wait_for(lambda: not self.taken and self._line[0] == ticket)
            heappop(self._line)
            self.taken = True
        try:
            yield
        finally:
            with self._changed:
                self.taken = False
                self._changed.notify_all()
