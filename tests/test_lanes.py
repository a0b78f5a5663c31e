"""Lanes: votes go through while heavy requests hold all that they may, over real HTTP."""

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import httpx
import pytest
from fake_jobs import wait_until

from rlhf_demo.errors import ConfigError
from rlhf_demo.ui import lanes
from rlhf_demo.ui.lanes import Busy, Places, Rank, Turn
from rlhf_demo.ui.parts import in_lane, part

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture(scope="module", autouse=True)
def loops_left_open():
    """Gradio leaves event loops unclosed: let that be noticed here and not later."""
    yield
    gc.collect()


class Page:
    """A page with a function of each lane; `hold` keeps the heavy ones at work."""

    def __init__(self):
        self.hold, self.at_work, self.votes = threading.Event(), [], 0

    @lanes.heavy
    def score(self, request):
        self.at_work.append(request["number"])
        assert self.hold.wait(60)
        return {"scored": request["number"]}

    @lanes.voting
    def vote(self, request, http: gr.Request):
        self.votes += 1
        return {"votes": self.votes, "from": http.client.host}

    def look(self, request):
        if request["number"] < 0:
            raise ConfigError("there is no such thing: choose another")
        return {"seen": request["number"]}


@pytest.fixture
def page():
    """The page, served; `page.ask(function, number)` calls as a browser does."""
    page = Page()
    with gr.Blocks(analytics_enabled=False) as demo:
        made = part("lanes", [page.score, page.vote, page.look])
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    with httpx.Client(base_url=url, trust_env=False, limits=httpx.Limits()) as browser:

        def ask(name, number, timeout=60):
            body = {
                "session_hash": "s", "component_id": made._id, "fn_name": name,
                "data": {"number": number},
            }  # fmt: skip
            path = "/gradio_api/component_server/"
            return browser.post(path, json=body, timeout=timeout).raise_for_status().json()

        page.ask = ask
        yield page
        page.hold.set()
    demo.close()


def test_votes_are_answered_while_a_hundred_heavy_requests_wait(page):
    """Of one address a single request is worked on; 99 of the 100 hear that the server is busy."""
    with ThreadPoolExecutor(100) as strangers:
        begun = time.monotonic()
        asked = [strangers.submit(page.ask, "score", number) for number in range(100)]
        wait_until(lambda: page.at_work)
        for count in range(1, 31):  # none of the strangers has been answered with a score
            assert page.ask("vote", 0) == {"votes": count, "from": "127.0.0.1"}
            assert page.ask("look", count) == {"seen": count}
        assert not page.hold.is_set()
        wait_until(lambda: sum(one.done() for one in asked) == 99)
        waited = time.monotonic() - begun
        page.hold.set()
        answers = [one.result() for one in asked]
    (served,) = page.at_work
    assert answers[served] == {"scored": served}
    told = [answer for answer in answers if "scored" not in answer]
    assert len(told) == 99
    assert all(answer["busy"] and "try again" in answer["error"] for answer in told)
    assert waited < 10  # each waits 0.8 s for a place


def test_place_is_free_again_after_an_answer(page):
    page.hold.set()
    assert [page.ask("score", number) for number in range(5)] == [{"scored": n} for n in range(5)]


def test_caller_who_gave_up_is_not_worked_for(page):
    with ThreadPoolExecutor(1) as stranger:
        first = stranger.submit(page.ask, "score", 1)
        wait_until(lambda: page.at_work == [1])
        with pytest.raises(httpx.ReadTimeout):
            page.ask("score", 2, timeout=0.2)
        page.hold.set()
        assert first.result() == {"scored": 1}
    assert page.ask("score", 3) == {"scored": 3}
    assert page.at_work == [1, 3]


def test_error_of_a_light_function_is_told_in_a_sentence(page):
    assert page.ask("look", -1) == {"error": "there is no such thing: choose another"}


# -- places ----------------------------------------------------------------------------------------


async def outcome(places, address, done):
    try:
        async with places.place(address):
            await done.wait()
            return "served"
    except Busy:
        return "busy"


async def visit(addresses, wait_seconds):
    """Let callers come at once who stay until all others have been served or sent away."""
    places, done = Places(2, wait_seconds), asyncio.Event()
    tasks = [asyncio.create_task(outcome(places, one, done)) for one in addresses]
    await asyncio.sleep(3 * wait_seconds)
    done.set()
    return await asyncio.gather(*tasks)


def test_two_addresses_are_served_at_once_and_one_request_of_each():
    told = asyncio.run(visit(["a", "a", "b", "b", "c"], 0.05))
    assert told == ["served", "busy", "served", "busy", "busy"]


def test_request_that_is_cancelled_frees_its_place():
    async def cancel_one():
        places, done = Places(1, 5.0), asyncio.Event()
        first = asyncio.create_task(outcome(places, "a", done))
        second = asyncio.create_task(outcome(places, "b", done))
        await asyncio.sleep(0)
        first.cancel()
        done.set()
        return await second

    assert asyncio.run(cancel_one()) == "served"


def test_function_that_fails_frees_its_place():
    @lanes.heavy
    def fail(request):
        raise RuntimeError(request)

    async def fail_often():
        for number in range(5):
            with pytest.raises(RuntimeError, match=str(number)):
                await in_lane(fail)(number)

    asyncio.run(fail_often())


# -- models ----------------------------------------------------------------------------------------


def test_class_and_voters_compute_before_visitors_who_came_earlier():
    turn, order, waiting = Turn(), [], []

    def compute(rank, name):
        with turn.of(rank):
            order.append(name)

    ranks = {
        "visitor 1": Rank.VISITORS, "visitor 2": Rank.VISITORS, "voter": Rank.VOTERS,
        "class": Rank.LESSON,
    }  # fmt: skip
    with turn.of(Rank.VISITORS):
        for name, rank in ranks.items():
            waiting.append(threading.Thread(target=compute, args=(rank, name)))
            waiting[-1].start()
            wait_until(lambda: len(turn._line) == len(waiting))
        assert turn.taken and not order
    for thread in waiting:
        thread.join()
    assert order == ["class", "voter", "visitor 1", "visitor 2"]
    assert not turn.taken


def test_turn_is_free_after_a_failure():
    turn = Turn()
    with pytest.raises(ZeroDivisionError), turn.of(Rank.VISITORS):
        1 / 0  # noqa: B018
    assert not turn.taken
