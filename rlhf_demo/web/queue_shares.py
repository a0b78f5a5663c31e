"""Share Gradio's queue, which is first come, first served, among the addresses that ask."""

import math
from collections import Counter
from typing import Any

from fastapi import HTTPException, Request
from gradio.queueing import Event, Queue

from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.sessions import Sessions

PART = 4
"""An address may have a fourth as many events in the queue as it leaves places free.

In a queue of 200, that is 40 for one address, which a whole school may share. The fuller the queue,
the fewer: six addresses that ask all the time have 20 each, and 80 places stay free for others.
"""
MOST = {"model": 30, "best": 3, "many": 3}
"""`concurrency_id` -> the most events of one address. "model" takes seconds, and thirty students
may ask at once; "best" (of up to 64 responses) takes ten seconds, and "many" takes minutes."""


def share(queue: Queue) -> None:
    """Share a queue among addresses; call it before the launch, as Gradio has no setting for it."""
    push, sessions = queue.push, Sessions(queue)
    # A mapping with the methods that the queue calls; Gradio declares its own class of cache.
    queue.pending_messages_per_session = sessions  # pyright: ignore[reportAttributeAccessIssue]

    async def bounded(body: Any, request: Request, username: str | None) -> Any:
        address = address_of(request)
        await sessions.forget_unread()
        _check(queue, getattr(queue.blocks.fns.get(body.fn_index), "concurrency_id", None), address)
        pushed = await push(body, request, username)
        running = [event for events in queue.active_jobs for event in events or ()]
        for name, line in queue.event_queue_per_concurrency_id.items():
            _take_turns(line.queue, [event for event in running if event.concurrency_id == name])
        return pushed

    queue.push = bounded
    # After each event, Gradio computes statistics of the last 10,000; the page shows none.
    queue.compute_analytics_summary = lambda records: {}


def _take_turns(events: list[Event], running: list[Event]) -> None:
    """Sort the waiting events of a line: the first of each address, then the second of each.

    One that is running counts as the first of its address.
    """
    seen = Counter(address_of(event.request) for event in running)
    turns: dict[str, int] = {}
    for event in events:
        address = address_of(event.request)
        turns[event._id] = seen[address]
        seen[address] += 1
    events.sort(key=lambda event: turns[event._id])


def _check(queue: Queue, concurrency_id: str | None, address: str) -> None:
    """Refuse an event if the address already has its share of the queue.

    Raises:
        HTTPException: with status 429 and a sentence.
    """
    waiting = {
        name: sum(address_of(event.request) == address for event in events.queue)
        for name, events in queue.event_queue_per_concurrency_id.items()
    }
    if concurrency_id in MOST and waiting.get(concurrency_id, 0) >= MOST[concurrency_id]:
        raise HTTPException(
            429,
            f"{MOST[concurrency_id]} comparisons from this address are already "
            "waiting: try again when one is done",
        )
    total = sum(waiting.values())
    if total and total * PART >= (queue.max_size or math.inf) - len(queue):
        raise HTTPException(
            429,
            f"{total} requests from this address are already waiting: "
            "try again when some are answered",
        )
