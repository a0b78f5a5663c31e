"""Bounds on what Gradio keeps of each session: unread messages, and a copy of the page.

Gradio itself bounds neither.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from gradio import Blocks
from gradio.queueing import Queue
from gradio.state_holder import SessionState

from rlhf_demo.rate_limit import sender

MOST_SESSIONS = 2000
"""Most sessions that are kept. An open page asks every other second, so it is not the oldest."""
UNREAD_SECONDS = 60.0
"""How long messages may stay unread; a browser that waits for one reads at least every 10 s."""
MOST_UNREAD = 5_000_000
"""Characters of the unread messages of one address. In memory they take about five times as many
bytes. The longest answer, a saved comparison, has some hundred thousand."""
MOST_UNREAD_OF_ALL = 50_000_000
MESSAGE = 2000
"""Characters that each message counts for in addition to its own."""


class Messages(asyncio.Queue[Any]):
    """Unread messages of one session.

    Args:
        sessions: contains it, and counts the unread characters.
        address: the address that opened it.
    """

    def __init__(self, sessions: "Sessions", address: str) -> None:
        super().__init__()
        self._sessions, self.address = sessions, address
        self.unread, self.read_at = 0, sessions.clock()

    async def get(self) -> Any:
        """Wait for the next message and return it."""
        self.read_at = self._sessions.clock()
        return await super().get()

    def put_nowait(self, item: Any) -> None:
        """Add a message, and make room for it."""
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

    If there are too many sessions, the oldest are removed, but none with an event in the queue.
    Gradio would remove those too: its queue then stops for everyone, at the first message for such
    a session, until the page is restarted.
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
        """Return a queue for messages to a session that was removed; no one will read them."""
        return asyncio.Queue()

    def __delitem__(self, session: str) -> None:
        """Remove a session, if it is still there, with its unread messages."""
        if messages := self.get(session):
            super().__delitem__(session)
            while not messages.empty():
                messages.get_nowait()
        self._queue.pending_event_ids_session.pop(session, None)

    def __setitem__(self, session: str, _: "asyncio.Queue[Any]") -> None:
        """Add a session, and remove another if there are too many."""
        super().__setitem__(session, Messages(self, sender.get()))
        if len(self) > self._most:
            busy = {event.session_hash for event in self._queue.event_ids_to_events.values()}
            oldest = next((name for name in self if name not in busy | {session}), session)
            if oldest != session:
                del self[oldest]

    async def forget_unread(self) -> None:
        """Forget sessions unread for a minute, and drop their events from the queue."""
        late = self.clock() - UNREAD_SECONDS
        for session in [name for name, messages in self.items() if messages.read_at < late]:
            del self[session]
            await self._queue.clean_events(session_hash=session)

    def make_room(self, address: str) -> None:
        """Remove the largest sessions of an address, and of those with most, down to the limits."""
        while self.unread[address] > MOST_UNREAD:
            self._forget_largest(address)
        while self.unread.total() > MOST_UNREAD_OF_ALL:
            self._forget_largest(self.unread.most_common(1)[0][0])
        self.unread = +self.unread  # drops addresses with a count of 0

    def _forget_largest(self, address: str) -> None:
        own = [name for name, messages in self.items() if messages.address == address]
        del self[max(own, key=lambda session: self[session].unread)]


class Session(SessionState):
    """A session that keeps no components, which can take megabytes, only the values of states.

    Anybody opens sessions by naming them. The page itself knows its lists and settings; a form's
    handler checks every value. So nothing is lost either when a session gives its place to another.
    """

    def __init__(self, blocks: Blocks) -> None:
        read: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
        super().__init__(read)
        self._updated: dict[int, Any] = {}

    def __getitem__(self, key: int) -> Any:
        """Return a component as it was built, but as updated if it was updated just now."""
        return self._updated.pop(key) if key in self._updated else super().__getitem__(key)

    def __setitem__(self, key: int, value: Any) -> None:
        """Keep a state; keep a component until Gradio reads its new settings, in its next line."""
        if self.blocks_config.blocks[key].stateful:
            super().__setitem__(key, value)
        else:
            self._updated = {key: value}

    def _update_config(self, key: int) -> None:
        pass  # only deep links read it, which middleware.py closes

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
