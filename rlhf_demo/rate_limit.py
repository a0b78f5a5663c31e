"""A rate limit for each visitor: a token bucket that refills with time.

It is kept in memory. After a restart everybody starts with a full bucket, which does no harm.
"""

import threading
from collections.abc import Callable
from contextvars import ContextVar

from rlhf_demo.errors import Refused

sender: ContextVar[str] = ContextVar("sender", default="")
"""Address of the request that is being answered; empty in the background and without a page."""

MOST_BUCKETS = 10_000
"""Number of buckets kept; beyond it, those that are full again are dropped."""


class RateLimit:
    """Allow `burst` actions at once and `per_second` in the long run, for each key."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float]) -> None:
        self.burst, self.per_second, self.clock = burst, per_second, clock
        self._buckets: dict[str | int, tuple[float, float]] = {}  # permits left, and when
        self._most = MOST_BUCKETS
        self._lock = threading.Lock()

    def allow(self, key: str | int, count: int = 1) -> bool:
        """Take some permits; False when there are not as many, nor all that there can be."""
        with self._lock:
            now = self.clock()
            if len(self._buckets) > self._most:
                self._forget_full(now)
                self._most = max(MOST_BUCKETS, 2 * len(self._buckets))  # or every call would search
            permits = self._permits(key, now)
            allowed = permits >= min(count, self.burst)
            self._buckets[key] = (permits - count if allowed else permits, now)
            return allowed

    def has(self, key: str | int, reserved: int = 0) -> bool:
        """Say whether a permit is left besides `reserved` ones, without taking it."""
        with self._lock:
            return self._permits(key, self.clock()) >= 1 + reserved

    def require(self, key: str | int, what: str) -> None:
        """Take one permit.

        Raises:
            Refused: no permit is left; `what` says what comes too fast, and from where.
        """
        if not self.allow(key):
            raise self._refusal(what)

    def check(self, key: str | int, what: str, reserved: int = 0) -> None:
        """Refuse as `require` does unless a permit is left besides `reserved` ones; take none."""
        if not self.has(key, reserved):
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
