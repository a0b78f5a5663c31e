"""How often one visitor may do one thing: a bucket of permits that fills again with time.

Kept in memory: after a restart everybody starts with a full bucket, which harms nobody.
"""

import threading
from collections.abc import Callable

from rlhf_demo.errors import Refused

MOST_BUCKETS = 10_000
"""Visitors remembered; beyond it those whose buckets are full again are forgotten."""


class RateLimit:
    """Allows `burst` actions at once and `per_second` in the long run, for each key."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float]) -> None:
        self.burst, self.per_second, self.clock = burst, per_second, clock
        self._buckets: dict[str | int, tuple[float, float]] = {}  # permits left, and when
        self._most = MOST_BUCKETS
        self._turn = threading.Lock()

    def allow(self, key: str | int) -> bool:
        """Take one permit; False when none is left."""
        with self._turn:
            now = self.clock()
            if len(self._buckets) > self._most:
                self._forget_full(now)
                self._most = max(MOST_BUCKETS, 2 * len(self._buckets))  # or all calls look
            permits = self._permits(key, now)
            allowed = permits >= 1
            self._buckets[key] = (permits - allowed, now)
            return allowed

    def has(self, key: str | int, beside: int = 0) -> bool:
        """Say whether a permit is left beside so many others, and take none."""
        with self._turn:
            return self._permits(key, self.clock()) >= 1 + beside

    def require(self, key: str | int, what: str) -> None:
        """Take one permit.

        Raises:
            Refused: none is left; `what` says what comes too fast, and from where.
        """
        if not self.allow(key):
            raise self._refusal(what)

    def check(self, key: str | int, what: str, beside: int = 0) -> None:
        """Do as `require` does, and take no permit; so many others must be left."""
        if not self.has(key, beside):
            raise self._refusal(what)

    def _refusal(self, what: str) -> Refused:
        wait = max(1, round(1 / self.per_second))
        return Refused(f"too many {what}: wait {wait} s and try again")

    def _permits(self, key: str | int, now: float) -> float:
        permits, before = self._buckets.get(key, (float(self.burst), now))
        return min(float(self.burst), permits + max(0.0, now - before) * self.per_second)

    def _forget_full(self, now: float) -> None:
        for key in list(self._buckets):
            if self._permits(key, now) >= self.burst:
                del self._buckets[key]
