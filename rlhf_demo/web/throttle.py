"""Limits for one address: open requests, requests in work, and requests per second.

Thirty phones of a school share one address, but one phone may also pretend to be three hundred. So
requests that come too fast wait behind others from their own address, and an address is refused
only if it leaves hundreds of requests open. Other addresses do not wait. Streams, which end when
their reader likes, are counted separately.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack, contextmanager
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
"""Open requests of one address; sixty students' browsers open six connections each."""
MOST_STREAMS = 200
"""Open streams of one address; above this, a new stream ends one of the address's own. A page keeps
a heartbeat open, and reads a second stream while it waits for events."""
SHARE_OF_ALL = 2
"""All streams together may take one in this many of the connections, and all other requests as
many again. Behind a proxy, nothing else stops many addresses from taking all connections."""
MOST_BODIES = 3000
"""JSON requests of all addresses that are being read or wait: 200 MB if all are the longest."""
UPLOAD_SLOTS = 60
"""Uploads of one address that may arrive at once: a class's. They may take any time."""
SLOTS = 6
"""Requests of one address that the server works on at once, until their answers begin. There are as
many slots again for pages, and as many for files."""
REQUESTS = (300, 100.0)
"""Requests of one address: this many at once, then this many a second. Thirty voters send 40 a
second."""
PAGES = (120, 5.0)
"""The same for pages, which the server builds for each request in 50 ms."""
REFUSALS = (300, 100.0)
"""The same for requests that the filter refuses. Another website can make a browser send many, and
the page of the same browser must not wait for them."""
FILE_REQUESTS = (4000, 300.0)
"""The same for files: a class of forty that opens the page at once requests 4,000."""
PAGE_SLOTS = 2
"""Pages of all addresses that the server builds at once."""
BODY_SECONDS = 10.0
"""How long a JSON request, or the next piece of an upload, may take to arrive."""
PAUSE_SECONDS = 0.05
"""Time between two attempts to get a permit."""

PAGE = re.compile(rf"/(config/?)?|{API}/(info|startup-events)/?")
STREAM = re.compile(rf"{API}/(heartbeat/(?P<session>.*)|queue/data|call/.*)/?", re.DOTALL)
FILES = re.compile(
    r"/(assets|static|svelte|served|scripts)/.*|/(plotly\.min\.js|favicon\.ico)", re.DOTALL
)
"""Files that are sent as they are. A page requests a hundred when it opens."""


@dataclass
class _Stream:
    """A heartbeat shows that a page is still open; the other streams carry answers."""

    heartbeat: bool
    session: str  # empty if the request names none


@dataclass(eq=False)
class _Visitors:
    """All clients behind one address."""

    open: int = 0
    streams: dict[CancelScope, _Stream] = field(default_factory=dict)  # oldest first
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))
    page_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))
    """Separate: pages wait long for their permits, and no other request must wait for them."""
    upload_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOAD_SLOTS))
    file_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))
    refused_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))

    def end_stream(self) -> None:
        """End the oldest heartbeat of a session that waits for no answer, else the oldest stream.

        A session that loses either of its streams loses the answer that it waits for.
        """
        live = {scope: stream for scope, stream in self.streams.items() if not scope.cancel_called}
        waiting = {stream.session for stream in live.values() if not stream.heartbeat}
        idle = [
            scope
            for scope, stream in live.items()
            if stream.heartbeat and stream.session not in waiting
        ]
        for cancel_scope in [*idle, *live][:1]:
            cancel_scope.cancel()


class Throttle:
    """ASGI middleware behind RequestFilter, which writes the client's address into the scope.

    Args:
        app: the app that it protects.
        clock: seconds.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._requests, self._pages = RateLimit(*REQUESTS, clock), RateLimit(*PAGES, clock)
        self._files = RateLimit(*FILE_REQUESTS, clock)
        self._refusals = RateLimit(*REFUSALS, clock)
        self._page_slots = asyncio.Semaphore(PAGE_SLOTS)
        self._visitors: dict[str, _Visitors] = {}
        self._bodies = self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as soon as its address has a slot and a permit.

        Raises:
            Refused: the address has too many requests open, or the request does not arrive in time.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = scope["client"][0]
        visitors = self._visitors.setdefault(address, _Visitors())
        try:
            if stream := _stream_of(scope):
                await self._stream(visitors, stream, scope, receive, send)
            else:
                await self._count(visitors, scope, receive, send)
        finally:
            self._forget_idle(address, visitors)

    async def pause(self, scope: Scope, receive: Receive) -> None:
        """Let a request that the filter refuses wait for a slot and a permit of its own kind.

        It does not wait if too many are open: waiting, it would only hold a connection.
        """
        address = scope["client"][0]
        visitors = self._visitors.setdefault(address, _Visitors())
        try:
            if self._too_many(visitors) is None:
                with self._counted(visitors):
                    await _unless_gone(self._refuse_later(address, visitors), receive)
        finally:
            self._forget_idle(address, visitors)

    async def _refuse_later(self, address: str, visitors: _Visitors) -> None:
        async with visitors.refused_slots:
            while not self._refusals.allow(address):
                await asyncio.sleep(PAUSE_SECONDS)

    def _forget_idle(self, address: str, visitors: _Visitors) -> None:
        idle = not visitors.open and not visitors.streams
        if idle and self._visitors.get(address) is visitors:
            del self._visitors[address]

    async def _count(self, visitors: _Visitors, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal := self._too_many(visitors):
            raise refusal
        with self._counted(visitors):
            await self._pass(scope, receive, send)

    def _too_many(self, visitors: _Visitors) -> Refused | None:
        """Return the refusal of one more open request from these visitors, None if it may come."""
        if visitors.open >= MOST_OPEN:
            return Refused(
                429, f"{MOST_OPEN} requests from this address are open: try again in a moment"
            )
        if visitors.open * SHARE >= _most_of_all() - self._open:
            return Refused(503, "too many requests are open: try again in a moment")
        return None

    @contextmanager
    def _counted(self, visitors: _Visitors) -> Generator[None]:
        visitors.open += 1
        self._open += 1
        try:
            yield
        finally:
            visitors.open -= 1
            self._open -= 1

    async def _stream(
        self, visitors: _Visitors, stream: _Stream, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let a stream run until it ends or has to make room for a newer one."""
        last: Message = {}

        async def send_on(message: Message) -> None:
            nonlocal last
            last = message
            if message["type"] == "http.response.start":  # so that its end frees the connection
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        with CancelScope() as cancel_scope:
            visitors.streams[cancel_scope] = stream
            self._make_room(visitors)
            try:
                await self._answer(scope, b"", receive, send_on)
            finally:
                del visitors.streams[cancel_scope]
        if cancel_scope.cancelled_caught and not last:
            raise Refused(
                429,
                "this stream was ended, because its address opened too many newer ones: try again",
            )
        if cancel_scope.cancelled_caught and last.get("more_body", True):
            await send({"type": "http.response.body", "body": b""})

    def _make_room(self, visitors: _Visitors) -> None:
        """End a stream of an address that has too many, or of the busiest if all have too many."""
        if len(visitors.streams) > MOST_STREAMS:
            visitors.end_stream()
        elif sum(len(each.streams) for each in self._visitors.values()) > _most_of_all():
            max(self._visitors.values(), key=lambda each: len(each.streams)).end_stream()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope)
        if UPLOAD.fullmatch(path):
            await self._upload(scope, receive, send)
        elif scope["method"] == "POST":
            await self._read_and_answer(scope, receive, send)
        else:
            await self._answer(scope, b"", receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._visitors[scope["client"][0]].upload_slots:
            async with AsyncExitStack() as slots:  # free again while the upload arrives
                await self._acquire(scope, slots)
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
        """Let the app answer; the slot is free again when the answer begins."""
        async with AsyncExitStack() as slots:

            async def send_on(message: Message) -> None:
                await slots.aclose()
                await send(message)

            if await _unless_gone(self._acquire(scope, slots), receive):
                await self.app(scope, once_more(body, receive), send_on)

    async def _acquire(self, scope: Scope, slots: AsyncExitStack) -> None:
        """Wait for the slots and the permit that a request needs; `slots` then holds the slots."""
        address, path = scope["client"][0], get_route_path(scope)
        visitors = self._visitors[address]
        page = PAGE.fullmatch(path)
        own_slots, permits = visitors.slots, self._requests
        if page:
            own_slots, permits = visitors.page_slots, self._pages
        elif FILES.fullmatch(path):
            own_slots, permits = visitors.file_slots, self._files
        await slots.enter_async_context(own_slots)
        while not permits.allow(address):
            await asyncio.sleep(PAUSE_SECONDS)
        if page:
            await slots.enter_async_context(self._page_slots)


async def _unless_gone(waiting: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Wait, but only while the sender is connected; return False if the sender left first.

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
        with CancelScope(shield=True):  # a stream that ends now would end this with an error
            await asyncio.gather(*tasks, return_exceptions=True)


def _stream_of(scope: Scope) -> _Stream | None:
    """Return the stream that a request opens, None if it opens none."""
    match = STREAM.fullmatch(get_route_path(scope))
    if scope["method"] != "GET" or not match:
        return None
    session = QueryParams(scope["query_string"]).get("session_hash", "")
    return _Stream(match["session"] is not None, match["session"] or session)


def _most_of_all() -> int:
    return Protocol.most // SHARE_OF_ALL


async def _whole(receive: Receive) -> bytes | None:
    """Return a body, whose length the filter has limited; None if the sender left.

    Raises:
        Refused: it does not arrive in time.
    """
    pieces, unfinished = [], True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while unfinished:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                pieces.append(message.get("body", b""))
                unfinished = message.get("more_body", False)
    except TimeoutError:
        raise Refused(
            408, f"this request did not arrive within {BODY_SECONDS:g} s: send it again"
        ) from None
    return b"".join(pieces)


def _in_time(receive: Receive) -> Receive:
    """Return a `receive` that reports a late piece of an upload as a closed connection."""

    async def next_message() -> Message:
        try:
            return await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return next_message
