"""The parts of .ci/image.py that need no image; `make image` does the rest."""

import http.client
import http.server
import importlib.util
import threading
from functools import partial

import pytest

from tests.test_dockerfile import REPOSITORY

WHEEL = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


@pytest.fixture
def image():
    spec = importlib.util.spec_from_file_location("image", REPOSITORY / ".ci" / "image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ask(image, tmp_path):
    """Ask the index for a path; give the status, the body and where it sends pip."""
    (tmp_path / WHEEL).write_bytes(b"a wheel")
    handler = partial(image.Index, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

        def answer(path):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, body.decode(), response.headers.get("Location")

        yield answer
        server.shutdown()


def test_index_offers_the_wheel_of_torch_and_sends_pip_to_pypi_for_the_rest(ask):
    address = "/" + WHEEL.replace("+", "%2B")
    assert ask("/simple/torch/") == (200, f'<a href="{address}">{WHEEL}</a>', None)
    assert ask(address) == (200, "a wheel", None)
    assert ask("/simple/numpy/") == (302, "", "https://pypi.org/simple/numpy/")


def test_line_of_a_step_says_whether_it_succeeded(image, capsys):
    def failing():
        raise image.Failed("still runs 10 s after SIGTERM")

    assert image.timed(lambda: "it answers")
    assert not image.timed(failing)
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("ok ") and good.endswith(" s  it answers")
    assert bad.startswith("FAIL ") and bad.endswith(" s  still runs 10 s after SIGTERM")


def test_image_with_a_secret_in_its_environment_fails(image):
    container = type("Container", (), {"config": {"Env": ["PATH=/bin", "HF_TOKEN=hf_x"]}})
    with pytest.raises(image.Failed, match="HF_TOKEN"):
        image.no_secret(container)
    container.config = {"Env": ["PATH=/bin"]}
    assert image.no_secret(container) == "no secret among the 1 variables of the image"
