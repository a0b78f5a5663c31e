"""The lock that a caller holds while it computes with one of the server's models.

One caller computes at a time, whether it comes through a lane (web/lanes.py), through Gradio's
queue or from the background: on a few cores, two would only slow each other down. A caller who
computes for long lets the others compute in its pauses (models/pauses.py).
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from rlhf_demo.errors import DemoError
from rlhf_demo.models.pauses import pausing

PATIENCE_SECONDS = 2.0
"""Voters pass visitors who came up to this much earlier, but not older ones."""
PAUSED_AFTER_SECONDS = 1 / 15
"""How long a caller computes before the first pause in which others compute."""
MOST_BEGUN = 4
"""Visitors' computations that have begun: in a pause, each keeps the memory of its batch."""


class Busy(DemoError):
    """A heavy request waited too long, and the server did none of its work."""

    def __init__(self) -> None:
        super().__init__("the server is busy with other requests: try again in a moment")


class Priority(IntEnum):
    """Which callers compute first; those of equal priority, in the order in which they came."""

    CLASS = 0  # what a class waits for: before all others
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
        self._waiting: list[_Ticket] = []
        self._begun = 0  # visitors' computations that have begun and not ended
        self._since = 0.0  # when the thread that holds it got it
        self.held = False

    @contextmanager
    def hold(self, priority: Priority) -> Generator[None]:
        """Wait until the lock is free and no caller of higher priority waits, then hold it.

        In the pauses of its computation, the caller gives the lock to others and waits again.
        """
        for_visitor = priority is Priority.VISITORS
        with self._changed:
            self._wait(self._ticket(priority, may_exceed=not for_visitor))
            self._begun += for_visitor
        try:
            with pausing(lambda: self._pause(priority)):
                yield
        finally:
            with self._changed:
                self._begun -= for_visitor
                self._free()

    def _pause(self, priority: Priority) -> None:
        """Let those compute who come before a caller who arrives now."""
        with self._changed:
            if self._clock() < self._since + PAUSED_AFTER_SECONDS:
                return
            ticket = self._ticket(priority, may_exceed=True)
            if self._first(ticket) is not ticket:
                self._free()
                self._wait(ticket)

    def _ticket(self, priority: Priority, *, may_exceed: bool) -> "_Ticket":
        since = self._clock() + priority * PATIENCE_SECONDS
        return _Ticket(priority > Priority.CLASS, since, next(self._numbers), may_exceed)

    def _wait(self, ticket: "_Ticket") -> None:
        self._waiting.append(ticket)
        self._changed.wait_for(lambda: not self.held and self._first() is ticket)
        self._waiting.remove(ticket)
        self.held, self._since = True, self._clock()

    def _free(self) -> None:
        self.held = False
        self._changed.notify_all()

    def _first(self, *more: "_Ticket") -> "_Ticket | None":
        """Return whose turn it is of those who wait."""
        full = self._begun >= MOST_BEGUN
        ready = (ticket for ticket in (*self._waiting, *more) if ticket.may_exceed or not full)
        return min(ready, default=None)


@dataclass(order=True)
class _Ticket:
    """A place in the order of those who wait for the lock; the smallest is first.

    Attributes:
        after_classes: it lets classes pass.
        since: seconds; when the caller came, later by the patience of its priority.
        number: of tickets of the same moment, the first one goes first.
        may_exceed: it may compute though MOST_BEGUN have begun: it has begun itself, or is for
            voters.
    """

    after_classes: bool
    since: float
    number: int
    may_exceed: bool = field(compare=False)
