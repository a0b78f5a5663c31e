"""The lock that a caller holds while it computes with one of the server's models.

One caller computes at a time, whether it comes through a lane (web/lanes.py), through Gradio's
queue or from the background: on a few cores, two would only slow each other down.
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
    """A heavy request waited too long, and the server did none of its work."""

    def __init__(self) -> None:
        super().__init__("the server is busy with other requests: try again in a moment")


class Priority(IntEnum):
    """Which callers compute first; those of equal priority, in the order in which they came."""

    CLASS = 0  # pairs that a class waits for: before all others
    VOTERS = 1  # pairs for all visitors who vote
    VISITORS = 2  # scores, comparisons and pairs for one visitor


class ComputeLock:
    """A lock whose waiting threads get it by priority, then in order.

    Args:
        clock: seconds.

    Attributes:
        held: a thread holds it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[bool, float, int]] = []  # a heap of tickets
        self.held = False

    @contextmanager
    def hold(self, priority: Priority) -> Generator[None]:
        """Wait until the lock is free and no caller of higher priority waits, then hold it."""
        with self._changed:
            since = self._clock() + priority * PATIENCE_SECONDS
            ticket = (priority > Priority.CLASS, since, next(self._numbers))
            heappush(self._waiting, ticket)
            self._changed.wait_for(lambda: not self.held and self._waiting[0] == ticket)
            heappop(self._waiting)
            self.held = True
        try:
            yield
        finally:
            with self._changed:
                self.held = False
                self._changed.notify_all()
