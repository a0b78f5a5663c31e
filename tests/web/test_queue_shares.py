"""Gradio's queue, where each comparison waits for those that came before it."""

import gc
from types import SimpleNamespace

import gradio as gr
import pytest
from fastapi import HTTPException
from gradio.data_classes import PredictBodyInternal

from rlhf_demo.web import queue_shares
from tests import event_loops

LINES = ("many", "model", None, "best")
SCHOOL, HOME = "203.0.113.7", "198.51.100.9"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's event loops


@pytest.fixture
def queue():
    """The queue of a page with a handler in each line; nothing is taken out of it."""
    with gr.Blocks() as page:
        field = gr.Number()
        for line in LINES:
            field.submit(abs, field, field, concurrency_id=line, concurrency_limit=1)
    page.queue(max_size=200)
    queue_shares.share(page._queue)
    yield page._queue
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later


def request_of(address):
    return SimpleNamespace(client=SimpleNamespace(host=address))


def joined(queue, line, address, count):
    """Ask so many times for an event in a line; return how many wait now, and what is said."""
    refusals = set()

    async def join():
        for number in range(count):
            body = PredictBodyInternal(
                data=[1], fn_index=LINES.index(line), session_hash=f"{address} {number}"
            )
            try:
                await queue.push(body=body, request=request_of(address), username=None)
            except HTTPException as refusal:
                refusals.add((refusal.status_code, refusal.detail))

    event_loops.run(join())
    waiting = [
        event
        for events in queue.event_queue_per_concurrency_id.values()
        for event in events.queue
        if event.request.client.host == address and event.fn._id == LINES.index(line)
    ]
    return len(waiting), refusals


@pytest.mark.parametrize(("line", "most"), [("many", 3), ("best", 3), ("model", 30)])
def test_few_comparisons_of_one_address_wait(queue, line, most):
    sentence = (
        f"{most} comparisons from this address are already waiting: try again when one is done"
    )
    assert joined(queue, line, SCHOOL, most) == (most, set())
    assert joined(queue, line, SCHOOL, 30) == (most, {(429, sentence)})
    assert joined(queue, line, HOME, 1) == (1, set())


def test_addresses_take_turns_in_a_line(queue):
    joined(queue, "model", SCHOOL, 3)
    joined(queue, "model", HOME, 2)
    joined(queue, "model", SCHOOL, 1)
    lines = queue.event_queue_per_concurrency_id
    order = [event.session_hash for event in lines["model"].queue]
    numbers = [f"{SCHOOL} 0", f"{HOME} 0", f"{SCHOOL} 1", f"{HOME} 1", f"{SCHOOL} 2", f"{SCHOOL} 0"]
    assert order == numbers


def test_address_whose_event_is_running_comes_after_those_that_wait(queue):
    joined(queue, "best", SCHOOL, 1)
    line = queue.event_queue_per_concurrency_id["best"].queue
    queue.active_jobs = [[line.pop()], None]
    joined(queue, "best", SCHOOL, 2)
    joined(queue, "best", HOME, 1)
    assert [event.session_hash for event in line] == [f"{HOME} 0", f"{SCHOOL} 0", f"{SCHOOL} 1"]
    joined(queue, "model", SCHOOL, 1)  # another line, where nothing of it runs
    joined(queue, "model", HOME, 1)
    order = [one.session_hash for one in queue.event_queue_per_concurrency_id["model"].queue]
    assert order == [f"{SCHOOL} 0", f"{HOME} 0"]


def test_full_line_keeps_nobody_from_another(queue):
    joined(queue, "many", SCHOOL, 30)
    assert joined(queue, "model", SCHOOL, 1) == (1, set())
    assert joined(queue, None, SCHOOL, 30) == (30, set())


def test_share_of_an_address_shrinks_as_the_queue_fills(queue):
    """A fourth of the free places each: 40 of 160, 32 of 128, 26 of 102, 21 of 81, 17 of 64, ..."""
    attackers = [f"203.0.113.{number}" for number in range(6)]
    shares = [joined(queue, None, one, 60)[0] for one in attackers]
    assert shares == [40, 32, 26, 21, 17, 13]
    assert joined(queue, "model", HOME, 60)[0] == 11
    others = [joined(queue, None, f"198.51.100.{number}", 60)[0] for number in range(10, 18)]
    assert others == [8, 7, 5, 4, 4, 3, 2, 2]


def test_fuller_queue_says_how_many_wait(queue):
    sentence = "40 requests from this address are already waiting: try again when some are answered"
    assert joined(queue, None, SCHOOL, 41) == (40, {(429, sentence)})


def test_function_that_there_is_not_is_gradios_to_refuse(queue):
    body = PredictBodyInternal(data=[1], fn_index=99, session_hash="x")
    with pytest.raises(KeyError):
        event_loops.run(queue.push(body=body, request=request_of(HOME), username=None))


def test_no_statistics_of_events_are_computed(queue):
    """After each event, Gradio made a table of the last 10,000."""
    queue.events_recorded, records = 10**6, [{"function": "f", "status": "success"}] * 3
    assert queue.compute_analytics_summary(records) == {}
