"""Lanes of threads, so that voting never waits for scoring.

Each lane has its own threads, so one lane cannot use up those of another. A server function is
marked `voting` or `heavy`; all others share the third lane. Few heavy functions run at once, and a
caller who gets no place is refused within a second.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from gradio import Request
from gradio.context import LocalContext

from rlhf_demo.server.turns import Busy
from rlhf_demo.web.addresses import address_of

F = TypeVar("F", bound=Callable[..., Any])
Caller = Request | None
"""The web request of whoever calls; None outside the web."""

HEAVY_PLACES = 2
"""Heavy requests that run at once on the whole server; at most one for each address."""
WAIT_SECONDS = 0.6
"""How long a heavy request waits for a place. Answered at once, it would come again at once."""


class Lane(StrEnum):
    """Which threads a server function runs in."""

    VOTING = "voting"
    HEAVY = "heavy"
    LIGHT = "light"


# Python computes in one thread at a time, so more light ones would only delay the votes.
THREADS = {Lane.VOTING: 16, Lane.LIGHT: 8}


LANE = "lane"
"""Attribute of a function that was given a lane."""


def voting(function: F) -> F:
    """Mark a server function that voters wait for; it must be quick."""
    setattr(function, LANE, Lane.VOTING)
    return function


def heavy(function: F) -> F:
    """Mark a server function that computes with a model, reads all votes, or packs files."""
    setattr(function, LANE, Lane.HEAVY)
    return function


async def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread of its lane.

    Raises:
        Busy: it is heavy, and there was no place in time.
    """
    lanes, lane = _lanes_here(), getattr(function, LANE, Lane.LIGHT)
    if lane == Lane.HEAVY:
        return await lanes.heavy.run(function, arguments, LocalContext.request.get(None))
    return await to_thread.run_sync(function, *arguments, limiter=lanes.threads[lane])


class HeavyLane:
    """Heavy requests: few run at once, and one for each address.

    Equal requests that wait share one answer, for example when a whole class opens the page. So the
    answer of a heavy function must depend on its arguments alone.
    """

    def __init__(self) -> None:
        self._threads = CapacityLimiter(HEAVY_PLACES)
        self._addresses: set[str] = set()  # of those that are worked for
        self._freed = asyncio.Event()  # wakes once all who wait for a place
        self._waiting: dict[tuple, tuple[list[Caller], asyncio.Task]] = {}

    async def run(self, function: Callable[..., Any], arguments: tuple, caller: Caller) -> Any:
        """Call a function when there is a place.

        Raises:
            Busy: there was none in time.
        """
        key = function, repr(arguments)
        if key not in self._waiting:
            callers: list[Caller] = []
            work = asyncio.create_task(self._work(key, arguments, callers))
            self._waiting[key] = callers, work
        callers, work = self._waiting[key]
        callers.append(caller)
        return await asyncio.shield(work)  # one caller's end does not end it for the others

    async def _work(self, key: tuple, arguments: tuple, callers: list[Caller]) -> Any:
        address = address_of(callers[0]) if callers[0] else "here"
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while address in self._addresses or len(self._addresses) == HEAVY_PLACES:
                    await self._freed.wait()
        except TimeoutError:
            raise Busy from None
        finally:
            del self._waiting[key]  # whoever comes from now on waits for a newer answer
        self._addresses.add(address)
        try:
            if all([await _is_gone(caller) for caller in callers]):
                raise Busy  # nobody is there to read the answer
            return await to_thread.run_sync(key[0], *arguments, limiter=self._threads)
        finally:
            self._addresses.remove(address)
            self._freed.set()
            self._freed = asyncio.Event()


async def _is_gone(caller: Caller) -> bool:
    return caller is not None and await caller.is_disconnected()


class _Lanes:
    """The lanes of one event loop, which is that of one app."""

    def __init__(self) -> None:
        self.heavy = HeavyLane()
        self.threads = {lane: CapacityLimiter(most) for lane, most in THREADS.items()}


_lanes: RunVar[_Lanes] = RunVar("lanes")


def _lanes_here() -> _Lanes:
    try:
        return _lanes.get()
    except LookupError:
        _lanes.set(_Lanes())
        return _lanes.get()
