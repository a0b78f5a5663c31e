"""Bounds on uploads in Gradio's cache: files per request, bytes per address and in total.

Gradio keeps everything that anyone sends to its upload route for a day, whether or not a handler
uses it. Here the oldest files make room, then those of the address that sent most, so that there is
always room for others.
"""

import json
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from anyio import CapacityLimiter, to_thread
from gradio.utils import get_upload_folder
from python_multipart.multipart import parse_options_header
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.web.middleware import UPLOAD

FOLDER, MARK = "rlhf-demo-served", ".made-by-rlhf-demo"
"""Name of the cache, and of the file in it that marks it as ours, because we remove files here."""
DOWNLOADS = "downloads"
"""Folder of the cache that everyone may read (web/downloads.py); its files are no uploads."""
UPLOADED = re.compile("[0-9a-f]{64}")
"""What Gradio calls the folder of an uploaded file: a digest (gradio_fixes.Upload)."""
GRADIOS = re.compile(rf"tmp[^/]*|{UPLOADED.pattern}/[^/]+")
"""Files in the cache that Gradio makes of uploads; while one arrives, it is called tmp..."""
OURS = re.compile(rf"{re.escape(MARK)}|{DOWNLOADS}|tmp\w*|{UPLOADED.pattern}")
"""What lies directly in the cache; our folder is known by these names if its mark was removed."""
MEGABYTE = 10**6
MOST_FILES = 4
"""Most files of one request; the page sends one."""
AFTER_MARK = (b"\r\n", b"--")
"""What follows the mark before a file, and the last mark."""
MOST_BYTES = 1000 * MEGABYTE
"""Most bytes of all uploads in the cache; each is read and removed within seconds."""
SAFE_SECONDS = 600
"""How long a file may wait before it makes room for any other upload."""
MEGABYTES_EACH = (380, 1.0)
"""Megabytes from one address: this many at once, for a class, then this many a second. In
SAFE_SECONDS that is less than MOST_BYTES, so one address cannot fill the cache for others."""

LEAST_BYTES = 100_000
"""The least that a file counts for, because it takes its own folder."""
LOOK_SECONDS = 10.0
"""Until the cache is looked through again, which takes 0.5 s for as many files as it may hold.
Meanwhile, uploads take their room from what was left."""
SPARE = 10
"""If files have to go, a tenth of MOST_BYTES is made free, for the uploads until the next look."""
NO_ROOM = 507, "there is no room for files at the moment: try again in ten minutes"

File = tuple[os.stat_result, Path]
Held = tuple[int, Callable[[], None]]
"""Bytes in use, and the function that frees them."""

arriving: ContextVar[list[Any]] = ContextVar("arriving")
"""Temporary files of the upload that is being received."""


def noted_file(**options: Any) -> Any:
    """Replace the function that opens a temporary file for each file of an upload.

    Gradio leaves the file in its cache if the upload breaks off.
    """
    file = NamedTemporaryFile(**options)
    arriving.get([]).append(file)
    return file


def own_cache(runs: Path) -> Path:
    """Make the folder for Gradio to keep files in, among the runs or where GRADIO_TEMP_DIR says.

    Raises:
        ConfigError: it cannot be created, belongs to someone else, or is or contains a link.
    """
    variable = "GRADIO_TEMP_DIR" if os.environ.get("GRADIO_TEMP_DIR") else "RLHF_DEMO_RUNS"
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or runs) / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(path.is_symlink() for path in (folder, *folder.rglob("*"))):
            raise ConfigError(f"{folder} is a link, or there is one in it: remove that link")
        if folder.stat().st_uid != os.geteuid():
            raise ConfigError(
                f"{folder} belongs to another account: name another folder in {variable}"
            )
        folder.chmod(0o700)
        marked = (folder / MARK).is_file()
        if not marked and not all(OURS.fullmatch(path.name) for path in folder.iterdir()):
            raise ConfigError(
                f"{folder} holds files that this page did not put there: move them away"
            )
        (folder / MARK).touch()
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}): name another folder in {variable}"
        ) from None
    return folder


@contextmanager
def received(source: Path) -> Generator[None]:
    """Use a file that Gradio received, then remove it from Gradio's cache, which has bounds.

    Raises:
        DataError: it is another file of the cache, which is not the sender's to remove; the disk
            is full, or the file was removed meanwhile.
    """
    cache, path = Path(get_upload_folder()).resolve(), source.resolve()
    own = path.parent.parent == cache and UPLOADED.fullmatch(path.parent.name)
    if path.is_relative_to(cache) and not own:
        raise DataError("this file was not uploaded here: upload it again")
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{source.name} cannot be kept ({error.strerror}): upload it again"
        ) from None
    finally:
        if own:
            _remove(source)


def _remove(path: Path) -> None:
    """Remove a file, and the folder that Gradio made for it alone."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # another file is in it
        path.parent.rmdir()


class UploadGate:
    """ASGI middleware before Gradio's upload route, and behind middleware.RequestFilter.

    Args:
        app: the app that it protects.
        folder: Gradio's cache.
        public: whether the limits are on; if not, an address may send as much as fits.
        clock: seconds since 1970.
    """

    def __init__(
        self, app: ASGIApp, folder: Path, *, public: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self.app, self.folder, self.public, self.clock = app, folder.resolve(), public, clock
        self._sent = RateLimit(*MEGABYTES_EACH, clock)
        self._arriving: list[_Upload] = []
        self._came_from: dict[Path, str] = {}  # the address of each file that exists
        self._left, self._looked_at = 0, float("-inf")
        self._one = CapacityLimiter(1)  # not the threads that answer pages and handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse an upload for which there is no room."""
        if scope["type"] != "http" or not UPLOAD.fullmatch(get_route_path(scope)):
            await self.app(scope, receive, send)
            return
        headers, address = Headers(scope=scope), scope["client"][0]
        length = headers.get("content-length", "")
        if not length.isdigit():
            refusal = 411, "state the length of this file (Content-Length)"
        elif self.public and not self._may_send(address, int(length)):
            refusal = 429, "too many files come from this address: try again in a minute"
        else:
            upload = _Upload(receive, headers.get("content-type", ""), address, int(length))
            self._arriving.append(upload)
            try:
                room = self._takes_what_is_left(upload)
                if room or await to_thread.run_sync(self._make_room, upload, limiter=self._one):
                    await self._pass(scope, upload, send)
                else:
                    upload.refusal = NO_ROOM
            finally:
                self._arriving.remove(upload)
                upload.remove_files()
            refusal = upload.refusal
        if refusal:
            close = {"connection": "close"}
            await JSONResponse({"error": refusal[1]}, refusal[0], close)(scope, receive, send)

    async def _pass(self, scope: Scope, upload: "_Upload", send: Send) -> None:
        """Let the route answer, unless the upload is refused meanwhile."""
        body = b""

        async def answer(message: Message) -> None:
            nonlocal body
            if not upload.refusal:
                upload.answered = True
                body += message.get("body", b"")
                await send(message)

        arriving.set(upload.files)
        try:
            # Gradio never forgets an upload whose sender gives it a name.
            await self.app({**scope, "query_string": b""}, upload.receive, answer)
        except Exception:
            if not upload.refusal:
                raise
        with suppress(ValueError, TypeError):  # an error, which names no files
            files = [Path(name).resolve() for name in json.loads(body)]
            self._came_from |= dict.fromkeys(files, upload.address)

    def _may_send(self, address: str, length: int) -> bool:
        megabytes = 1 + length // MEGABYTE
        return all(self._sent.allow(address) for _ in range(megabytes))

    def _takes_what_is_left(self, upload: "_Upload") -> bool:
        """Give an upload a part of the room that the last look found, if that is enough."""
        most = max(upload.length, MOST_FILES * LEAST_BYTES)
        if self._left < most or self.clock() - self._looked_at > LOOK_SECONDS:
            return False
        self._left -= most
        return not self._disk_is_full()

    def _disk_is_full(self) -> bool:
        return self.public and shortage(self.folder, PUBLIC) is not None

    def _make_room(self, upload: "_Upload") -> bool:
        """Remove files, and break off uploads, until there is room for a new upload.

        Returns:
            False if all files are too young and no other address sent more, or the disk is full.
        """
        if self._takes_what_is_left(upload):  # of the look that it waited for
            return True
        others = [
            other for other in self._arriving.copy() if other is not upload and not other.refusal
        ]
        open_files = {Path(file.name).resolve() for other in others for file in list(other.files)}
        files = [file for file in self._uploads() if file[1] not in open_files]
        for path in list(self._came_from):
            if not path.exists():
                self._came_from.pop(path, None)
        left = MOST_BYTES - sum(map(_size, files)) - sum(each.length for each in (upload, *others))
        if left < 0:
            for size, free in self._removable(files, others, upload.address):
                if left >= MOST_BYTES // SPARE:
                    break
                free()
                left += size
        self._left, self._looked_at = left, self.clock()
        return left >= 0 and not self._disk_is_full()

    def _uploads(self) -> Iterator[File]:
        """Yield Gradio's files of uploads; other requests may remove files meanwhile."""
        for folder, _, names in os.walk(self.folder):
            for path in (Path(folder) / name for name in names):
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    inside = path.relative_to(self.folder).as_posix()
                    if GRADIOS.fullmatch(inside) and stat.S_ISREG(facts.st_mode):
                        yield facts, path

    def _removable(self, files: list[File], others: list["_Upload"], address: str) -> list[Held]:
        """Return what may go to make room for an upload of an address, in this order."""
        removable, sent = [], defaultdict(list)
        for file in sorted(files, key=lambda file: file[0].st_mtime):
            status, path = file
            held = _size(file), partial(_remove, path)
            if status.st_mtime <= self.clock() - SAFE_SECONDS:
                removable.append(held)
            elif path in self._came_from:
                sent[self._came_from[path]].append(held)
        for upload in others:
            sent[upload.address].append((upload.length, upload.break_off))
        total = {of: sum(size for size, _ in sent[of]) for of in sent}
        for of in sorted(total, key=lambda of: total[of], reverse=True):
            removable += sent[of] if total[of] > total.get(address, 0) else []
        return removable


def _size(file: File) -> int:
    return max(file[0].st_size, LEAST_BYTES)


class _Upload:
    """An upload while it arrives. If it is refused, its body seems to be broken off."""

    def __init__(self, receive: Receive, content_type: str, address: str, length: int) -> None:
        self._receive, self.address, self.length = receive, address, length
        self.files: list[Any] = []  # temporary ones; Gradio renames those that it keeps
        self.refusal: tuple[int, str] | None = None
        self.answered = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        self._tail, self._parts = b"", 0
        # The mark between two files, and the two bytes that follow it.
        self._marks = re.compile(re.escape(b"--" + boundary) + b"(..)", re.DOTALL)
        self._kept = len(boundary) + 3

    def break_off(self) -> None:
        """Refuse it, because its room is needed, unless all of it has arrived."""
        self.refusal = self.refusal or (None if self.answered else NO_ROOM)

    def remove_files(self) -> None:
        """Remove what is left of it."""
        for file in self.files:
            file.close()
            Path(file.name).unlink(missing_ok=True)

    async def receive(self) -> Message:
        """Pass on a part of the body.

        The parser would read spaces after a mark one by one, however many follow.
        """
        message = await self._receive()
        seen = self._tail + message.get("body", b"")
        for found in self._marks.finditer(seen):
            self._parts += 1
            if found[1] not in AFTER_MARK:
                self.refusal = 400, "this upload is not written as a browser writes it"
        self._tail = seen[-self._kept :]
        if self._parts > MOST_FILES + 1:  # the last mark ends the body
            self.refusal = 413, f"send at most {MOST_FILES} files at once"
        return {"type": "http.disconnect"} if self.refusal else message
