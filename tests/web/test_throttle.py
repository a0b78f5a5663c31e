"""What one address may have of the server, and that others do not wait for it."""

import asyncio
import logging
import socket
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
import uvicorn

from rlhf_demo.server.settings import Settings
from rlhf_demo.web import connections, refusals, throttle
from rlhf_demo.web.middleware import Refused, RequestFilter
from rlhf_demo.web.throttle import Throttle
from tests import event_loops

CALL, UPLOAD = "/gradio_api/component_server/", "/gradio_api/upload"
ONE, OTHER = "203.0.113.7", "198.51.100.1"
BODY = {"type": "http.request", "body": b"{}", "more_body": False}
HALF = {"type": "http.request", "body": b"{", "more_body": True}


class App:
    """An app that begins to answer when it may, and whose answers end when they may."""

    def __init__(self):
        self.may_begin, self.may_end = asyncio.Event(), asyncio.Event()
        self.asked = []
        self.received = []

    async def __call__(self, scope, receive, send):
        self.asked.append(scope["client"][0])
        if scope["method"] == "POST":
            self.received.append(await receive())
        await self.may_begin.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b"done"})


def ask(app, path=CALL, address=ONE, method="POST", body=BODY, sent=None, query=b""):
    """Send a request, of which nothing arrives after this much; return its task."""
    messages = [body]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message):
        if sent is not None:
            sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query,
        "client": (address, 0), "headers": [],
    }  # fmt: skip
    return asyncio.create_task(app(scope, receive, send))


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


def guarded(clock=lambda: 0.0):
    app = App()
    return app, Throttle(app, clock)


async def end(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def refusal(task):
    error = task.exception()
    assert isinstance(error, Refused)
    return error.status, error.sentence


@pytest.mark.parametrize("path", [CALL, "/gradio_api/call/runs/5"])
def test_six_of_an_address_are_worked_on_and_others_wait_only_behind_their_own(path):
    async def test():
        app, throttled = guarded()
        method = "POST" if path == CALL else "GET"
        tasks = [ask(throttled, path, method=method) for _ in range(30)]
        await settle()
        assert app.asked == [ONE] * 6
        tasks.append(ask(throttled, path, OTHER, method))
        await settle()
        assert app.asked == [ONE] * 6 + [OTHER]
        app.may_begin.set()  # a stream that has begun takes no place
        await settle()
        assert app.asked.count(ONE) == 30
        app.may_end.set()
        await asyncio.gather(*tasks)
        assert throttled._visitors == {} and throttled._bodies == 0

    event_loops.run(test())


def test_more_than_five_hundred_open_requests_of_an_address_are_refused():
    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        tasks = [ask(throttled, method="GET", path="/assets/x.js") for _ in range(500)]
        for _ in range(20):
            await settle()
        late, other = ask(throttled), ask(throttled, address=OTHER)
        await settle()
        assert refusal(late)[0] == 429 and "500 requests from this address" in refusal(late)[1]
        assert app.asked[-1] == OTHER
        app.may_end.set()
        await asyncio.gather(*tasks, other, ask(throttled))

    event_loops.run(test())


@pytest.mark.parametrize("path", ["heartbeat/x", "queue/data", "call/runs/5", "call/v2/runs/5"])
def test_oldest_stream_of_an_address_ends_for_a_new_one(monkeypatch, path):
    """And streams take no places of requests, which all go on to be answered."""
    monkeypatch.setattr(throttle, "MOST_STREAMS", 3)
    monkeypatch.setattr(throttle, "MOST_OPEN", 1)

    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        sent = [[] for _ in range(5)]
        stream = f"/gradio_api/{path}"
        tasks = []
        for each in sent:
            tasks.append(ask(throttled, stream, method="GET", sent=each))
            await settle()
        assert [task.done() for task in tasks] == [True] * 2 + [False] * 3
        assert [message["type"] for message in sent[0]] == [
            "http.response.start",
            "http.response.body",
        ]  # it ends as a whole answer does
        assert sent[0][0]["headers"] == [(b"connection", b"close")]
        other = ask(throttled, stream, OTHER, "GET")
        request = ask(throttled)
        await settle()
        assert app.asked[-2:] == [OTHER, ONE]
        assert [task.done() for task in tasks] == [True] * 2 + [False] * 3
        app.may_end.set()
        await asyncio.gather(*tasks, other, request)
        assert sent[4][-1]["body"] == b"done"
        assert throttled._visitors == {}

    event_loops.run(test())


def test_stream_that_ends_for_a_new_one_before_it_began_is_refused(monkeypatch):
    monkeypatch.setattr(throttle, "MOST_STREAMS", 1)

    async def test():
        _, throttled = guarded()
        streams = [ask(throttled, "/gradio_api/queue/data", method="GET") for _ in range(2)]
        await settle()
        assert refusal(streams[0])[0] == 429 and not streams[1].done()
        await end(*streams)
        assert throttled._visitors == {}

    event_loops.run(test())


async def open_streams(throttled, count, address, path="heartbeat/x", query=b""):
    tasks = []
    for _ in range(count):
        path_of = f"/gradio_api/{path}"
        tasks.append(ask(throttled, path_of, address, "GET", query=query))
        await settle()
    return tasks


def test_streams_of_all_end_for_a_newcomer_where_an_address_has_most(monkeypatch):
    """As behind a proxy, where connections are not bounded by address."""
    monkeypatch.setattr(connections.Protocol, "most", 20)
    monkeypatch.setattr(connections.Protocol, "share", 0)

    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        many = await open_streams(throttled, 6, ONE)
        few = await open_streams(throttled, 4, OTHER)
        new = await open_streams(throttled, 3, "192.0.2.9")
        assert [task.done() for task in many] == [True] * 3 + [False] * 3
        assert not any(task.done() for task in few + new)
        await end(*many, *few, *new)
        assert throttled._visitors == {}

    event_loops.run(test())


def test_stream_that_somebody_waits_for_ends_last(monkeypatch):
    """Gradio takes a session's events from its queue when either of its streams ends."""
    monkeypatch.setattr(throttle, "MOST_STREAMS", 4)

    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        [beat] = await open_streams(throttled, 1, ONE, "heartbeat/waits")
        [data] = await open_streams(throttled, 1, ONE, "queue/data", b"session_hash=waits")
        [call] = await open_streams(throttled, 1, ONE, "call/runs/5")
        idle = await open_streams(throttled, 3, ONE, "heartbeat/idle")
        assert [task.done() for task in (beat, data, call)] == [False] * 3
        assert [task.done() for task in idle] == [True, True, False]
        calls = await open_streams(throttled, 2, ONE, "call/runs/5")
        assert idle[2].done() and beat.done() and not data.done() and not call.done()
        await end(beat, data, call, *idle, *calls)

    event_loops.run(test())


def test_open_requests_of_all_leave_some_to_others(monkeypatch):
    """Of ten it gets two, when four times as many are free; then another gets two of eight."""
    monkeypatch.setattr(connections.Protocol, "most", 20)

    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        tasks = [
            ask(throttled, "/assets/x.js", address, "GET") for address in [ONE] * 5 + [OTHER] * 5
        ]
        await settle()
        assert app.asked == [ONE] * 2 + [OTHER] * 2
        assert {refusal(tasks[at])[0] for at in (2, 3, 4, 7, 8, 9)} == {503}
        app.may_end.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert throttled._open == 0 and throttled._visitors == {}

    event_loops.run(test())


@pytest.mark.parametrize(
    ("path", "method", "at_once", "a_second"),
    [
        (CALL, "POST", 300, 100), ("/", "GET", 120, 5),
        ("/theme.css", "GET", 300, 100), ("/manifest.json", "GET", 300, 100),
        ("/x.js", "GET", 300, 100), ("/x.ico", "GET", 300, 100),
        ("/config", "GET", 120, 5), ("/config/", "GET", 120, 5),
        ("/served/x", "GET", 4000, 300), ("/assets/x.js", "GET", 4000, 300),
    ],
)  # fmt: skip
def test_whoever_asks_too_fast_waits(monkeypatch, path, method, at_once, a_second):
    monkeypatch.setattr(throttle, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(throttle, "MOST_OPEN", 10_000)
    monkeypatch.setattr(throttle.Protocol, "most", 1_000_000)

    async def test():
        now = [0.0]
        app, throttled = guarded(clock=lambda: now[0])
        app.may_begin.set()
        app.may_end.set()
        tasks = [ask(throttled, path, method=method) for _ in range(at_once + 2 * a_second)]
        for _ in range(20 + at_once // 20):
            await settle()
        assert len(app.asked) == at_once
        now[0] = 1.0
        for _ in range(20):
            await settle()
        assert len(app.asked) == at_once + a_second
        await end(*tasks)

    event_loops.run(test())


@pytest.mark.parametrize("path", ["/assets/x.js", "/served/x", "/plotly.min.js", "/favicon.ico"])
def test_files_of_an_address_are_answered_six_at_once_and_hold_nothing_else_up(path):
    async def test():
        app, throttled = guarded()
        files = [ask(throttled, path, method="GET") for _ in range(400)]
        await settle()
        assert len(app.asked) == 6
        calls = [ask(throttled) for _ in range(6)] + [ask(throttled, path, OTHER, "GET")]
        await settle()
        assert app.asked[6:] == [ONE] * 6 + [OTHER]
        app.may_begin.set()  # one that has begun takes no place
        for _ in range(20):
            await settle()
        assert len(app.asked) == 407
        app.may_end.set()
        await asyncio.gather(*files, *calls)
        assert throttled._visitors == {}

    event_loops.run(test())


def test_refusals_of_the_filter_wait_for_slots_and_permits(monkeypatch):
    async def test():
        monkeypatch.setattr(throttle, "PAUSE_SECONDS", 0.0)
        now = 0.0
        _, throttled = guarded(lambda: now)
        request_filter = RequestFilter(throttled, Settings(), throttled.pause)
        sent = []
        tasks = [ask(request_filter, "/nowhere", sent=sent) for _ in range(310)]
        for _ in range(20):
            await settle()
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert [start["status"] for start in starts] == [403] * 300  # a foreign host
        assert all((b"connection", b"close") in start["headers"] for start in starts)
        now = 1.0
        await asyncio.gather(*tasks)
        assert len(sent) == 2 * 310 and throttled._visitors == {}

    event_loops.run(test())


def test_page_does_not_wait_for_refused_requests_of_its_own_browser(monkeypatch):
    """Another website can send them: two pages then took 17.5 s instead of 0.02."""
    monkeypatch.setattr(throttle, "PAUSE_SECONDS", 0.0)

    async def test():
        app, throttled = guarded(lambda: 0.0)
        app.may_begin.set()
        app.may_end.set()
        request_filter = RequestFilter(throttled, Settings(), throttled.pause)
        refused = [ask(request_filter, "/", sent=[]) for _ in range(400)]
        for _ in range(20):
            await settle()
        assert sum(not task.done() for task in refused) == 100
        page = ask(throttled, "/", method="GET")
        await settle()
        assert page.done()
        for task in refused:
            task.cancel()
        await asyncio.gather(*refused, return_exceptions=True)

    event_loops.run(test())


def test_refusals_that_wait_leave_connections_to_others(monkeypatch):
    """Of ten, an address may keep two waiting; more are refused at once, and others get theirs."""
    monkeypatch.setattr(connections.Protocol, "most", 20)
    monkeypatch.setattr(throttle, "REFUSALS", (1, 1.0))
    monkeypatch.setattr(throttle, "PAUSE_SECONDS", 0.0)

    async def test():
        now = 0.0
        app, throttled = guarded(lambda: now)
        request_filter = RequestFilter(throttled, Settings(), throttled.pause)
        sent = []
        first = ask(request_filter, "/nowhere", sent=sent)  # takes the only permit
        await first
        tasks = [ask(request_filter, "/nowhere", sent=sent) for _ in range(8)]
        await settle()
        assert [task.done() for task in tasks] == [False] * 2 + [True] * 6
        assert throttled._open == 2
        app.may_begin.set()
        app.may_end.set()
        ours = ask(throttled, "/assets/x.js", OTHER, "GET")
        await settle()
        assert ours.done() and app.asked == [OTHER]
        now = 1.0  # a permit
        await settle()
        now = 2.0
        await asyncio.gather(*tasks)
        assert throttled._open == 0 and throttled._visitors == {}
        statuses = [message["status"] for message in sent if "status" in message]
        assert statuses == [403] * 9

    event_loops.run(test())


def test_uploads_wait_for_a_permit_and_need_no_slot_while_they_arrive(monkeypatch):
    async def test():
        monkeypatch.setattr(throttle, "PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(throttle, "UPLOAD_SLOTS", 305)
        now = 0.0
        app, throttled = guarded(lambda: now)
        tasks = [ask(throttled, UPLOAD) for _ in range(310)]
        for _ in range(20):
            await settle()
        assert app.asked == [ONE] * 300  # REQUESTS allows so many at once
        now = 1.0
        for _ in range(20):
            await settle()
        assert app.asked == [ONE] * 305  # and so many may be arriving
        app.may_begin.set()
        app.may_end.set()
        await asyncio.gather(*tasks)
        assert app.asked == [ONE] * 310 and throttled._visitors == {}

    event_loops.run(test())


def test_pages_that_wait_for_their_permits_hold_nothing_else_up():
    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        app.may_end.set()
        pages = [ask(throttled, "/config", method="GET") for _ in range(200)]
        for _ in range(20):
            await settle()
        assert len(app.asked) == 120
        call = ask(throttled)
        await settle()
        assert call.done() and len(app.asked) == 121
        await end(*pages)

    event_loops.run(test())


def test_pages_whose_reader_has_left_wait_no_longer(monkeypatch):
    """As a script leaves them that leads a window here and elsewhere, again and again."""
    monkeypatch.setattr(throttle, "MOST_OPEN", 200)

    async def test():
        app, throttled = guarded()
        app.may_begin.set()
        app.may_end.set()
        pages = [ask(throttled, "/", method="GET") for _ in range(120)]
        left = {"type": "http.disconnect"}
        pages += [ask(throttled, "/", method="GET", body=left) for _ in range(200)]
        await asyncio.wait(pages, timeout=30)
        assert [page.exception() for page in pages[:200]] == [None] * 200
        assert len(app.asked) == 120 and throttled._visitors == {} and throttled._open == 0

    event_loops.run(test())


def test_two_pages_are_built_at_once():
    async def test():
        app, throttled = guarded()
        tasks = [ask(throttled, "/", f"203.0.113.{number}", "GET") for number in range(5)]
        await settle()
        assert len(app.asked) == 2
        await end(*tasks)

    event_loops.run(test())


def test_body_that_does_not_arrive_is_given_up_and_takes_no_place(monkeypatch):
    monkeypatch.setattr(throttle, "BODY_SECONDS", 0.05)

    async def test():
        app, throttled = guarded()
        late = [ask(throttled, body=HALF) for _ in range(100)]
        await settle()
        whole = ask(throttled)
        await settle()
        assert app.received == [BODY]
        await asyncio.wait(late)
        assert {refusal(one)[0] for one in late} == {408}
        assert refusal(late[0])[1].startswith("this request did not arrive within")
        await end(whole)

    event_loops.run(test())


def test_upload_that_stops_arriving_is_broken_off(monkeypatch):
    monkeypatch.setattr(throttle, "BODY_SECONDS", 0.05)

    async def test():
        given = []

        async def app(scope, receive, send):
            given.extend([await receive(), await receive()])

        await ask(Throttle(app), UPLOAD, body=HALF)
        assert given == [HALF, {"type": "http.disconnect"}]

    event_loops.run(test())


def test_sender_that_left_reaches_no_route():
    async def test():
        app, throttled = guarded()
        await ask(throttled, body={"type": "http.disconnect"})
        assert app.asked == []

    event_loops.run(test())


def test_bodies_of_all_addresses_are_bounded(monkeypatch):
    monkeypatch.setattr(throttle, "MOST_BODIES", 2)

    async def test():
        _, throttled = guarded()
        tasks = [ask(throttled, address=f"203.0.113.{number}", body=HALF) for number in range(2)]
        await settle()
        late = ask(throttled)
        await settle()
        assert refusal(late)[0] == 503
        await end(*tasks)

    event_loops.run(test())


# -- connections -----------------------------------------------------------------------------------


ONE_PEER, OTHER_PEER = "127.0.0.1", "127.0.0.2"


@asynccontextmanager
async def served(body=b""):
    """Serve the same answer to everything; yield what connects to the server from an address."""

    async def app(scope, receive, send):
        status = 200 if body else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        for start in range(0, len(body), 64_000):
            await send(
                {"type": "http.response.body", "body": body[start:][:64_000], "more_body": True}
            )
        await send({"type": "http.response.body"})

    how = {"lifespan": "off", "log_config": None}  # caplog sees what it logs
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=connections.Protocol, **how))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    opened = []

    async def connect(peer):
        opened.append(await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0)))
        return opened[-1]

    yield connect
    for _, writer in opened:
        writer.close()
    server.should_exit = True
    await serving


async def answers(connection, headers=""):
    """Say whether the server answers, or has closed the connection."""
    reader, writer = connection
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        return b"204" in await asyncio.wait_for(reader.readline(), 30)
    except ConnectionError:
        return False


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("count", "answered"), [(99, True), (100, False)])
def test_request_of_more_than_a_hundred_headers_is_refused(count, answered, whole):
    """With the host that makes 101. They may come in pieces, of which none has so many."""

    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            head = "GET / HTTP/1.1\r\nHost: a\r\n" + "a:b\r\n" * count + "\r\n"
            pieces = [head] if whole else [head[:300], head[300:]]
            for piece in pieces:
                writer.write(piece.encode())
                await writer.drain()
                await asyncio.sleep(0.05)
            answer = await asyncio.wait_for(reader.read(2000), 30)
            assert (b"204" in answer) == answered
            assert (b"send at most 100 headers" in answer) != answered

    event_loops.run(test())


def test_head_that_comes_in_small_pieces_is_refused_before_it_is_whole():
    """A thousand heads of 5,000 lines, made whole at once, stopped the page for 8 to 15 s."""

    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for _ in range(5):
                with suppress(ConnectionError):
                    writer.write(b"a:\n" * 24)
                    await writer.drain()
                await asyncio.sleep(0.05)
            answer = await asyncio.wait_for(reader.read(2000), 30)
            assert b"send at most 100 headers" in answer

    event_loops.run(test())


@pytest.mark.parametrize("headers", [1, 4])
@pytest.mark.parametrize(("size", "answered"), [(16_000, True), (16_001, False)])
def test_request_with_long_headers_is_refused_before_they_are_read(size, answered, headers):
    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            left = size - len("Host" + "a" + "n" * headers)
            lengths = [left - left // headers * (headers - 1)] + [left // headers] * (headers - 1)
            head = "".join(f"n: {'v' * length}\r\n" for length in lengths)
            writer.write(f"GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
            answer = await asyncio.wait_for(reader.read(2000), 30)
            assert (b"204" in answer) == answered
            assert (b"send at most 16,000 bytes of headers" in answer) != answered

    event_loops.run(test())


@pytest.mark.parametrize(("length", "answered"), [(2000, True), (2001, False)])
def test_long_address_is_refused_before_its_parameters_are_read(length, answered):
    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            target = "/a?" + "b" * (length - 3)
            writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(2000), 30)
            assert (b"204" in answer) == answered
            assert (b"use an address of at most 2,000" in answer) != answered

    event_loops.run(test())


def test_request_that_comes_before_the_answer_to_the_last_one_is_not_read():
    """Its head, of any number of lines, would be parsed before anything else is checked."""

    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            writer.write(one + one)
            answer = await asyncio.wait_for(reader.read(), 30)  # until the connection is closed
            assert answer.count(b"204") == 1

    event_loops.run(test())


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"])
def test_connection_that_asks_nothing_is_closed(monkeypatch, begun):
    """Also after a request, and when a part of one came."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)

    async def test():
        async with served() as connect:
            reader, writer = await connect(ONE_PEER)
            writer.write(begun)
            answer = await asyncio.wait_for(reader.read(), 30)
            assert (b"204" in answer) == (b"Host" in begun)

    event_loops.run(test())


@pytest.mark.parametrize("reads", [True, False])
def test_connection_whose_answer_nobody_reads_is_closed(monkeypatch, reads):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    size = 30_000_000  # more than the system holds for a reader

    async def test():
        async with served(bytes(size)) as connect:
            reader, writer = await connect(ONE_PEER)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            if reads:
                assert len(await reader.readexactly(size)) == size
            while not reads and connections.Protocol._of_address:
                await asyncio.sleep(0.01)

    event_loops.run(asyncio.wait_for(test(), 60))


def test_client_that_reads_slowly_but_steadily_gets_the_whole_answer(monkeypatch):
    """1 MB a second for 4 s, where nobody may read nothing for 0.4 s."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.4)
    size = 4_000_000

    async def test():
        async with served(bytes(size)) as connect:
            reader, writer = await connect(ONE_PEER)
            own = writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_000)  # or the system reads ahead
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            received = 0
            while piece := await reader.read(20_000):
                received += len(piece)
                await asyncio.sleep(0.02)
            assert received > size

    event_loops.run(asyncio.wait_for(test(), 120))


@pytest.mark.parametrize(
    ("name", "share", "left"), [("MOST_UNREAD", 4, 3), ("MOST_UNREAD_OF_ALL", 0, 2)]
)
def test_address_that_reads_slowly_loses_the_answers_that_take_most_memory(
    monkeypatch, name, share, left
):
    """200 streams that were read at 175 bytes a second held 64 MB, where 5 are the limit."""
    monkeypatch.setattr(connections.Protocol, "share", share)
    # The server holds 95 kB of each answer, so three fit; one is another address's, and stays.
    monkeypatch.setattr(connections, name, 300_000)
    monkeypatch.setattr(connections, "UNSENT_BYTES", 1)

    async def unread(connect, peer):
        _, writer = await connect(peer)
        own = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_000)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.2)

    async def test():
        async with served(bytes(8_000_000)) as connect:
            await unread(connect, OTHER_PEER)
            for _ in range(5):
                await unread(connect, ONE_PEER)
            assert connections.Protocol._of_address == {ONE_PEER: left, OTHER_PEER: 1}
        assert not connections.Protocol._unread

    event_loops.run(asyncio.wait_for(test(), 60))


def test_address_with_many_connections_leaves_places_to_others(monkeypatch):
    """Of 20 it gets 4, when four times as many are free; another then gets 4 of 16."""
    monkeypatch.setattr(connections.Protocol, "most", 20)

    async def test():
        async with served() as connect:
            held = [await connect(ONE_PEER) for _ in range(30)]
            assert [await answers(one) for one in held] == [True] * 4 + [False] * 26
            others = [await connect(OTHER_PEER) for _ in range(30)]
            assert [await answers(one) for one in others] == [True] * 4 + [False] * 26
            held[0][1].close()
            while connections.Protocol._of_address[ONE_PEER] == 4:
                await asyncio.sleep(0.01)
            assert await answers(await connect(ONE_PEER))
            assert not await answers(await connect(ONE_PEER))
        assert not connections.Protocol._of_address

    event_loops.run(test())


def test_connections_of_a_proxy_are_bounded_in_all_only(monkeypatch):
    monkeypatch.setattr(connections.Protocol, "most", 20)
    monkeypatch.setattr(connections.Protocol, "share", 0)

    async def test():
        async with served() as connect:
            held = [await connect(ONE_PEER) for _ in range(30)]
            assert [await answers(one) for one in held] == [True] * 20 + [False] * 10

    event_loops.run(test())


def test_connection_that_would_speak_another_protocol_is_counted_on(caplog):
    async def test():
        async with served() as connect:
            one = await connect(ONE_PEER)
            assert await answers(one, "Connection: Upgrade\r\nUpgrade: websocket\r\n")
            assert connections.Protocol._of_address == {ONE_PEER: 1}
        assert not connections.Protocol._of_address and not caplog.records

    event_loops.run(test())


def test_log_says_once_a_minute_what_a_flood_repeats(monkeypatch, caplog):
    logger = refusals.log
    monkeypatch.setattr(logger, "filters", [connections.Seldom()])
    for now in (1000.0, 1030.0, 1059.0, 1061.0):
        clock = SimpleNamespace(monotonic=lambda now=now: now)
        monkeypatch.setattr(connections, "time", clock)
        for number in range(100):
            logger.error(f"socket.accept() out of system resource\nsocket: {number}")
            logger.warning("Invalid HTTP request received.")
            logger.warning(refusals.REFUSED, f"/assets/{number}", "an error")
            refusals.in_words(OSError(number), "score")
            refusals.in_words(OSError(number), "vote")
            refusals.in_words(ZeroDivisionError(number), "vote")
        logger.error("another error")
    said = [record.getMessage().partition("\n")[0] for record in caplog.records]
    assert said.count("socket.accept() out of system resource") == 2
    assert said.count("Invalid HTTP request received.") == 2
    assert said.count("score failed") == 2
    assert said.count("vote failed") == 4  # of each kind of failure
    assert sum("/assets/" in line for line in said) == 2
    assert said.count("another error") == 4 and len(said) == 16


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [(1024, 4096, 4096), (1024, -1, 10_000), (1024, 10**6, 10_000), (20_000, 20_000, None)],
)
def test_page_has_as_many_connections_as_the_system_allows(monkeypatch, soft, hard, wanted):
    given = []
    limits = SimpleNamespace(
        RLIMIT_NOFILE=7, RLIM_INFINITY=-1,
        getrlimit=lambda which: (soft, hard),
        setrlimit=lambda which, both: given.append((which, both)),
    )  # fmt: skip
    monkeypatch.setattr(connections, "resource", limits)
    monkeypatch.setattr(connections, "HTTP_PROTOCOLS", protocols := {})
    monkeypatch.setattr(connections.Protocol, "most", 1)
    monkeypatch.setattr(connections.Protocol, "share", 1)
    for logger in ("asyncio", "uvicorn.error", refusals.log.name):
        monkeypatch.setattr(logging.getLogger(logger), "filters", [])
    connections.bound_connections(proxies=0)
    assert len(refusals.log.filters) == 1
    assert given == ([] if wanted is None else [(7, (wanted, hard))])
    assert protocols == {"auto": "rlhf_demo.web.connections:Protocol"}
    assert connections.Protocol.most == (2048 if hard == 4096 else 5000)
    assert connections.Protocol.share == 4
    connections.bound_connections(proxies=1)
    assert connections.Protocol.share == 0
