"""A short-lived cache for costly results, such as a result that a whole class polls."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

LIFETIME = 20
"""A result stays valid for this many times the seconds that it took to compute. So it costs a
twentieth of one processor, however many requests come and however many votes it reads."""


class ResultCache:
    """Keeps each result for a while.

    Safe for threads: one computes a result, and others that want the same one wait for it.

    Args:
        clock: seconds; tells when a result has expired.
        work: seconds of the thread's own work, so that waiting does not count.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._work = clock, work
        self._entries: dict[Hashable, tuple[float, Any]] = {}  # expiry time and result
        self._lock = threading.Lock()
        self._computing = WeakValueDictionary[Hashable, threading.Lock]()  # while a thread has it

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the cached result for a key, or compute it."""
        with self._lock:
            computing = self._computing.setdefault(key, threading.Lock())
        with computing:
            with self._lock:
                now = self._clock()
                entries = self._entries.items()
                self._entries = {name: entry for name, entry in entries if entry[0] > now}
                if key in self._entries:
                    return self._entries[key][1]
            started = self._work()
            result = compute()
            with self._lock:
                self._entries[key] = now + LIFETIME * (self._work() - started), result
            return result
