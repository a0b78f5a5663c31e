"""What is kept of sessions: messages until somebody fetches them, within bounds."""

import asyncio
import gc
import tracemalloc
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.data_classes import PredictBodyInternal
from gradio.state_holder import StateHolder

from rlhf_demo.rate_limit import sender
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.app import launch_options
from rlhf_demo.web import queue_shares
from rlhf_demo.web.gradio_fixes import apply_fixes
from rlhf_demo.web.sessions import MOST_SESSIONS, MOST_UNREAD, Sessions
from tests import event_loops

ONE, OTHER = "203.0.113.7", "198.51.100.9"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture(autouse=True)
def nothing_left():
    """Let what Gradio leaves unclosed be noticed here and not later."""
    yield
    gc.collect()


@pytest.fixture
def queue():
    with gr.Blocks() as page:
        field = gr.Number()
        field.submit(lambda value: value, field, field)
    page.queue(max_size=10_000)
    queue_shares.share(page._queue)
    return page._queue


async def join(queue, session, address=ONE):
    body = PredictBodyInternal(data=[1], fn_index=0, session_hash=session)
    request = SimpleNamespace(client=SimpleNamespace(host=address))
    done, event, _ = await queue.push(body, request, None)
    assert done
    return event


def waiting(queue):
    (line,) = queue.event_queue_per_concurrency_id.values()
    return [event.session_hash for event in line.queue]


def test_event_that_waits_keeps_its_session_while_thousands_come_and_go(queue):
    async def crowd():
        await join(queue, "waits")
        for number in range(MOST_SESSIONS + 150):
            await queue.remove_from_queue(await join(queue, f"gone{number}"))

    event_loops.run(crowd())
    assert waiting(queue) == ["waits"]
    kept = list(queue.pending_messages_per_session)
    assert len(kept) == MOST_SESSIONS
    assert kept[0] == "waits" and kept[-1] == f"gone{MOST_SESSIONS + 149}"
    assert set(queue.pending_event_ids_session) == set(kept)


def test_queue_goes_on_when_a_session_is_gone(queue):
    async def lose():
        await join(queue, "gone")
        for _ in range(2):  # as for a stream that is broken off when its session is gone
            del queue.pending_messages_per_session["gone"]
        for concurrency_id in queue.event_queue_per_concurrency_id:
            queue.broadcast_estimations(concurrency_id)
        await join(queue, "next")

    event_loops.run(lose())
    assert list(queue.pending_messages_per_session) == ["next"]


def test_sessions_that_all_wait_are_all_kept():
    waiting = {name: SimpleNamespace(session_hash=name) for name in "abc"}
    queue = SimpleNamespace(event_ids_to_events=waiting, pending_event_ids_session={})
    sessions = Sessions(queue, most=2)
    for name in "abc":
        sessions[name] = asyncio.Queue()
    assert list(sessions) == ["a", "b", "c"]


def test_session_that_nobody_reads_for_a_minute_is_forgotten_with_its_events(queue, clock):
    sessions = queue.pending_messages_per_session
    sessions.clock = clock

    async def test():
        for name in ("left", "read"):
            await join(queue, name)
        clock.now += 59
        await join(queue, "late")
        assert list(sessions) == ["left", "read", "late"]
        await sessions["read"].get()
        clock.now += 2
        await join(queue, "next")

    event_loops.run(test())
    assert list(sessions) == ["read", "late", "next"] == waiting(queue)
    assert set(queue.pending_event_ids_session) == set(sessions)


def sessions_with(told):
    """Return what is kept after all this was told: address, session and characters."""
    queue = SimpleNamespace(event_ids_to_events={}, pending_event_ids_session={})
    sessions = Sessions(queue)
    for address, session, length in told:
        sender.set(address)
        if session not in sessions:
            sessions[session] = asyncio.Queue()
        sessions[session].put_nowait("x" * length)
    return sessions


@pytest.mark.parametrize("length", [0, 50_000])
def test_unfetched_answers_of_one_session_are_bounded(length):
    sessions = sessions_with([(OTHER, "short", 90), *[(ONE, "long", length)] * 4000])
    assert sum(sessions.unread.values()) <= MOST_UNREAD + 3000
    assert sessions["short"].get_nowait() == "x" * 90
    assert OTHER not in +sessions.unread


def test_largest_session_of_an_address_makes_room():
    kept = sessions_with([(ONE, "a", 10**6), (ONE, "b", 3 * 10**6), (ONE, "c", 1_500_000)])
    assert list(kept) == ["a", "c"]


def test_of_all_addresses_the_one_with_most_makes_room():
    crowd = [(f"203.0.113.{n}", f"s{n}", 4_800_000 - n) for n in range(12)]
    kept = sessions_with([(OTHER, "honest", 10**6), *crowd])
    # 1.0 + 10 * 4.8 is the most; s0 is the largest, then s1.
    assert list(kept) == ["honest", *(f"s{n}" for n in range(2, 12))]


def test_answers_that_are_fetched_do_not_count():
    sessions = sessions_with([])
    sender.set(ONE)
    sessions["a"] = asyncio.Queue()
    for number in range(50):
        sessions["a"].put_nowait(str(number) + "x" * 10**6)
        assert sessions["a"].get_nowait().startswith(str(number))
    assert list(sessions) == ["a"] and sessions["a"].unread == 0


@pytest.fixture
def page():
    """A page with a list and a state, and the holder of its sessions."""
    with gr.Blocks() as page:
        for _ in range(100):
            gr.Textbox()
        picker, count = gr.Dropdown(allow_custom_value=True), gr.State(0)
        picker.focus(lambda: gr.update(choices=["x" * 100] * 1000, label="new"), None, picker)
        picker.input(lambda chosen, count: (f"{chosen} {count}", count + 1), [picker, count],
                     [picker, count])  # fmt: skip
    apply_fixes()
    holder = StateHolder()
    holder.set_blocks(page)
    return page, holder


async def tell(page, session, fn, *inputs):
    """Let Gradio handle an event in a session; return what it sends the page."""
    answer = await page.process_api(page.fns[fn], list(inputs), state=session)
    return answer["data"]


def test_sessions_keep_no_copy_of_the_page_and_none_of_its_lists(page):
    page, holder = page

    async def opened():
        await tell(page, holder["first"], 0)  # what is imported then is not a session's
        tracemalloc.start()
        for number in range(20):
            [update] = await tell(page, holder[str(number)], 0)
            assert (len(update["choices"]), update["label"]) == (1000, "new")
            await tell(page, holder[str(number)], 1, "y" * 100_000, None)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] / 20
        tracemalloc.stop()
        return taken

    assert event_loops.run(opened()) < 30_000  # 196 kB if it keeps the lists


def test_forms_work_in_a_session_that_gave_its_place_to_others(page):
    page, holder = page
    holder.capacity = 2

    async def test():
        await tell(page, holder["hidden"], 0)
        for name in "abc":
            await tell(page, holder[name], 0)
        assert "hidden" not in holder
        assert await tell(page, holder["hidden"], 1, "x" * 100, None) == ["x" * 100 + " 0", None]

    event_loops.run(test())


def test_session_keeps_its_states(page):
    page, holder = page

    async def test():
        for number in range(3):
            assert await tell(page, holder["a"], 1, "b", None) == [f"b {number}", None]
        assert await tell(page, holder["c"], 1, "b", None) == ["b 0", None]

    event_loops.run(test())


def test_page_keeps_few_sessions():
    options = launch_options(SimpleNamespace(shared=SimpleNamespace(settings=Settings())))
    assert options["state_session_capacity"] == MOST_SESSIONS
