"""How many events of one address wait in a line of Gradio's queue, which serves who came first."""

from typing import Any

from fastapi import HTTPException, Request
from gradio.queueing import Queue

MOST = {"model": 30, "many": 3}
"""By the `concurrency_id` of the line. What waits for "model" takes seconds, and thirty of a class
may ask at once; what waits for "many" takes minutes.
"""


def share(queue: Queue) -> None:
    """Let each line of a queue take so many events of an address; call it before the launch.

    Gradio has no setting for it, and only when it puts an event into its line is that known.
    """
    push = queue.push

    async def bounded(body: Any, request: Request, username: str | None) -> Any:
        name = getattr(queue.blocks.fns.get(body.fn_index), "concurrency_id", None)
        line = queue.event_queue_per_concurrency_id.get(name)
        if name in MOST and line is not None:
            waiting = [one for one in line.queue if one.request.client.host == request.client.host]
            if len(waiting) >= MOST[name]:
                raise HTTPException(
                    429,
                    f"{MOST[name]} comparisons from this address wait already: "
                    "try again when one is done",
                )
        return await push(body, request, username)

    queue.push = bounded
