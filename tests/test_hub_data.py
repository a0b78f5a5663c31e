"""Data sets of the Hub: had, cached, or out of reach."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from fake_hub import fake_hub

from rlhf_demo import hub_data
from rlhf_demo.errors import DataError
from rlhf_demo.preferences import load_pairs


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("train-reward", "nobody/pairs"), ("train-reward", "somepairs"),
        ("train-base", "nobody/films"), ("train-base", "somefilms"),
    ],
)  # fmt: skip
def test_hub_that_does_not_answer_is_one_sentence_soon(command, data, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and never says a word
        hub = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-m", "rlhf_demo", command, "--data", data,
             "--run-dir", tmp_path / "run"],
            env=os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert time.perf_counter() - started < 6  # 2 on an idle machine; without the limit, minutes
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert f"{data!r} cannot be had" in result.stderr
    assert "the Hub cannot be reached" in result.stderr
    assert not (tmp_path / "run").exists()


def test_load_asks_the_hub_itself_where_nobody_has(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_data, "hub_refusal", lambda name, kind: "the Hub cannot be reached")
    with pytest.raises(DataError, match="'nobody/x' cannot be had: the Hub cannot be reached"):
        load_pairs("nobody/x")


@pytest.mark.parametrize("name", ["Some-One/MyPairs_v2", "plain"])
def test_cached_data_set_is_known_by_its_folder(name, tmp_path, monkeypatch):
    from datasets.naming import camelcase_to_snakecase

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    assert not hub_data.is_cached(name)
    *owner, own = name.split("/")
    (tmp_path / "___".join([*owner, camelcase_to_snakecase(own)])).mkdir()
    assert hub_data.is_cached(name) and not hub_data.is_cached(name + "x")


def test_data_set_is_fetched_from_the_hub_and_then_had_without_it(tmp_path):
    """In processes of their own: the Hub's clients read its address when they are imported."""
    rows = [{"prompt": "It was", "chosen": f" good {n}.", "rejected": " bad."} for n in range(3)]
    files = {
        f"{split}.jsonl": "".join(json.dumps(row) + "\n" for row in part).encode()
        for split, part in (("train", rows[:2]), ("test", rows[2:]))
    }
    says = "import sys; from rlhf_demo.preferences import load_pairs\n"
    says += "print(load_pairs('some-one/pairs', sys.argv[1]).chosen)"

    def chosen(split, hub):
        result = subprocess.run(
            [sys.executable, "-c", says, split],
            env=os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr[-2000:]
        return result.stdout.strip()

    with fake_hub("some-one/pairs", files) as hub:
        assert chosen("train", hub) == "[' good 0.', ' good 1.']"
        assert chosen("test", hub) == "[' good 2.']"
    away = "http://127.0.0.1:1"
    assert chosen("test", away) == "[' good 2.']"
    says = "from rlhf_demo.checks import check_data\nfrom rlhf_demo.config import RewardConfig\n"
    says += "check_data(RewardConfig(data='some-one/pairs'))\nprint('can be had')"
    assert chosen("test", away) == "can be had"
