"""Lanes of threads, so that voting never waits for scoring.

Each lane has its own threads, so one lane cannot use up those of another. A server function is
marked `voting` or `heavy`; all others share the third lane. Few heavy functions run at once, and a
caller who gets no slot is refused within a second.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from gradio import Request
from gradio.context import LocalContext

from rlhf_demo.server.compute_lock import Busy
from rlhf_demo.web.addresses import address_of

F = TypeVar("F", bound=Callable[..., Any])
Caller = Request | None
"""The web request of the caller; None outside the web."""

HEAVY_SLOTS = 2
"""Heavy requests that run at once on the whole server; at most one for each address."""
WAIT_SECONDS = 0.6
"""How long a heavy request waits for a slot. Refused at once, it would come again at once."""
MOST_WAITING = 3
"""Heavy requests of an address that wait: each takes one of its six slots (throttle.py), and votes
need the others."""


class Lane(StrEnum):
    """Which threads a server function runs in."""

    VOTING = "voting"
    HEAVY = "heavy"
    LIGHT = "light"


# Python computes in one thread at a time, so more light threads would only delay the votes.
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
        Busy: it is heavy, and no slot was free in time.
    """
    lanes, lane = _lanes_here(), getattr(function, LANE, Lane.LIGHT)
    if lane == Lane.HEAVY:
        return await lanes.heavy.run(function, arguments, LocalContext.request.get(None))
    return await to_thread.run_sync(function, *arguments, limiter=lanes.threads[lane])


@dataclass(eq=False)
class _Waiting:
    """Equal requests that wait for one answer; `answer` is set when work on it begins."""

    function: Callable[..., Any]
    arguments: tuple
    callers: list[Caller] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Task | None = None


class HeavyLane:
    """Heavy requests: few run at once, and one for each address.

    Equal requests that wait share one answer, for example when a whole class opens the page. So the
    answer of a heavy function must depend on its arguments alone. It uses the slot of any of
    the addresses that has one free; otherwise, an address that keeps asking would block the others.
    """

    def __init__(self) -> None:
        self._threads = CapacityLimiter(HEAVY_SLOTS)
        self._addresses: set[str] = set()  # addresses whose request is running
        self._waiting: dict[tuple, _Waiting] = {}  # first come, first served

    async def run(self, function: Callable[..., Any], arguments: tuple, caller: Caller) -> Any:
        """Call a function when a slot is free.

        Raises:
            Busy: no slot was free in time, or enough requests of the address wait already.
        """
        key = function, repr(arguments)
        if caller and key not in self._waiting and self._waiting_of(caller) >= MOST_WAITING:
            raise Busy
        waiting = self._waiting.setdefault(key, _Waiting(function, arguments))
        waiting.callers.append(caller)
        # Soon, not now, so that equal requests of the same moment share an answer.
        asyncio.get_running_loop().call_soon(self._begin_ready)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await waiting.begun.wait()
        finally:
            if waiting.answer is None:
                waiting.callers.remove(caller)
                if not waiting.callers:
                    del self._waiting[key]
        if waiting.answer is None:
            raise Busy
        return await asyncio.shield(waiting.answer)  # one who leaves does not end it for others

    def _waiting_of(self, caller: Request) -> int:
        """Count the answers that the caller's address waits for."""
        address = address_of(caller)
        return sum(
            any(other and address_of(other) == address for other in waiting.callers)
            for waiting in self._waiting.values()
        )

    def _begin_ready(self) -> None:
        for key, waiting in list(self._waiting.items()):
            addresses = [address_of(caller) if caller else "here" for caller in waiting.callers]
            free = [address for address in addresses if address not in self._addresses]
            if free and len(self._addresses) < HEAVY_SLOTS:
                del self._waiting[key]  # later requests wait for a newer answer
                self._addresses.add(free[0])
                waiting.answer = asyncio.create_task(self._work(waiting, free[0]))
                waiting.begun.set()

    async def _work(self, waiting: _Waiting, address: str) -> Any:
        try:
            if all([await _is_gone(caller) for caller in waiting.callers]):
                raise Busy  # no caller is left to read the answer
            call = waiting.function, *waiting.arguments
            return await to_thread.run_sync(*call, limiter=self._threads)
        finally:
            self._addresses.remove(address)
            self._begin_ready()


async def _is_gone(caller: Caller) -> bool:
    return caller is not None and await caller.is_disconnected()


class _Lanes:
    """The lanes of one event loop, which belongs to one app."""

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
