"""The real app in a process of its own, and people who look at it in headless Chromium.

`new_visitor()` opens a browser of its own, as somebody at another desk would. It finds no other
machine, and whatever it asks of one fails the test at its end; so does an error in the page's
scripts.
"""

import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.serving import CHROMIUM, PageProcess
from tests.browser.visitor import Visitor

SCREENSHOTS = Path(__file__).parent / "screenshots"
"""What each visitor saw in each test, kept whether it passed or not."""
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """A browser that is started once; each visitor gets a profile of their own in it."""
    if not CHROMIUM.exists():
        reason = f"there is no {CHROMIUM}: install it (apt) to run the browser tests"
        if os.environ.get("RLHF_DEMO_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(runs):
    """Serve a folder of runs.

    The app and its trainings believe that the way to other machines leads through a proxy. Nobody
    answers there, and whoever knocked fails the tests.
    """
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        way_out = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        surroundings = {"HTTP_PROXY": way_out, "HTTPS_PROXY": way_out, "HF_HUB_OFFLINE": "0"}
        with PageProcess(runs, OMP_NUM_THREADS="1", NO_PROXY="127.0.0.1", **surroundings) as page:
            yield page
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.fixture(scope="session")
def app_of_many(chromium, tmp_path_factory):
    """The app for all files of tests that change nothing in it: a start takes 12 s of a core."""
    with served(tmp_path_factory.mktemp("page") / "runs") as page:
        yield page


@pytest.fixture(scope="module")
def app(chromium, tmp_path_factory, request):
    """The app over an empty folder of runs, one for each file of tests that changes something."""
    if request.node.get_closest_marker("only_looks"):
        yield request.getfixturevalue("app_of_many")
        return
    with served(tmp_path_factory.mktemp("page") / "runs") as page:
        yield page


@pytest.fixture
def new_visitor(chromium, app, request):
    """Let somebody come to the page, with a secret if it is to be a certain one."""
    visitors = []
    pictures = SCREENSHOTS / request.node.name.removeprefix("test_")

    def arrive(secret: str = "", **how) -> Visitor:
        visitors.append(Visitor(chromium.new_context(**how), app.url, secret, pictures))
        return visitors[-1]

    yield arrive
    for number, visitor in enumerate(visitors, start=1):
        visitor.keep(f"end-{number}")
        visitor.page.context.close()
    assert [outside for one in visitors for outside in one.outside] == []
    assert [error for one in visitors for error in one.errors] == []
