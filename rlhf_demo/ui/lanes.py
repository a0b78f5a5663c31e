"""Who gets the server's threads, and who its models, so that voting never waits for scoring.

A server function runs in a lane with threads of its own, so those of one lane cannot use up those
of another. A function is marked `voting` or `heavy`; the rest share the third lane. Of heavy ones
few run at once, and whoever finds no place hears so within a second.

Models compute for one caller at a time (`Turn`), whether it came by a lane, by Gradio's queue or
works in the background: on a few cores two at once would only slow each other down.
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum, StrEnum
from heapq import heappop, heappush
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from gradio.context import LocalContext

from rlhf_demo.errors import DemoError
from rlhf_demo.ui.addresses import address_of

F = TypeVar("F", bound=Callable[..., Any])

HEAVY_PLACES = 2
"""Heavy requests that are worked on at once, on the whole server; of one address a single one."""
WAIT_SECONDS = 0.8
"""How long a heavy request waits for a place. Answered at once, it would come again at once."""


class Lane(StrEnum):
    """Which threads a server function runs in."""

    VOTING = "voting"
    HEAVY = "heavy"
    LIGHT = "light"


# Python computes in one thread at a time, so more light ones would only delay the votes.
THREADS = {Lane.VOTING: 16, Lane.HEAVY: HEAVY_PLACES, Lane.LIGHT: 8}


class Busy(DemoError):
    """A heavy request found no place in time; nothing of it was done."""

    def __init__(self) -> None:
        super().__init__("the server is busy with other requests: try again in a moment")


def voting(function: F) -> F:
    """Mark a server function that somebody who votes waits for; it must be quick."""
    function.lane = Lane.VOTING
    return function


def heavy(function: F) -> F:
    """Mark a server function that computes with a model, reads all votes, or packs files."""
    function.lane = Lane.HEAVY
    return function


async def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread of its lane.

    Raises:
        Busy: it is heavy, and there was no place in time.
    """
    lane = getattr(function, "lane", Lane.LIGHT)
    limits = _limits_here()
    if lane != Lane.HEAVY:
        return await to_thread.run_sync(function, *arguments, limiter=limits.threads[lane])
    http = LocalContext.request.get(None)
    async with limits.heavy.place(address_of(http) if http else "here"):
        if http and await http.is_disconnected():
            raise Busy  # nobody is there to read the answer
        return await to_thread.run_sync(function, *arguments, limiter=limits.threads[lane])


class Places:
    """Places for a few addresses at once, one for each."""

    def __init__(self, most: int, wait_seconds: float) -> None:
        self.most, self.wait_seconds = most, wait_seconds
        self._taken: set[str] = set()
        self._freed = asyncio.Event()  # each wakes those who wait once

    @asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            Busy: none became free in time.
        """
        try:
            async with asyncio.timeout(self.wait_seconds):
                while address in self._taken or len(self._taken) >= self.most:
                    await self._freed.wait()
        except TimeoutError:
            raise Busy from None
        self._taken.add(address)
        try:
            yield
        finally:
            self._taken.remove(address)
            self._freed.set()
            self._freed = asyncio.Event()


class _Limits:
    """The threads and places of one event loop, which is that of one app."""

    def __init__(self) -> None:
        self.threads = {lane: CapacityLimiter(most) for lane, most in THREADS.items()}
        self.heavy = Places(HEAVY_PLACES, WAIT_SECONDS)


_limits: RunVar[_Limits] = RunVar("limits")


def _limits_here() -> _Limits:
    try:
        return _limits.get()
    except LookupError:
        _limits.set(_Limits())
        return _limits.get()


# -- models ----------------------------------------------------------------------------------------


class Rank(IntEnum):
    """Who computes before whom; callers of one rank keep the order in which they came."""

    LESSON = 0  # pairs that a class waits for
    VOTERS = 1  # pairs for visitors who vote
    VISITORS = 2  # scores and comparisons


class Turn:
    """The right to compute with a model, held by one thread at a time.

    Attributes:
        taken: somebody holds it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._line: list[tuple[Rank, int]] = []  # a heap of those who wait
        self.taken = False

    @contextmanager
    def of(self, rank: Rank) -> Iterator[None]:
        """Wait until nobody computes and nobody of a lower rank waits, then hold the turn."""
        with self._changed:
            ticket = (rank, next(self._numbers))
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
