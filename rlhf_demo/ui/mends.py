"""What this page mends in Gradio and in uvicorn under it, where neither has a setting for it."""

import asyncio
from collections import OrderedDict
from typing import Any

import h11
from gradio import processing_utils
from gradio.queueing import Queue
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol

from rlhf_demo.errors import DemoError

MOST_SESSIONS = 2000
"""Whose messages are kept until their browsers fetch them; the number that Gradio has."""


def mend(queue: Queue) -> None:
    """Mend a page's queue, and what all pages of this process share; call it before the launch."""
    queue.pending_messages_per_session = Sessions(queue)
    processing_utils.async_ssrf_protected_download = refuse_to_fetch
    auto.AutoHTTPProtocol = LengthFirst


class Sessions(OrderedDict[str, asyncio.Queue[Any]]):
    """Messages that wait, by session; the oldest make room, but none with an event in the queue.

    Gradio lets go of the oldest even so. Its queue then stops for everybody, at the first message
    for one of them, until the page is started again.
    """

    def __init__(self, queue: Queue, most: int = MOST_SESSIONS) -> None:
        super().__init__()
        self._queue, self._most = queue, most

    def __missing__(self, session: str) -> "asyncio.Queue[Any]":
        """Return where messages go that nobody will fetch: their session is gone."""
        return asyncio.Queue()

    def __setitem__(self, session: str, messages: "asyncio.Queue[Any]") -> None:
        """Keep a session, and let go of another one where there are too many."""
        super().__setitem__(session, messages)
        if len(self) > self._most:
            busy = {event.session_hash for event in self._queue.event_ids_to_events.values()}
            oldest = next((one for one in self if one not in busy | {session}), session)
            if oldest != session:
                del self[oldest]
                self._queue.pending_event_ids_session.pop(oldest, None)


async def refuse_to_fetch(url: str, cache_dir: str) -> str:
    """Stand in the place of what downloads a file whose address somebody sends instead of a file.

    Raises:
        DemoError: always. Gradio would fetch it whole, however long, into memory.
    """
    raise DemoError("this page fetches no files from addresses: choose a file of your own")


class LengthFirst(H11Protocol):
    """HTTP for requests that say how long they are, as all of browsers do.

    A body in chunks of one byte keeps the parser, and with it the whole page, busy for seconds
    before anything behind it is asked. So such a request ends with its headers.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        next_event = self.conn.next_event

        def next_with_length() -> Any:
            event = next_event()
            if isinstance(event, h11.Request) and b"transfer-encoding" in dict(event.headers):
                raise h11.RemoteProtocolError("the body comes in chunks")
            return event

        self.conn.next_event = next_with_length

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request of HTTP, or comes in chunks, and close the connection."""
        super().send_400_response(f"{msg} Say how long it is (Content-Length).")
