"""Whoever sends what does not fit reads a sentence; whoever runs the page reads what failed."""

import gc
import logging
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from rlhf_demo.errors import DemoError
from rlhf_demo.rate_limit import sender
from rlhf_demo.web.refusals import DISK_FULL, FAILED, WRONG_SHAPE, Page, Refusals, in_words
from tests import event_loops

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture(autouse=True)
def nothing_left():
    """Let what Gradio leaves unclosed be noticed here and not later."""
    yield
    gc.collect()


@pytest.mark.parametrize(
    ("error", "sentence", "logged"),
    [
        (DemoError("there is no run x"), "there is no run x", False),
        (KeyError("run"), WRONG_SHAPE, False),
        (TypeError("'int' object is not iterable"), WRONG_SHAPE, False),
        (OSError(28, "No space left on device", "/home/ann/runs/x"), DISK_FULL, True),
        (OSError(13, "Permission denied", "/home/ann/runs/x"), FAILED, True),
        (ZeroDivisionError("division by zero"), FAILED, True),
    ],
)
def test_error_is_told_in_words_and_logged_where_the_server_is_at_fault(
    error, sentence, logged, caplog
):
    assert in_words(error, "next_pair") == sentence
    assert ("next_pair failed" in caplog.text) == logged
    assert (type(error).__name__ in caplog.text) == logged


def handler(error):
    def fail(value):
        raise error

    with Page() as page:
        field = gr.Number(maximum=5)
        field.submit(fail, field, None)
    return page


def refused(page, inputs):
    with pytest.raises(gr.Error) as error:
        event_loops.run(page.process_api(0, inputs))
    assert not error.value.print_exception
    return error.value.message


@pytest.mark.parametrize(
    ("error", "inputs", "sentence"),
    [
        (DemoError("there is no run x"), [1], "there is no run x"),
        (AttributeError("run"), [1], WRONG_SHAPE),
        (ZeroDivisionError(), [1], FAILED),
        (DemoError("never reached"), [], WRONG_SHAPE),
        (DemoError("never reached"), [7], "Value 7 is greater than maximum value 5."),
    ],
)
def test_handler_refuses_in_a_sentence(error, inputs, sentence):
    assert refused(handler(error), inputs) == sentence


def test_long_words_of_the_sender_are_not_sent_back_whole():
    assert len(refused(handler(DemoError("never reached")), [10**400])) == 300


# -- files in the inputs ---------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def resolved(monkeypatch):
    """Every path that is resolved on the disk."""
    paths, resolve = [], Path.resolve

    def noted(path, *given, **named):
        paths.append(path)
        return resolve(path, *given, **named)

    monkeypatch.setattr(Path, "resolve", noted)
    return paths


def file_page():
    """A page with a text field (0) and an upload button (1); each handler returns its input."""
    with Page() as page:
        for part, event in ((gr.Textbox(), "submit"), (gr.UploadButton(), "upload")):
            getattr(part, event)(lambda value: str(value), part, gr.Textbox())
    return page


def file_data(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def refused_unseen(page, handler, value, resolved):
    """Say whether a handler refuses a value, and Gradio neither looks up nor keeps a path."""
    resolved.clear()
    with pytest.raises(gr.Error) as error:
        event_loops.run(page.process_api(handler, [value]))
    kept = set().union(*page.temp_file_sets, *(part.temp_files for part in page.blocks.values()))
    return error.value.message == WRONG_SHAPE and not resolved and not kept


@pytest.mark.parametrize("handler", [0, 1])
@pytest.mark.parametrize(("count", "folders"), [(15, 2000), (673, 1)])
def test_many_files_are_refused_before_any_is_looked_up(cache, resolved, handler, count, folders):
    """One request of 63 kB stopped the page for a second, and all its paths were kept."""
    files = [file_data(f"{cache}/{number}{'/a' * folders}") for number in range(count)]
    assert refused_unseen(file_page(), handler, files, resolved)


@pytest.mark.parametrize(
    "wrap", [list, lambda files: {"x": [{"y": files}]}, lambda files: files[0]]
)
def test_field_that_takes_no_files_refuses_an_upload(cache, resolved, wrap):
    upload = file_data(cache / ("0" * 64) / "a.jsonl")
    assert refused_unseen(file_page(), 0, wrap([upload]), resolved)
    assert refused_unseen(file_page(), 0, wrap([{"path": upload["path"]}]), resolved)


@pytest.mark.parametrize(
    "inside",
    [
        ".made-by-rlhf-demo",
        "downloads/votes.csv",
        f"{'0' * 64}/folder/a.jsonl",
        f"{'0' * 64}/{'/' * 400}a.jsonl",
        f"../{'0' * 64}/a.jsonl",
        f"{'0' * 64}/{'a' * 400}",
    ],
)
def test_upload_button_takes_uploads_only(cache, resolved, inside):
    assert refused_unseen(file_page(), 1, file_data(f"{cache}/{inside}"), resolved)


def test_upload_button_takes_one_upload(cache, resolved):
    name = "ä" * 120 + ".jsonl"
    upload = cache / ("0" * 64) / name
    upload.parent.mkdir()
    upload.touch()
    page = file_page()
    answer = event_loops.run(page.process_api(1, [file_data(upload)]))
    assert name in answer["data"][0]
    assert refused_unseen(file_page(), 1, [file_data(upload)] * 2, resolved)


# -- requests --------------------------------------------------------------------------------------


@pytest.fixture
def client():
    def breaks(request):
        raise KeyError(99)

    def finds_no_room(request):
        raise OSError(28, "No space left on device")

    def fails(request):
        return JSONResponse({"error": "Value 7 is too much"}, 500)

    def breaks_off(request):
        async def stream():
            yield b"data: 1\n\n"
            raise TypeError("surrogates not allowed")

        return StreamingResponse(stream())

    async def length(request):
        return JSONResponse(len(await request.body()))

    async def echo(request):
        return JSONResponse(await request.json())

    routes = [Route(f"/{one.__name__}", one) for one in (breaks, fails, finds_no_room, breaks_off)]
    routes += [Route("/breaks/{rest}", breaks)]
    routes += [Route(path, echo, methods=["POST"]) for path in ("/echo", "/queue/join")]
    routes += [Route("/gradio_api/upload", length, methods=["POST"])]
    with TestClient(Starlette(routes=routes, middleware=[Middleware(Refusals)])) as client:
        yield client


def test_route_that_raises_is_a_bad_request_and_one_line_of_the_log(client, caplog):
    caplog.set_level(logging.WARNING)
    answer = client.get("/breaks/a%0aFORGED")
    assert (answer.status_code, answer.json()) == (400, {"error": WRONG_SHAPE})
    told = r"'/breaks/a\nFORGED' refused: KeyError(99)"
    assert [one.getMessage() for one in caplog.records] == [told]
    assert caplog.records[0].exc_info is None


def test_full_disk_is_not_the_senders_fault(client):
    answer = client.get("/finds_no_room")
    assert (answer.status_code, answer.json()) == (507, {"error": DISK_FULL})


def test_answer_of_gradio_that_blames_the_server_blames_the_request(client):
    answer = client.get("/fails")
    assert (answer.status_code, answer.json()) == (400, {"error": "Value 7 is too much"})


def test_stream_that_breaks_off_ends(client):
    assert client.get("/breaks_off").text == "data: 1\n\n"


@pytest.mark.parametrize(
    "body",
    [
        '{"data": [NaN]}',
        '{"data": [1e999]}',
        f'{{"data": [{"1" * 402}]}}',
        '{"data": ["\\ud800"]}',
        '{"data": ',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_body_that_cannot_be_written_again_is_refused(client, body):
    answer = client.post("/echo", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": WRONG_SHAPE})


def test_body_reaches_the_route_as_it_came(client):
    body = {"data": ["\U0001f600 \u00e4", 10**399, 0.1, None], "session_hash": "abc"}
    assert client.post("/echo", json=body).json() == body
    assert client.post("/queue/join", json=body).json() == body


@pytest.mark.parametrize(
    "value",
    [[1] * 498, [[1, 2]] * 166, [{"a": 1, "b": 2}] * 166, {f"{n}": n for n in range(498)}],
)
def test_request_has_few_values_at_any_depth(client, value):
    assert client.post("/echo", json={"data": [value]}).status_code == 200  # 500 with both lists
    assert client.post("/echo", json={"data": [value], "x": 1}).status_code == 400
    assert client.post("/echo", json={"data": "1, [" * 10_000}).status_code == 200


@pytest.mark.parametrize("body", [{"data": []}, {"session_hash": None}, {"session_hash": ""}, []])
def test_queue_is_not_joined_without_a_session(client, body):
    assert client.post("/queue/join", json=body).status_code == 400


@pytest.mark.parametrize("session", ["x" * 101, "", 7, ["x"]])
def test_name_of_a_session_is_a_short_text(client, session):
    for path in ("/queue/join", "/echo"):
        assert client.post(path, json={"session_hash": session}).status_code == 400
        assert client.post(path, json={"session_hash": "x" * 100}).status_code == 200
        odd = {"session_hash": "a<gradio-sep>b"}  # nobody could cancel anything while it waited
        assert client.post(path, json=odd).status_code == 400


@pytest.mark.parametrize("form", ["multipart/form-data; boundary=x", "Multipart/Form-Data"])
def test_upload_is_not_read_as_json(client, form):
    answer = client.post("/gradio_api/upload", content=b"--x", headers={"content-type": form})
    assert answer.json() == 3


def test_handler_knows_whose_request_it_answers(monkeypatch):
    """Gradio's queue runs it outside of the request: all shared one limit."""
    seen = []
    with Page() as page:
        field = gr.Number()
        field.submit(lambda value: seen.append(sender.get()), field, None)
    for address in ("10.0.0.1", "10.0.0.2"):
        request = gr.Request(client=SimpleNamespace(host=address))
        event_loops.run(page.process_api(page.fns[0], [1], request=request))
    assert seen == ["10.0.0.1", "10.0.0.2"]
