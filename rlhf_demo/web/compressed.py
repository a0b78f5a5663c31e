"""Compress the page's files once, and keep the results.

By itself, Gradio compresses every answer in the event loop while a client reads it. The compressor
takes up to 5 MB and lives as long as its reader: 490 slow connections of one address cost 1.4 GB.
Here a file is compressed at its first request, and the page, which is always rebuilt, at each.
Then it is sent in pieces.
"""

import asyncio
import gzip
import re
from dataclasses import dataclass
from posixpath import normpath

from anyio import to_thread
from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.web.refusals import once_more
from rlhf_demo.web.throttle import PAGE

STATIC = re.compile(r"/(assets|static|svelte|scripts)/.+\.(js|css|svg|json)|/[^/]+\.(js|css)")
"""Files that stay the same while the app runs. Pictures and fonts are compressed already."""
MOST_BYTES = 32_000_000
"""Bytes of all kept files; those of the page take 3 MB."""
PIECE = 65_536
"""Bytes of an answer that wait for a slow reader."""


@dataclass(frozen=True)
class _Whole:
    """A whole answer: its headers, and its body compressed."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


class Compressed:
    """ASGI middleware that compresses the page and its files, and lets nothing else compress.

    Args:
        app: the next application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[str, _Whole] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or pass the request on without `Accept-Encoding`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        headers = [row for row in scope["headers"] if row[0] != b"accept-encoding"]
        plain = {**scope, "headers": headers}
        path, whole = get_route_path(scope), None
        if scope["method"] == "GET" and _takes_gzip(asked):
            if STATIC.fullmatch(path) and normpath(path) == path:  # ./ would add names
                whole = await self._find(plain, asked)
            elif PAGE.fullmatch(path):
                whole = await self._read(plain)
        if whole is None:
            await self.app(plain, receive, _in_pieces(send))
        else:
            await _answer(whole, asked, send)

    async def _find(self, scope: Scope, asked: Headers) -> _Whole | None:
        """Return a file's answer, and compress it if this is its first request."""
        path = get_route_path(scope)
        if path in self._kept:
            return self._kept[path]
        async with self._one_at_a_time:
            if path not in self._kept:
                kept = await self._read(scope)
                room = MOST_BYTES - sum(len(file.body) for file in self._kept.values())
                if kept is None or len(kept.body) > room:
                    return None
                self._kept[path] = kept
        return self._kept[path]

    async def _read(self, scope: Scope) -> _Whole | None:
        """Compress the app's whole answer; return None if it has no such file."""
        messages: list[Message] = []
        conditions = (b"if-none-match", b"if-modified-since")
        headers = [row for row in scope["headers"] if row[0] not in conditions]

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app({**scope, "headers": headers}, once_more(b"", _never_gone), keep)
        if not messages or messages[0].get("status") != 200:
            return None
        body = b"".join(message.get("body", b"") for message in messages[1:])
        compressed = await to_thread.run_sync(gzip.compress, body)
        answer = MutableHeaders(raw=list(messages[0]["headers"]))
        answer["content-encoding"] = "gzip"
        answer["content-length"] = str(len(compressed))
        answer.add_vary_header("Accept-Encoding")
        return _Whole(answer.raw, compressed)


def _takes_gzip(asked: Headers) -> bool:
    return "gzip" in asked.get("accept-encoding", "") and "range" not in asked


async def _answer(kept: _Whole, asked: Headers, send: Send) -> None:
    etag = Headers(raw=kept.headers).get("etag")
    known = etag is not None and asked.get("if-none-match") == etag
    headers = [row for row in kept.headers if not known or row[0] != b"content-length"]
    await send({"type": "http.response.start", "status": 304 if known else 200, "headers": headers})
    body = b"" if known else kept.body
    await _in_pieces(send)({"type": "http.response.body", "body": body})


def _in_pieces(send: Send) -> Send:
    """Return a `send` that waits between the pieces of a long body until its reader has read.

    Otherwise, the connection would keep all of it for a reader who is slow.
    """

    async def send_on(message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if len(body) <= PIECE:
            await send(message)
            return
        for start in range(0, len(body), PIECE):
            unfinished = more or start + PIECE < len(body)
            piece = {"body": body[start : start + PIECE], "more_body": unfinished}
            await send({**message, **piece})

    return send_on


async def _never_gone() -> Message:
    """Wait, as if the reader stays; an app that listens for a disconnect cancels this."""
    await asyncio.Event().wait()
    raise AssertionError("no message comes")
