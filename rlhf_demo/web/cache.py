"""Bounds on what visitors put into Gradio's cache: files a request, bytes an address and in all.

Gradio keeps whatever is sent to its upload route for a day, from anybody, whether a handler ever
asks for it or not. Here the oldest files make room, then those of the address that sent most, so
that others always find some.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyio import to_thread
from gradio.utils import get_upload_folder
from python_multipart.multipart import parse_options_header
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.errors import DataError
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.web.middleware import UPLOAD

DOWNLOADS = "downloads"
"""Folder of the cache that does not count with uploads: whoever writes into it bounds it."""
MEGABYTE = 10**6
MOST_FILES = 4
"""Of one request; the page sends one."""
MOST_BYTES = 1000 * MEGABYTE
"""Of all files in the cache; each is read within seconds and removed then (server/uploads.py)."""
SAFE_SECONDS = 600
"""How long a file may be waited for before it makes room for whoever comes."""
MEGABYTES_EACH = (380, 1.0)
"""From one address: so many at once, a class's, then so many a second. In SAFE_SECONDS that is less
than MOST_BYTES, so one address cannot fill the cache for others."""

File = tuple[os.stat_result, Path]


@contextmanager
def received(source: Path) -> Iterator[None]:
    """Use a file that Gradio received, then remove it from Gradio's cache, which has bounds.

    Raises:
        DataError: the disk is full, or the file was removed meanwhile.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{source.name} cannot be kept ({error.strerror}): upload it once more"
        ) from None
    finally:
        if source.resolve().is_relative_to(Path(get_upload_folder()).resolve()):
            source.unlink(missing_ok=True)


class UploadGate:
    """ASGI middleware before Gradio's upload route; it stands behind middleware.Door.

    Args:
        app: what is behind it.
        folder: Gradio's cache.
        public: the limits are on; elsewhere an address may send as much as there is room for.
        clock: seconds since 1970.
    """

    def __init__(
        self, app: ASGIApp, folder: Path, *, public: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self.app, self.folder, self.public, self.clock = app, folder, public, clock
        self._sent = RateLimit(*MEGABYTES_EACH, clock)
        self._came_from: dict[Path, str] = {}  # a file's address, for as long as it is there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer an upload that finds no room."""
        if scope["type"] != "http" or not UPLOAD.fullmatch(get_route_path(scope)):
            await self.app(scope, receive, send)
            return
        headers, address = Headers(scope=scope), scope["client"][0]
        length = headers.get("content-length", "")
        if not length.isdigit():
            refusal = 411, "say how long this file is (Content-Length)"
        elif self.public and not self._may_send(address, int(length)):
            refusal = 429, "too many files come from this address: try again in a minute"
        elif not await to_thread.run_sync(self._make_room, int(length), address):
            refusal = 507, "there is no room for files just now: try again in ten minutes"
        else:
            counted = _Counted(receive, headers.get("content-type", ""))
            if await self._passed(scope, counted, send):
                return
            refusal = 413, f"send at most {MOST_FILES} files at once"
        await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, send)

    async def _passed(self, scope: Scope, counted: "_Counted", send: Send) -> bool:
        """Let the route answer; False where it must not, as there are too many files."""
        told = b""

        async def answer(message: Message) -> None:
            nonlocal told
            if not counted.too_many:
                told += message.get("body", b"")
                await send(message)

        try:
            await self.app(scope, counted.receive, answer)
        except Exception:
            if not counted.too_many:
                raise
        with suppress(ValueError, TypeError):  # an error, which names no files
            self._came_from |= dict.fromkeys(map(Path, json.loads(told)), scope["client"][0])
        return not counted.too_many

    def _may_send(self, address: str, length: int) -> bool:
        megabytes = 1 + length // MEGABYTE
        return all(self._sent.allow(address) for _ in range(megabytes))

    def _make_room(self, length: int, address: str) -> bool:
        """Remove files until there is room for one of an address.

        Returns:
            False where all are too young and no other address sent more, or the disk is full.
        """
        files = [
            (path.stat(), path)
            for path in self.folder.rglob("*")
            if path.is_file() and self.folder / DOWNLOADS not in path.parents
        ]
        for path in list(self._came_from):
            if not path.exists():
                self._came_from.pop(path, None)
        left = MOST_BYTES - length - sum(found.st_size for found, _ in files)
        for found, path in self._going(files, address):
            if left >= 0:
                break
            path.unlink(missing_ok=True)
            left += found.st_size
        return left >= 0 and not (self.public and shortage(self.folder, PUBLIC))

    def _going(self, files: list[File], address: str) -> list[File]:
        """Return which files may make room for one of an address, in that order."""
        files = sorted(files, key=lambda one: one[0].st_mtime)
        safe = self.clock() - SAFE_SECONDS
        going = [one for one in files if one[0].st_mtime <= safe]
        sent = defaultdict(list)
        for one in files[len(going) :]:
            sent[self._came_from.get(one[1])].append(one)
        sent.pop(None, None)  # nobody sent it: a download
        size = {of: sum(found.st_size for found, _ in sent[of]) for of in sent}
        for of in sorted(size, key=size.get, reverse=True):
            going += sent[of] if size[of] > size.get(address, 0) else []
        return going


class _Counted:
    """A request's body that seems to be broken off where it has too many files."""

    def __init__(self, receive: Receive, content_type: str) -> None:
        self._receive = receive
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        self._mark, self._tail, self._parts = b"--" + boundary, b"", 0

    @property
    def too_many(self) -> bool:
        # The last mark ends the body.
        return self._parts > MOST_FILES + 1

    async def receive(self) -> Message:
        """Pass on a part of the body."""
        message = await self._receive()
        seen = self._tail + message.get("body", b"")
        self._parts += seen.count(self._mark)
        self._tail = seen[-len(self._mark) + 1 :]
        return {"type": "http.disconnect"} if self.too_many else message
