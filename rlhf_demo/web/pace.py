"""Limits for one address: open requests, requests in work, and requests per second.

Thirty phones of a school share one address, but one phone may also pretend to be three hundred. So
requests that come too fast wait behind others from their own address, and an address is refused
only if it leaves hundreds of requests open. Other addresses do not wait. Streams, which end when
their reader likes, are counted separately.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from anyio import CancelScope
from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.web.connections import SHARE, Protocol
from rlhf_demo.web.middleware import API, UPLOAD, Refused
from rlhf_demo.web.refusals import once_more

MOST_OPEN = 500
"""Requests of one address; sixty students' browsers open six connections each."""
MOST_STREAMS = 200
"""Of one address; beyond it, one of its own ends for a new one. A page has a heartbeat open, and
reads another while it waits for events."""
SHARE_OF_ALL = 2
"""Streams of all addresses, and as many other requests, may take one in so many of the connections.
Behind a proxy nothing else keeps a crowd of addresses from having them all."""
MOST_BODIES = 3000
"""Requests in JSON that are read or wait, of all addresses: 200 MB if all are the longest."""
UPLOAD_PLACES = 60
"""Uploads of one address that arrive at once, a class's. They may take as long as they like."""
PLACES = 6
"""Requests of one address that are worked on at once, until their answer begins; as many pages, and
as many files."""
REQUESTS = (300, 100.0)
"""Of one address: so many at once, then so many a second; thirty who vote send 40 a second."""
PAGES = (120, 5.0)
"""The same for what is built for each request, which takes the server 50 ms."""
PAGE_PLACES = 2
"""Pages that are built at once, of all addresses."""
BODY_SECONDS = 10.0
"""For a request in JSON, and for the next piece of an upload."""
PAUSE_SECONDS = 0.05

PAGE = re.compile(rf"/|/config|{API}/(info|startup-events)/?")
STREAM = re.compile(rf"{API}/(heartbeat/(?P<session>.*)|queue/data|call/.*)/?", re.DOTALL)
FILES = re.compile(
    r"/(assets|static|svelte|served|scripts)/.*|/(plotly\.min\.js|favicon\.ico)", re.DOTALL
)
"""What is sent as it is. Opening the page asks for a hundred of them, so they need no permits."""


@dataclass
class _Stream:
    """Heartbeats say for as long as a page is open that it is; other streams bring answers."""

    heartbeat: bool
    session: str  # empty where the request names none


@dataclass(eq=False)
class _Visitors:
    """All clients behind one address."""

    open: int = 0
    streams: dict[CancelScope, _Stream] = field(default_factory=dict)  # the oldest first
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLACES))
    page_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLACES))
    """Apart, as pages wait long for their permits and nothing else shall wait for them."""
    upload_places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(UPLOAD_PLACES)
    )
    file_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLACES))

    def end_stream(self) -> None:
        """End the oldest heartbeat of a session that waits for nothing, else the oldest stream.

        With either of its streams, a session loses what it waits for.
        """
        going = {at: one for at, one in self.streams.items() if not at.cancel_called}
        waiting = {one.session for one in going.values() if not one.heartbeat}
        idle = [at for at, one in going.items() if one.heartbeat and one.session not in waiting]
        for place in [*idle, *going][:1]:
            place.cancel()


class Pace:
    """ASGI middleware behind middleware.Door, which puts the client's address into its place.

    Args:
        app: what is behind it.
        clock: seconds.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._requests, self._pages = RateLimit(*REQUESTS, clock), RateLimit(*PAGES, clock)
        self._page_places = asyncio.Semaphore(PAGE_PLACES)
        self._visitors: dict[str, _Visitors] = {}
        self._bodies = self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when it is its turn.

        Raises:
            Refused: the address has too many open, or the request does not arrive.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = scope["client"][0]
        visitors = self._visitors.setdefault(address, _Visitors())
        try:
            if about := _stream_of(scope):
                await self._stream(visitors, about, scope, receive, send)
            else:
                await self._count(visitors, scope, receive, send)
        finally:
            self._forget_idle(address, visitors)

    async def pause(self, scope: Scope, receive: Receive) -> None:
        """Let a request that the door refuses wait for a place and a permit, as any other does."""
        address = scope["client"][0]
        visitors = self._visitors.setdefault(address, _Visitors())
        visitors.open += 1
        try:
            async with AsyncExitStack() as turn:
                await _unless_gone(self._take_turn(scope, turn), receive)
        finally:
            visitors.open -= 1
            self._forget_idle(address, visitors)

    def _forget_idle(self, address: str, visitors: _Visitors) -> None:
        idle = not visitors.open and not visitors.streams
        if idle and self._visitors.get(address) is visitors:
            del self._visitors[address]

    async def _count(self, visitors: _Visitors, scope: Scope, receive: Receive, send: Send) -> None:
        if visitors.open >= MOST_OPEN:
            raise Refused(
                429, f"{MOST_OPEN} requests from this address are open: try again in a moment"
            )
        if visitors.open * SHARE >= _most_of_all() - self._open:
            raise Refused(503, "too many requests are open: try again in a moment")
        visitors.open += 1
        self._open += 1
        try:
            await self._pass(scope, receive, send)
        finally:
            visitors.open -= 1
            self._open -= 1

    async def _stream(
        self, visitors: _Visitors, about: _Stream, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let a stream go on until it ends or a newer one needs the place."""
        last: Message = {}

        async def send_on(message: Message) -> None:
            nonlocal last
            last = message
            if message["type"] == "http.response.start":  # so that its end frees the connection
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        with CancelScope() as place:
            visitors.streams[place] = about
            self._make_room(visitors)
            try:
                await self._answer(scope, b"", receive, send_on)
            finally:
                del visitors.streams[place]
        if place.cancelled_caught and not last:
            raise Refused(429, "this address has opened too many newer streams: try again")
        if place.cancelled_caught and last.get("more_body", True):
            await send({"type": "http.response.body", "body": b""})

    def _make_room(self, visitors: _Visitors) -> None:
        """End a stream of these where they have too many; where all have, of whoever has most."""
        if len(visitors.streams) > MOST_STREAMS:
            visitors.end_stream()
        elif sum(len(one.streams) for one in self._visitors.values()) > _most_of_all():
            max(self._visitors.values(), key=lambda one: len(one.streams)).end_stream()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope)
        if UPLOAD.fullmatch(path):
            await self._upload(scope, receive, send)
        elif scope["method"] == "POST":
            await self._read_and_answer(scope, receive, send)
        else:
            await self._answer(scope, b"", receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._visitors[scope["client"][0]].upload_places:
            async with AsyncExitStack() as turn:  # held until it is its turn, not while it arrives
                await self._take_turn(scope, turn)
            await self.app(scope, _in_time(receive), send)

    async def _read_and_answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._bodies >= MOST_BODIES:
            raise Refused(503, "too many requests arrive at once: try again in a moment")
        self._bodies += 1
        try:
            body = await _whole(receive)
            if body is not None:
                await self._answer(scope, body, receive, send)
        finally:
            self._bodies -= 1

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Let the app answer; the place is free again when the answer begins."""
        async with AsyncExitStack() as turn:

            async def send_on(message: Message) -> None:
                await turn.aclose()
                await send(message)

            if await _unless_gone(self._take_turn(scope, turn), receive):
                await self.app(scope, once_more(body, receive), send_on)

    async def _take_turn(self, scope: Scope, turn: AsyncExitStack) -> None:
        """Wait for the places and the permit that a request needs."""
        address, path = scope["client"][0], get_route_path(scope)
        visitors = self._visitors[address]
        if FILES.fullmatch(path):
            await turn.enter_async_context(visitors.file_places)
            return
        page = PAGE.fullmatch(path)
        await turn.enter_async_context(visitors.page_places if page else visitors.places)
        permits = self._pages if page else self._requests
        while not permits.allow(address):
            await asyncio.sleep(PAUSE_SECONDS)
        if page:
            await turn.enter_async_context(self._page_places)


async def _unless_gone(waiting: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Wait for something, but no longer than the sender does; say whether it came to that.

    A browser that leaves the page closes its connection and sends a new request. A script can make
    it do so many times a second.
    """

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            return False
        await tasks[0]
        return True
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stream_of(scope: Scope) -> _Stream | None:
    """Return which stream a request opens, None if it opens none."""
    match = STREAM.fullmatch(get_route_path(scope))
    if scope["method"] != "GET" or not match:
        return None
    session = QueryParams(scope["query_string"]).get("session_hash", "")
    return _Stream(match["session"] is not None, match["session"] or session)


def _most_of_all() -> int:
    return Protocol.most // SHARE_OF_ALL


async def _whole(receive: Receive) -> bytes | None:
    """Return a body, which the door has bounded; None where its sender is gone.

    Raises:
        Refused: it does not arrive in time.
    """
    pieces, more = [], True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refused(
            408, f"this request did not arrive within {BODY_SECONDS:g} s: send it again"
        ) from None
    return b"".join(pieces)


def _in_time(receive: Receive) -> Receive:
    """Return what gives the pieces of an upload, which seems broken off where the next is late."""

    async def next_message() -> Message:
        try:
            return await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return next_message
