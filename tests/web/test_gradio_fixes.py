"""What this page mends in Gradio and its server: a no fetching, no copies, no chunks."""

import gc
import socket
import threading
import time

import gradio as gr
import httpx
import pytest
import uvicorn
from gradio import routes
from gradio.data_classes import FileData
from gradio.processing_utils import async_move_files_to_cache, save_url_to_cache
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from rlhf_demo.errors import DemoError
from rlhf_demo.web.connections import Protocol
from rlhf_demo.web.gradio_fixes import apply_fixes
from tests import event_loops

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture(autouse=True)
def nothing_left():
    """Let what Gradio leaves unclosed be noticed here and not later."""
    yield
    gc.collect()


def queued_page():
    with gr.Blocks() as page:
        field = gr.Number()
        field.submit(lambda value: value, field, field)
    page.queue()
    apply_fixes()
    return page


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["http://192.0.2.1/big.bin", "https://example.com/a.jsonl"])
def test_no_file_is_fetched_from_an_address(address):
    queued_page()
    file = gr.File()
    sent = {"path": address, "meta": {"_type": "gradio.FileData"}}
    for data in (sent, [sent], FileData(path=address).model_dump()):
        with pytest.raises(DemoError, match="does not fetch files from web addresses"):
            event_loops.run(async_move_files_to_cache(data, file, check_in_upload_folder=True))
    with pytest.raises(DemoError, match="does not fetch files from web addresses"):
        save_url_to_cache(address, "/nowhere")


@pytest.mark.parametrize("path", ["file=", "file/"])
def test_no_address_of_the_web_is_passed_on(path, monkeypatch):
    """A stranger's server could keep all slots of a visitor's address, for as long as it liked."""
    asked = []
    monkeypatch.setattr("safehttpx.async_validate_url", asked.append)
    with TestClient(routes.App.create_app(queued_page())) as client:
        answer = client.get(f"/gradio_api/{path}http://example.com/a")
    assert answer.status_code == 404
    assert not asked


def test_upload_that_is_handed_on_leaves_no_empty_file_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    queued_page()
    path = str(tmp_path / "mine.jsonl")
    for kinds in (None, [".jsonl"]):
        assert gr.UploadButton(file_types=kinds).preprocess(FileData(path=path)) == path
    assert list(tmp_path.iterdir()) == []


# -- requests in chunks ----------------------------------------------------------------------------


@pytest.fixture
def port():
    """Return the port of a server that speaks to its clients as the page does."""

    async def length(request):
        return JSONResponse(len(await request.body()))

    app = Starlette(routes=[Route("/", length, methods=["POST"])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, http=Protocol, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def test_request_that_says_its_length_is_read(port):
    assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x" * 300_000).json() == 300_000


@pytest.mark.parametrize("name", ["Transfer-Encoding", "transfer-ENCODING"])
def test_request_in_chunks_ends_with_its_headers(port, name):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{name}: chunked\r\n\r\n".encode())
        answer = b"".join(iter(lambda: one.recv(4096), b""))  # until the server closes it
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"state the length of this request (Content-Length)\r\n0\r\n\r\n")
