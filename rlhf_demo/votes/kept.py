"""A short-lived cache for costly results, such as one that a whole class polls."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

REST = 20
"""A result is kept for this many times the seconds that it took to compute. So it costs a twentieth
of one processor, whatever the number of requests and of votes to read."""


class Kept:
    """Keeps each result for a while. Safe for threads: one computes it, the others wait for it.

    Args:
        clock: seconds, to tell when a result is too old.
        work: seconds of the thread's own work, so that waiting does not count.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._work = clock, work
        self._answers: dict[Hashable, tuple[float, Any]] = {}  # expiry time and result
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the cached result for a key, or compute it."""
        with self._lock:
            now = self._clock()
            self._answers = {name: kept for name, kept in self._answers.items() if kept[0] > now}
            if key not in self._answers:
                begun = self._work()
                answer = make()
                self._answers[key] = now + REST * (self._work() - begun), answer
            return self._answers[key][1]
