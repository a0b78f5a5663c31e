"""Lanes: votes go through while heavy requests hold all that they may, over real HTTP."""

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest

from bench.serving import NO_TLS
from rlhf_demo.errors import ConfigError
from rlhf_demo.server.compute_lock import Busy
from rlhf_demo.ui.parts import in_lane, part
from rlhf_demo.web import lanes
from rlhf_demo.web.lanes import HeavyLane
from tests import event_loops
from tests.fake_jobs import wait_until

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
    with httpx.Client(base_url=url, trust_env=False, **NO_TLS, limits=httpx.Limits()) as browser:

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
    assert waited < 10  # each waits 0.6 s for a place


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


# -- who is worked for -----------------------------------------------------------------------------


class Caller:
    """A web request from an address."""

    def __init__(self, address, gone=False):
        self.client, self.gone = SimpleNamespace(host=address), gone

    async def is_disconnected(self):
        return self.gone


class Work:
    """A heavy function that is held until `hold` is set, and answers which call of it that was."""

    def __init__(self):
        self.hold, self.seen = threading.Event(), []

    def __call__(self, request):
        self.seen.append(request)
        number = len(self.seen)
        assert self.hold.wait(60)
        return number


@pytest.fixture
def work():
    work = Work()
    yield work
    work.hold.set()


async def outcome(lane, work, request, caller):
    try:
        return await lane.run(work, (request,), caller)
    except Busy:
        return "busy"


def ask_at_once(work, asked, monkeypatch, wait_seconds):
    """Let callers ask at once, and release the work when all who could not be served know it."""
    monkeypatch.setattr(lanes, "WAIT_SECONDS", wait_seconds)

    async def ask():
        lane = HeavyLane()
        tasks = [
            asyncio.create_task(outcome(lane, work, request, caller)) for request, caller in asked
        ]
        await asyncio.sleep(0.3)
        work.hold.set()
        return await asyncio.gather(*tasks)

    return event_loops.run(ask())


def test_two_addresses_are_served_at_once_and_one_request_of_each(work, monkeypatch):
    asked = [(number, Caller(address)) for number, address in enumerate("aabbc")]
    told = ask_at_once(work, asked, monkeypatch, wait_seconds=0.05)
    assert sorted(work.seen) == [0, 2]
    assert [one == "busy" for one in told] == [False, True, False, True, True]


def test_fourth_request_of_an_address_that_would_wait_is_refused_at_once(work, monkeypatch):
    """Each takes one of the address's six slots; a phone's costly requests stopped its class."""
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 60)

    async def ask():
        lane = HeavyLane()

        def start(request, address):
            return asyncio.create_task(outcome(lane, work, request, Caller(address)))

        running = start(0, "a")
        await asyncio.sleep(0.05)
        waiting = [start(number, "a") for number in (1, 2, 3)]
        await asyncio.sleep(0.05)
        refused, equal, other = start(4, "a"), start(3, "a"), start(5, "b")
        await asyncio.sleep(0.05)
        assert refused.done() and refused.result() == "busy"
        work.hold.set()
        return await asyncio.gather(running, *waiting, equal, other)

    told = event_loops.run(ask())
    assert "busy" not in told and told[3] == told[4]


SAME = [("the same", Caller(address)) for address in ["a"] * 10 + ["b"] * 10]


def test_those_who_ask_the_same_at_once_share_one_answer(work, monkeypatch):
    told = ask_at_once(work, [*SAME, ("another", Caller("b"))], monkeypatch, wait_seconds=60)
    assert sorted(work.seen) == ["another", "the same"]
    assert len(set(told[:20])) == 1 and set(told) == {1, 2}


def test_answer_that_a_busy_address_waits_for_is_made_for_another(work, monkeypatch):
    asked = [("another", Caller("a")), ("the same", Caller("a")), ("the same", Caller("b"))]
    told = ask_at_once(work, asked, monkeypatch, wait_seconds=0.05)
    assert sorted(work.seen) == ["another", "the same"]  # in either order: there are two threads
    assert told[1] == told[2] != told[0] and "busy" not in told


def test_each_caller_waits_in_full_whenever_others_came(work, monkeypatch):
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 0.6)

    async def ask_later():
        lane = HeavyLane()
        held = [
            asyncio.create_task(outcome(lane, work, address, Caller(address))) for address in "ab"
        ]
        first = asyncio.create_task(outcome(lane, work, "the same", Caller("a")))
        await asyncio.sleep(0.4)
        second = asyncio.create_task(outcome(lane, work, "the same", Caller("c")))
        await asyncio.sleep(0.4)
        work.hold.set()
        return await asyncio.gather(*held, first, second)

    assert event_loops.run(ask_later()) == [1, 2, "busy", 3]


def test_those_who_come_when_the_work_is_under_way_share_a_newer_answer(work, monkeypatch):
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 60)

    async def ask_later():
        lane = HeavyLane()
        first = asyncio.create_task(outcome(lane, work, *SAME[0]))
        while not work.seen:
            await asyncio.sleep(0.01)
        later = [asyncio.create_task(outcome(lane, work, *one)) for one in SAME]
        await asyncio.sleep(0.1)
        work.hold.set()
        return await first, await asyncio.gather(*later)

    assert event_loops.run(ask_later()) == (1, [2] * 20)


def test_nothing_is_done_for_callers_who_have_all_left(work, monkeypatch):
    work.hold.set()
    left, there = Caller("a", gone=True), Caller("b")
    asked = [("left", left), ("one stays", left), ("one stays", there)]
    assert ask_at_once(work, asked, monkeypatch, wait_seconds=60) == ["busy", 1, 1]
    assert work.seen == ["one stays"]


def test_function_that_fails_frees_its_place():
    @lanes.heavy
    def fail(request):
        raise RuntimeError(request)

    async def fail_often():
        for number in range(5):
            with pytest.raises(RuntimeError, match=str(number)):
                await in_lane(fail)(number)

    event_loops.run(fail_often())
