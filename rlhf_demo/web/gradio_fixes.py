"""What this page mends in Gradio where it has no setting for it."""

import asyncio
from collections import OrderedDict
from typing import Any

from gradio import UploadButton, processing_utils
from gradio.data_classes import FileData
from gradio.queueing import Queue

from rlhf_demo.errors import DemoError

MOST_SESSIONS = 2000
"""Whose messages are kept until their browsers fetch them; the number that Gradio has."""


def mend(queue: Queue) -> None:
    """Mend a page's queue, and for all pages of this process how files come in."""
    queue.pending_messages_per_session = Sessions(queue)
    processing_utils.async_ssrf_protected_download = refuse_to_fetch
    UploadButton._process_single_file = path_of


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


def path_of(button: UploadButton, file: FileData) -> str:
    """Stand in the place of what leaves an empty file behind for each that it hands on."""
    return file.path
