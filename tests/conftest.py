"""Shared by all tests: a tiny GPT-2 with the shipped tokenizer, and no network."""

import json
import os
import random
import socket
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from rlhf_demo.locate import CHECKPOINTS
from rlhf_demo.models import load_tokenizer

torch.set_num_threads(
    1
)  # tiny models gain nothing from more, and two that wait for each other cost minutes


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


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write a GPT-2 of 2 layers, 32 wide, random weights, with the shipped tokenizer."""
    tokenizer = load_tokenizer(CHECKPOINTS / "gpt2-mini")
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2,
        n_head=2,
        n_embd=32,
        n_positions=64,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_classifier(folder: Path, base: Path, labels: int = 1, seed: int = 0) -> Path:
    """Write a tiny classifier of random weights with the tokenizer of `base`."""
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=32, n_positions=32, initializer_range=0.2,
        vocab_size=len(tokenizer), num_labels=labels, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    if labels > 1:
        config.id2label = {0: "dull", 1: "fair", 2: "fine"}
        config.label2id = {name: index for index, name in config.id2label.items()}
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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


def read_rows(path: Path) -> list[dict]:
    """Read a JSONL file whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def clock():
    """Time that passes only when told to."""
    from tests.voting import Clock

    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    """A store of votes in a folder of its own, its sides drawn the same way each time."""
    from rlhf_demo.votes import Store

    store = Store(f"sqlite:///{tmp_path}/votes.db", clock=clock, rng=random.Random(0))
    yield store
    store.close()


@pytest.fixture
def classes(store):
    """The classes of that store."""
    from rlhf_demo.classes import Classes

    return Classes(store)


@pytest.fixture
def rounds(store):
    """The rounds of these classes."""
    from rlhf_demo.rounds import Rounds

    return Rounds(store)
