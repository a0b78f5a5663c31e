"""Bounds on what Gradio keeps of each session: unread messages, and a copy of the page.

Gradio itself bounds neither.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from gradio import Blocks
from gradio.queueing import Queue
from gradio.state_holder import SessionState

MOST_SESSIONS = 2000
"""Of which anything is kept. A page that is open asks every other second and is not the oldest."""
UNREAD_SECONDS = 60.0
"""A browser reads a session's messages as long as it waits for one, at least every 10 s."""
MOST_UNREAD = 5_000_000
"""Characters of the messages that nobody has fetched, for one address. In memory they take about
five times as many bytes. The longest answer, a kept comparison, has some hundred thousand."""
MOST_UNREAD_OF_ALL = 50_000_000
MESSAGE = 2000
"""Characters that a message counts for besides its own."""

sender: ContextVar[str] = ContextVar("sender", default="")
"""Address of the request in work."""


class Messages(asyncio.Queue[Any]):
    """Unread messages of one session.

    Args:
        sessions: where it is kept; counts what is unread.
        address: where it was opened.
    """

    def __init__(self, sessions: "Sessions", address: str) -> None:
        super().__init__()
        self._sessions, self.address = sessions, address
        self.unread, self.read_at = 0, sessions.clock()

    async def get(self) -> Any:
        """Return the next message, as soon as there is one."""
        self.read_at = self._sessions.clock()
        return await super().get()

    def put_nowait(self, item: Any) -> None:
        """Add a message, for which others make room."""
        super().put_nowait(item)
        self._sessions.make_room(self.address)

    def _put(self, item: Any) -> None:
        size = MESSAGE + len(repr(item))
        self._count(size)
        super()._put((size, item))

    def _get(self) -> Any:
        size, message = super()._get()
        self._count(-size)
        return message

    def _count(self, size: int) -> None:
        self.unread += size
        self._sessions.unread[self.address] += size


class Sessions(dict[str, Messages]):
    """Messages that wait, by session, with bounds for an address and for all.

    Where there are too many sessions, the oldest make room, but none with an event in the queue.
    Gradio lets go of the oldest even so. Its queue then stops for everybody, at the first message
    for one of them, until the page is started again.
    """

    def __init__(
        self,
        queue: Queue,
        most: int = MOST_SESSIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._queue, self._most, self.clock = queue, most, clock
        self.unread: Counter[str] = Counter()  # by address

    def __missing__(self, session: str) -> "asyncio.Queue[Any]":
        """Return a queue for messages of a session that is gone; nobody will read them."""
        return asyncio.Queue()

    def __delitem__(self, session: str) -> None:
        """Forget a session, which may be gone already, and what it has not fetched."""
        if messages := self.get(session):
            super().__delitem__(session)
            while not messages.empty():
                messages.get_nowait()
        self._queue.pending_event_ids_session.pop(session, None)

    def __setitem__(self, session: str, _: "asyncio.Queue[Any]") -> None:
        """Keep the messages of a session from now on, and let go of another where that is many."""
        super().__setitem__(session, Messages(self, sender.get()))
        if len(self) > self._most:
            busy = {event.session_hash for event in self._queue.event_ids_to_events.values()}
            oldest = next((one for one in self if one not in busy | {session}), session)
            if oldest != session:
                del self[oldest]

    async def forget_unread(self) -> None:
        """Forget sessions unread for a minute, and drop their events from the queue."""
        late = self.clock() - UNREAD_SECONDS
        for session in [one for one, messages in self.items() if messages.read_at < late]:
            del self[session]
            await self._queue.clean_events(session_hash=session)

    def make_room(self, address: str) -> None:
        """Forget the largest sessions of an address, and of whoever has most, until all fits."""
        while self.unread[address] > MOST_UNREAD:
            self._forget_largest(address)
        while self.unread.total() > MOST_UNREAD_OF_ALL:
            self._forget_largest(self.unread.most_common(1)[0][0])
        self.unread = +self.unread  # without those who have nothing

    def _forget_largest(self, address: str) -> None:
        own = [one for one, messages in self.items() if messages.address == address]
        del self[max(own, key=lambda session: self[session].unread)]


class Session(SessionState):
    """A session without its copy of every component's settings, 330 kB.

    Only deep links read that, which middleware.py closes. Anybody opens sessions by naming them.
    """

    def __init__(self, blocks: Blocks) -> None:
        read: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
        super().__init__(read)
        self.config_values = _Unkept()


class _Unkept(dict[int, Any]):
    def __setitem__(self, key: int, settings: Any) -> None:
        pass

    def __missing__(self, key: int) -> dict[str, Any]:
        return {}
