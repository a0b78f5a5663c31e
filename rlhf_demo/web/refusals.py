"""Refuse invalid requests in a sentence: no client gets a traceback, and no log fills with them.

Anybody on the network can call any function with any input. Gradio prints a traceback for each
request that does not fit a handler's inputs, and answers with status 500, as if the server had
failed.
"""

import errno
import json
import logging
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj
from starlette._utils import get_route_path
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf_demo.errors import DemoError
from rlhf_demo.rate_limit import sender
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.cache import UPLOADED
from rlhf_demo.web.middleware import UPLOAD

log = logging.getLogger(__name__)
REFUSED, FAILED_AT = "%r refused: %s", "%s failed"
"""Its lines; connections.py lets few of them through."""

WRONG_SHAPE = "this request lacks a part, or a part has the wrong type: reload the page"
FAILED = "the server failed to do this: its owner can find the reason in the log"
DISK_FULL = "the server's disk is full: its owner must make room"
LONGEST_NOTE = 300
"""Characters of one sender's words that reach the log or go back to them."""
SESSION = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""A session's name; a browser's names have eleven letters and digits, those of Python's client 36
with hyphens."""
LONGEST_PATH = 330
"""Characters of an upload's path in the cache: its folder has 64, its name at most 255."""
MOST_VALUES = 500
"""Values in a request, at any depth. The longest form has 46; texts count as one however long.
Gradio goes through all of them in the event loop."""
MOST_DIGITS = 400
"""Digits of a whole number in a request. Python reads and writes 4,300 in a millisecond."""
BAD_REQUEST = JSONResponse({"error": WRONG_SHAPE}, 400)


def in_words(error: Exception, where: str) -> str:
    """Return the sentence that the sender of a request reads instead of an error.

    Errors that a request of the wrong shape causes are the sender's; all others are logged whole,
    and the sender does not see paths and numbers of the server.
    """
    if isinstance(error, DemoError):
        return str(error)
    if isinstance(error, TypeError | KeyError | AttributeError | ValueError | OverflowError):
        return WRONG_SHAPE
    log.error(FAILED_AT, where, exc_info=error)
    return DISK_FULL if _no_room(error) else FAILED


def _no_room(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


class Page(gr.Blocks):
    """Blocks whose handlers refuse in a sentence, as the server functions of its parts do."""

    async def process_api(self, block_fn: Any, *given: Any, **named: Any) -> dict[str, Any]:
        """Run a handler as Gradio does.

        Raises:
            gr.Error: the handler, or Gradio before it, refused the request.
        """
        request = named.get("request")
        if isinstance(request, gr.Request):  # Gradio's queue runs handlers outside of it
            sender.set(address_of(request))
        try:
            return await super().process_api(block_fn, *given, **named)
        except gr.Error as error:
            error.message = str(error.message)[:LONGEST_NOTE]
            error.print_exception = False
            raise
        except Exception as error:  # noqa: BLE001  (in_words logs what is not the sender's fault)
            raise gr.Error(in_words(error, str(block_fn)), print_exception=False) from None

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any
    ) -> list[Any]:
        """Check the files in a handler's inputs before Gradio does.

        Gradio resolves the path of every file that a request names, in the event loop, and
        remembers it, whether or not the input takes files and the file exists.

        Raises:
            TypeError: an input holds a file that was not uploaded, or takes no files.
        """
        for block, value in zip(block_fn.inputs, inputs, strict=False):  # Gradio checks the number
            files = list(_files(value))
            most = 1 if isinstance(block, gr.UploadButton) else 0
            if len(files) > most or not all(_is_upload(file["path"]) for file in files):
                raise TypeError("this input takes no such files")
        return await super().preprocess_data(block_fn, inputs, *given, **named)


def _files(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all that Gradio may take for a file in an input, at any depth."""
    left = [value]
    while left:
        part = left.pop()
        if is_file_obj(part):
            yield part
        if isinstance(part, dict):
            left += part.values()
        elif isinstance(part, list):
            left += part


def _is_upload(path: str) -> bool:
    """Say whether a path looks like an upload's in Gradio's cache, without asking the disk."""
    cache = get_upload_folder()
    if len(path) > len(cache) + LONGEST_PATH:
        return False
    folder = PurePath(path).parent
    return UPLOADED.fullmatch(folder.name) is not None and folder.parent == PurePath(cache)


class Refusals:
    """ASGI middleware that refuses invalid requests before they make Gradio fail.

    If a request still makes a route fail, the answer is "bad request", not "server error".
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a JSON body and pass the request on, or answer that it does not fit."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "POST" and not UPLOAD.fullmatch(get_route_path(scope)):
            body = (await receive()).get("body", b"")  # throttle.py has read it whole
            if not _fits(body, scope["path"]):
                await BAD_REQUEST(scope, receive, send)
                return
            receive = once_more(body, receive)
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] == 500:  # Gradio's word for whatever a handler refuses
                    message = {**message, "status": 400}
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except Exception as error:  # noqa: BLE001  (a line of the log is enough: these are many)
            log.warning(REFUSED, scope["path"][:LONGEST_NOTE], repr(error)[:LONGEST_NOTE])
            if begun:  # an event stream: all that can be done is to end it
                await send({"type": "http.response.body", "body": b""})
            elif _no_room(error):
                await JSONResponse({"error": DISK_FULL}, 507)(scope, receive, send)
            else:
                await BAD_REQUEST(scope, receive, send)


def once_more(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was already read, and then later messages."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _fits(body: bytes, path: str) -> bool:
    """Say whether a body is the JSON that a browser sends.

    NaN, infinite numbers and half a character (a lone surrogate) can be read but not written
    again. A session needs a name, and Gradio joins it to others: with odd letters, nobody could
    cancel anything. Gradio keeps the names of thousands.
    """
    try:
        request = json.loads(body, parse_int=_whole_number) if body else {}
        if _has_many_values(request):
            return False
        json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    session = request.get("session_hash") if isinstance(request, dict) else None
    if session is None:
        return not path.endswith("/queue/join")
    return isinstance(session, str) and SESSION.fullmatch(session) is not None


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a whole number has too many digits")
    return int(digits)


def _has_many_values(request: Any) -> bool:
    left, count = [request], 0
    while left and count <= MOST_VALUES:
        part = left.pop()
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        count += len(inside)
        left += inside
    return count > MOST_VALUES
