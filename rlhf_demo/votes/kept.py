"""Answers that are costly to make and may be a moment old, as when all of a class ask for one."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

REST = 20
"""An answer is good for so many times as long as making it took: however many ask and however much
there is to read, it takes a twentieth of one processor."""


class Kept:
    """Keeps each answer for a while. Safe for many threads: one makes it, the others wait for it.

    Args:
        clock: seconds; says when an answer is too old.
        work: seconds of a thread's own work, so that waiting for others makes no answer older.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._work = clock, work
        self._answers: dict[Hashable, tuple[float, Any]] = {}  # good until when, and what
        self._turn = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the answer to a question, as it was a moment ago or made now."""
        with self._turn:
            now = self._clock()
            self._answers = {one: kept for one, kept in self._answers.items() if kept[0] > now}
            if key not in self._answers:
                begun = self._work()
                answer = make()
                self._answers[key] = now + REST * (self._work() - begun), answer
            return self._answers[key][1]
