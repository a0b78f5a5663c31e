"""Shared by all tests: a tiny GPT-2 with the shipped tokenizer, and no network."""

import gc
import os
import random
import signal
import socket
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # or it asks for its newest version
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Each core has a process of tests, and they start trainings. More threads would wait for a core and
# for one another. This holds for what the tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.tiny import save_tiny_model

torch.set_num_threads(1)
# A shell that runs the tests in the background makes them ignore Ctrl-C. The apps that they start
# would inherit this, and each would be killed only after 15 seconds.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Leave what the tests imported out of later garbage collections, which took 15% of a run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Let no test reach beyond this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise OSError(f"the network is blocked in tests: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory) -> Path:
    """A folder with a tiny causal language model and its tokenizer."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory) -> Path:
    """Six prompts, one a line."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text(
        "The film was\nI liked the\nWe saw it and\nThis is a\nMy friend said\nIn the end\n"
    )
    return path


@pytest.fixture
def clock():
    """Time that passes only when told to."""
    from tests.voting import Clock

    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    """A store of votes in a folder of its own, its sides drawn the same way each time."""
    from rlhf_demo.votes.store import Store

    store = Store(f"sqlite:///{tmp_path}/votes.db", clock=clock, rng=random.Random(0))
    yield store
    store.close()


@pytest.fixture
def classes(store):
    """The classes of that store."""
    from rlhf_demo.votes.classes import Classes

    return Classes(store)


@pytest.fixture
def rounds(store):
    """The rounds of these classes."""
    from rlhf_demo.votes.rounds import Rounds

    return Rounds(store)


@pytest.fixture(autouse=True, scope="module")
def no_event_loop_of_gradio_is_left(request):
    """Collect event loops that Gradio leaves unclosed, or a test of another module would fail."""
    yield
    if request.node.nodeid.startswith(("tests/ui", "tests/web", "tests/server")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A small Hub on this machine, which the Hub's client in this process uses as its owner."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from tests.fake_hub import TOKEN, small_hub

    with small_hub() as small:
        template = small.address + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": small.address, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        }.items():  # fmt: skip
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield small
        small.woken.set()
        close_session()
