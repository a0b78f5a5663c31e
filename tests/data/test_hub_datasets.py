"""Data sets of the Hub: had, cached, or out of reach."""

import json
import os
import socket
import subprocess
import sys
import time

import pyarrow
import pytest
from huggingface_hub.file_download import repo_folder_name

from rlhf_demo.data import hub_datasets as datasets
from rlhf_demo.data.pairs import load_pairs
from rlhf_demo.errors import DataError
from tests.fake_hub import fake_hub
from tests.hostile_files import parquet, repeated


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
    assert f"{data!r} is not available" in result.stderr
    assert "the Hub cannot be reached" in result.stderr
    assert not (tmp_path / "run").exists()


def test_load_asks_the_hub_itself_where_nobody_has(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "hub_refusal", lambda name, kind: "the Hub cannot be reached")
    with pytest.raises(DataError, match="'nobody/x' is not available: the Hub cannot be reached"):
        load_pairs("nobody/x")


@pytest.mark.parametrize("name", ["Some-One/MyPairs_v2", "plain"])
def test_cached_data_set_is_known_by_its_folder(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert not datasets.is_cached(name)
    (tmp_path / repo_folder_name(repo_id=name, repo_type="dataset")).mkdir()
    assert datasets.is_cached(name) and not datasets.is_cached(name + "x")


def in_a_process(hub, home, code):
    """Run code in a process of its own: the Hub's clients read its address when imported."""
    return subprocess.run(
        [sys.executable, "-c", f"from rlhf_demo.data.pairs import load_pairs\n{code}"],
        env=os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def chosen(hub, home, split):
    result = in_a_process(hub, home, f"print(load_pairs('some-one/pairs', {split!r}).chosen)")
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


def jsonl(*texts):
    rows = [{"prompt": "It was", "chosen": f" {text}", "rejected": " bad."} for text in texts]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_data_set_is_fetched_from_the_hub_and_then_had_without_it(tmp_path):
    files = {"train.jsonl": jsonl("good 0.", "good 1."), "test.jsonl": jsonl("good 2.")}
    with fake_hub("some-one/pairs", files) as hub:
        assert chosen(hub, tmp_path, "train") == "[' good 0.', ' good 1.']"
        assert chosen(hub, tmp_path, "test") == "[' good 2.']"
    away = "http://127.0.0.1:1"
    assert chosen(away, tmp_path, "test") == "[' good 2.']"
    result = in_a_process(
        away, tmp_path,
        "from rlhf_demo.cli.checks import check_data\n"
        "from rlhf_demo.config.reward import RewardConfig\n"
        "check_data(RewardConfig(data='some-one/pairs'))\nprint('can be had')",
    )  # fmt: skip
    assert result.stdout.strip() == "can be had"


def test_hub_that_breaks_off_is_one_sentence(tmp_path):
    class Broken(dict):
        def __getitem__(self, file):
            raise ConnectionAbortedError

    with fake_hub("some-one/pairs", Broken({"train.jsonl": b"12"})) as hub:
        result = in_a_process(hub, tmp_path, "load_pairs('some-one/pairs')")
    assert result.stderr.splitlines()[-1].startswith(
        "rlhf_demo.errors.DataError: some-one/pairs cannot be read ("
    )


README = """---
configs:
- config_name: default
  data_files:
  - split: learn
    path: [one.parquet, two.parquet]
  - split: theirs
    path: {theirs}
---
"""


def test_readme_tells_the_files_of_a_split_and_names_only_the_data_sets_own(tmp_path):
    one, two, secret = (
        parquet(
            pyarrow.table({"prompt": ["It was"], "chosen": [f" {text}"], "rejected": [" bad."]})
        )
        for text in ("good 0.", "good 1.", "secret.")
    )
    theirs = tmp_path / "theirs.parquet"
    theirs.write_bytes(secret)
    readme = README.format(theirs=theirs).encode()
    files = {"README.md": readme, "one.parquet": one, "two.parquet": two}
    with fake_hub("some-one/pairs", files) as hub:
        assert chosen(hub, tmp_path, "learn") == "[' good 0.', ' good 1.']"
        missing = in_a_process(hub, tmp_path, "load_pairs('some-one/pairs', 'train')")
        outside = in_a_process(hub, tmp_path, "load_pairs('some-one/pairs', 'theirs')")
    assert "no split 'train': choose one of learn, theirs" in missing.stderr
    assert "names files that are not its own" in outside.stderr


def test_few_bytes_that_stand_for_much_are_bounded_in_memory_and_on_the_disk(tmp_path):
    """A kilobyte of Parquet stands for a terabyte: a million rows of 1 MB."""
    bomb = parquet(repeated("x" * 10**6, 10**6))
    assert len(bomb) < 100_000
    code = (
        "import re\n"
        "try: load_pairs('some-one/pairs')\n"
        "except Exception as error: print(error)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    with fake_hub("some-one/pairs", {"train.parquet": bomb}) as hub:
        result = in_a_process(hub, tmp_path, code)
    said, kilobytes = result.stdout.splitlines()
    assert "row 1: column 'chosen' has 1,000,000 characters" in said
    assert int(kilobytes) < 500_000
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 10**6


def test_preview_of_a_data_set_is_read_apart_from_the_app(tmp_path):
    code = (
        "import sys\n"
        "from rlhf_demo.ui.tabs.reward import _summary_of\n"
        "print(_summary_of('some-one/pairs')['count'], 'datasets' in sys.modules)\n"
    )
    with fake_hub("some-one/pairs", {"train.jsonl": jsonl("good 0.", "good 1.")}) as hub:
        result = in_a_process(hub, tmp_path, code)
    assert result.stdout.strip() == "2 False", result.stderr[-2000:]
