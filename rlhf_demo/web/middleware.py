"""Checks of every request: its sender, host name, form and length.

Gradio reads JSON whatever it is called, answers other websites with a permissive header, and serves
any host name; so another website that a visitor opens could write and read here in the visitor's
name. Gradio also has routes that this page does not use. This middleware stops all of that.

It is pure ASGI, because answers are streamed, and it must be the outermost: see `outermost`.
"""

import fnmatch
import ipaddress
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.rate_limit import sender
from rlhf_demo.server.settings import LOOPBACK, Settings
from rlhf_demo.web.addresses import client_address

API = "/gradio_api"
POSTS = re.compile(
    rf"{API}/(queue/join|call/(v2/)?[^/]+|component_server|cancel|reset|(run|api)/[^/]+)/?"
)
UPLOAD = re.compile(rf"{API}/upload/?")
CLOSED = re.compile(
    rf"/openapi\.json|/(monitoring|profiling)(/.*)?|({API})?/(logout|login_check)/?"
    rf"|{API}/(openapi\.json|dev/.*|proxy=.*|file=https?:.*|file/.*|deep_link|custom_component/.*"
    r"|upload_progress"
    rf"|run-history/.*|runs|stream/.*|vibe-.*|profiling/.*|mcp.*)/?",
    re.DOTALL | re.IGNORECASE,
)
"""Routes of Gradio that answer GET and that this page does not use.

The route of custom components prints each request, so anyone could write lines into the log.
"""
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""In a path, these would begin a line of their own in the log."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]*)?", re.ASCII | re.IGNORECASE)

INFO = re.compile(rf"{API}/info/?")
"""Here Gradio describes all endpoints only once, with the host name that the first visitor sent. It
describes those of a page for each request again, and our only page has an empty name."""

NAMING = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server", "content-type")
"""Headers that Gradio takes apart, or writes into the page dozens of times."""
MOST_NAMING = 255
"""Characters of each: the longest host name. A browser's Content-Type has 70."""
UNREAD = b"cookie", b"x-gradio-server"
"""Headers that Gradio would read and this page does not need: Python 3.11.9 takes 6.5 s for 60 kB
of cookies, and the other stands in for the page's own address. So would 100 ranges of a file."""
MOST_BYTES = 64_000
"""Most bytes of a JSON request; the longest that the page sends has a few thousand."""
MOST_UPLOAD_BYTES = 21_000_000
"""Most bytes of an upload: all its files, and what separates them."""

HEADERS = {
    # Gradio writes scripts and styles into the page and makes functions of text.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https://huggingface.co; "
        "font-src 'self' data:; connect-src 'self' https://huggingface.co; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    # Another website's scripts and pictures cannot tell whether something is here. A frame is none.
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""Sent with every answer. The Hub shows Spaces in a frame, so there is no X-Frame-Options."""
HUB = " https://huggingface.co https://*.hf.space"
"""Added on a Space: who may show it in a frame. Anyone can have a Space, so only there."""


class Refused(Exception):
    """The request is turned down: a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class RequestFilter:
    """ASGI middleware that admits only requests of the page itself and of programs.

    Args:
        app: the app that it protects.
        settings: the page's address, host names and proxies.
        pause: called with (scope, receive) before a request is refused that never reached `app`.
            Without it, one address could make the filter answer as fast as it can.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        pause: Callable[[Scope, Receive], Awaitable[None]] | None = None,
    ) -> None:
        self.app, self.settings, self.pause = app, settings, pause
        self.headers = HEADERS.copy()
        if settings.space:
            self.headers["Content-Security-Policy"] += HUB

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with the client's address in the scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        peer = scope["client"][0] if scope.get("client") else "unknown"
        forwarded = headers.getlist("x-forwarded-for")
        address = client_address(peer, forwarded, self.settings.proxies)
        sender.set(address)
        exchange = _Exchange(receive, send, self.headers)
        path = get_route_path(scope)  # as the routes see it: without a proxy's prefix
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name not in UNREAD and not (name == b"range" and b"," in value)
        ]
        scope = {**scope, "client": (address, 0), "headers": kept}
        if INFO.fullmatch(path):
            scope["query_string"] = b"page="
        try:
            await self._check_throttled(path, headers, scope, receive)
            most = MOST_UPLOAD_BYTES if UPLOAD.fullmatch(path) else MOST_BYTES
            await exchange.run(self.app, scope, most)
        except Refused as refusal:
            # The sender needs a new connection to ask again, and connections have bounds.
            close = {"connection": "close"}
            answer = JSONResponse({"error": refusal.sentence}, refusal.status, close)
            await answer(scope, receive, exchange.send)

    async def _check_throttled(
        self, path: str, headers: Headers, scope: Scope, receive: Receive
    ) -> None:
        try:
            self._check(scope["method"], path, headers)
        except Refused:
            if self.pause:
                await self.pause(scope, receive)
            raise

    def _check(self, method: str, path: str, headers: Headers) -> None:
        for name in NAMING:
            if any(len(value) > MOST_NAMING for value in headers.getlist(name)):
                raise Refused(400, f"the header {name} is longer than {MOST_NAMING} characters")
        if not _names_a_host(headers.get("x-forwarded-host", "")):
            raise Refused(400, "the header x-forwarded-host names no host")
        host = headers.get("host", "")
        if not is_ours(host, self.settings):
            name = (_name(host) or host)[:100]
            raise Refused(
                403,
                f"this page is not known as {name!r}: its owner can add that name to "
                "RLHF_DEMO_HOSTS",
            )
        if CONTROLS.search(path):
            raise Refused(404, "this page has nothing at this address")
        if method in ("GET", "HEAD"):
            if CLOSED.fullmatch(path):
                raise Refused(404, "this page has nothing at this address")
            if from_elsewhere(headers, self.settings):
                raise Refused(403, "another website requested this: open the page itself")
            return
        if method != "POST":
            raise Refused(405, "this page answers GET, HEAD and POST only")
        if not from_here(headers, self.settings):
            raise Refused(
                403,
                "this request comes from another website: open the page itself; if it is behind a "
                "proxy, make the proxy send X-Forwarded-Host, or name the page in RLHF_DEMO_HOSTS",
            )
        self._check_post(path, headers)

    def _check_post(self, path: str, headers: Headers) -> None:
        upload = UPLOAD.fullmatch(path)
        if not upload and not POSTS.fullmatch(path):
            raise Refused(404, "this page has nothing at this address")
        form = "multipart/form-data" if upload else "application/json"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != form:
            raise Refused(415, f"send this request as {form}")


class _Exchange:
    """A request and its answer on their way through the filter."""

    def __init__(self, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        self._receive, self._send, self._headers = receive, send, headers
        self._left, self._begun = 0, False

    async def run(self, app: ASGIApp, scope: Scope, most: int) -> None:
        """Let the app answer a request of at most so many bytes.

        Raises:
            Refused: it was longer.
        """
        self._left = most
        try:
            await app(scope, self.receive, self.answer)
        except Exception:
            if not self._cut_off:
                raise
        if self._cut_off:
            raise Refused(413, f"this request is longer than {most:,} bytes: send less at once")

    @property
    def _cut_off(self) -> bool:
        return self._left < 0 and not self._begun

    async def receive(self) -> Message:
        """Pass on a part of the request; beyond the bound it seems to be broken off."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._left < 0 else message

    async def answer(self, message: Message) -> None:
        """Pass on what the app answers, unless it is about a request that seems broken off."""
        if not self._cut_off:
            await self.send(message)

    async def send(self, message: Message) -> None:
        """Send a message with our headers, and without those that open it to other websites."""
        if message["type"] == "http.response.start":
            self._begun = True
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": kept}
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def is_ours(host: str, settings: Settings) -> bool:
    """Say whether the page may be asked under this host name.

    A website can give its own name the address of this machine, and then read the page in the name
    of its visitor. It can do that with no number. Someone in the same network can do it with a name
    without a dot or one that ends in `.local`. So these count only where the limits are on, because
    such a page is for that network anyway.
    """
    if settings.any_host:
        return True
    name = _name(host)
    if name in (*LOOPBACK, settings.server_name.lower()):
        return True
    if name and any(fnmatch.fnmatchcase(name, host.lower()) for host in settings.hosts):
        return True
    if not name or settings.loopback:
        return False
    of_network = settings.public and ("." not in name or name.endswith(".local"))
    return of_network or _is_number(name) or name == socket.gethostname().lower()


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """Return a host's name or number without its port; empty where it is none."""
    parts = HOST.fullmatch(host)
    return parts[1].strip("[]").lower() if parts else ""


def _names_a_host(forwarded: str) -> bool:
    """Say whether Gradio can make an address of the first host of X-Forwarded-Host, if any.

    In its queue, where it does so without a request to answer, it prints a traceback if it cannot.
    """
    first = forwarded.partition(",")[0].strip()
    if not first:
        return True
    try:
        httpx.URL(f"http://{first}")
    except (httpx.InvalidURL, ValueError):
        return False
    return HOST.fullmatch(first) is not None


def from_here(headers: Headers, settings: Settings) -> bool:
    """Say whether a request comes from this page, or from a program and no website at all.

    Browsers say so themselves, in a header that no script can write, where the page is at home or
    has a certificate. Elsewhere they say which page sent it; its name and port must be ours, or its
    name one that the owner gave whole. What a proxy says of our name is safe to believe: before a
    script of another website may send X-Forwarded-Host, its browser asks by OPTIONS, in vain.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    theirs = origin.partition("://")[2].lower()
    hosts = headers.get("host"), headers.get("x-forwarded-host", "").partition(",")[0].strip()
    if theirs in [host.lower() for host in hosts if host]:
        return True
    return _name(theirs) in [host.lower() for host in settings.hosts]


def from_elsewhere(headers: Headers, settings: Settings) -> bool:
    """Say whether another website reads this in a visitor's name, and does not just lead here.

    It learns nothing from the answer, but could keep the page busy as long as it is open. The Hub
    shows a Space in a frame.
    """
    if headers.get("sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    shown = ("document", "iframe") if settings.space else ("document",)
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") not in shown


def outermost(
    wrap: Callable[[ASGIApp], ASGIApp],
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return a lifespan that puts a middleware around all others of an app.

    What `launch(app_kwargs={"middleware": ...})` adds lies inside Gradio's own, of which one
    answers other websites before it is asked. When an app begins, the whole stack is built.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        app.middleware_stack = wrap(app.middleware_stack or app.build_middleware_stack())
        yield

    return lifespan
