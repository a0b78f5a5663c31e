"""One name, one folder: shipped models, runs, folders, the Hub's cache, unknown names."""

import json
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.utils import validate_repo_id

from rlhf_demo.errors import CheckpointError
from rlhf_demo.hub import locate as module
from rlhf_demo.hub.locate import (
    ADAPTER_WEIGHTS,
    HUB_ID,
    adapter_base,
    fingerprint,
    hub_megabytes,
    is_here,
    locate,
    shipped_models,
)
from rlhf_demo.models.policy import load_policy
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY
from rlhf_demo.runs.run import Run
from tests.fake_hub import Repository


def make_model(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    return folder


def command(*arguments, cwd=REPOSITORY, **environment):
    """Run the command line in a process that does not know it is being tested."""
    clean = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_HOME")}
    clean |= {"PYTHONPATH": str(REPOSITORY)} | environment
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "rlhf_demo", *arguments],
        cwd=cwd, env=clean, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return result, time.perf_counter() - started


# -- on this machine -------------------------------------------------------------------------------


def test_shipped_name_means_the_same_folder_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "gpt2-mini")  # a folder of that name does not get in the way
    assert locate("gpt2-mini") == CHECKPOINTS / "gpt2-mini"
    assert locate("gpt2-mini").is_absolute()
    assert "gpt2-mini" in shipped_models()


def test_run_folder_means_its_model(tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    make_model(run.model_folder)
    assert locate(str(run.folder)) == run.model_folder


def test_run_without_model_says_so(tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    with pytest.raises(CheckpointError, match=r"run .*run has no model yet: wait .*, or resume"):
        locate(str(run.folder))


def test_plain_folder_is_taken_absolute_even_when_named_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "some" / "model")
    for name in ("some/model", "./some/model", str(tmp_path / "some/model")):
        assert locate(name) == tmp_path / "some" / "model"


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model"):
        locate(str(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "~/nothing-here", "a/b/c", "a b"])
def test_missing_path_is_refused_without_asking_the_hub(name, monkeypatch):
    monkeypatch.setattr(module, "hub_refusal", lambda *_: pytest.fail("asked the Hub"))
    with pytest.raises(CheckpointError, match="there is no folder"):
        locate(name)


def test_name_that_is_too_long_for_a_file_is_no_model_here():
    """A copied run named it, and took the list of models from the Learn tab."""
    assert not is_here("a" * 300)
    assert not is_here(f"/{'a' * 300}")


@pytest.mark.parametrize("name", ["", "  "])
def test_empty_name_is_refused_and_the_shipped_ones_named(name):
    with pytest.raises(CheckpointError, match=r"name is empty: name one of .*gpt2-mini"):
        locate(name)


# -- adapters --------------------------------------------------------------------------------------


def write_adapter(folder, base):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder


def test_whole_weights_have_no_base(tmp_path):
    assert adapter_base(make_model(tmp_path / "model")) is None


def test_adapter_names_a_shipped_base_relative_and_finds_it_from_anywhere(tmp_path, monkeypatch):
    shipped = CHECKPOINTS / "gpt2-mini"
    monkeypatch.chdir(tmp_path)
    assert adapter_base(write_adapter(tmp_path / "a", "checkpoints/gpt2-mini")) == shipped


def test_shipped_base_is_found_where_the_repository_has_moved_to(tmp_path):
    adapter = write_adapter(tmp_path / "a", "/old/clone/checkpoints/gpt2-mini")
    assert adapter_base(adapter) == CHECKPOINTS / "gpt2-mini"
    here = make_model(tmp_path / "checkpoints" / "gpt2-mini")
    assert adapter_base(write_adapter(tmp_path / "b", str(here))) == here


def test_adapter_names_another_base_by_its_absolute_folder(tmp_path):
    base = make_model(tmp_path / "base")
    assert adapter_base(write_adapter(tmp_path / "a", str(base))) == base


def test_adapter_whose_base_is_gone_names_the_folder(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder /gone/base"):
        adapter_base(write_adapter(tmp_path / "a", "/gone/base"))


def test_adapters_that_name_each_other_are_refused(tmp_path):
    named = {"a": "b", "b": "a", "itself": "itself"}
    for name, base in named.items():
        make_model(write_adapter(tmp_path / name, str(tmp_path / base)))
    for name in named:
        with pytest.raises(CheckpointError, match="is an adapter on an adapter"):
            adapter_base(tmp_path / name)


@pytest.mark.parametrize("text", ["{", '{"r": 8}', '{"base_model_name_or_path": null}'])
def test_adapter_config_that_names_no_base_is_refused(tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"adapter_config.json names no base model"):
        adapter_base(tmp_path)


# -- the Hub ---------------------------------------------------------------------------------------


def assert_one_sentence_in_time(result, seconds):
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(
        "error: model 'no-such/model' is not available: it is not in the local"
    )
    assert seconds < 3.0


def test_unknown_id_is_answered_in_time_when_the_hub_refuses_the_connection():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        outcome = command("generate", "--model", "no-such/model", HF_ENDPOINT=endpoint)
    assert_one_sentence_in_time(*outcome)


def test_unknown_id_is_answered_in_time_when_the_hub_never_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        outcome = command("generate", "--model", "no-such/model", HF_ENDPOINT=endpoint)
    assert_one_sentence_in_time(*outcome)


def test_unknown_id_with_the_hub_forbidden_says_what_forbids_it():
    result, _ = command("generate", "--model", "no-such/model", HF_HUB_OFFLINE="1")
    assert result.returncode == 2
    assert "HF_HUB_OFFLINE forbids asking the Hub" in result.stderr


def cache_model(folder, name, source, leave_out=()):
    """Lay a model out as the Hub's client caches it: blobs aside, snapshots hold links to them."""
    home = folder / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    for file in source.iterdir():
        if file.name not in leave_out:
            (home / "blobs" / file.name).write_bytes(file.read_bytes())
            (snapshot / file.name).symlink_to(home / "blobs" / file.name)


def test_cached_id_is_found_while_the_hub_cannot_be_reached(tmp_path, tiny_model_folder):
    cache_model(tmp_path / "cache", "some-one/tiny", tiny_model_folder)
    code = "from rlhf_demo.hub.locate import locate; print(locate('some-one/tiny'))"
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": "http://127.0.0.1:1"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    ).stdout.strip()
    assert found.startswith(str(tmp_path / "cache"))
    assert load_policy(found, device=torch.device("cpu")).lm.config.n_layer == 2


def test_cached_id_without_safetensors_is_refused(tmp_path, tiny_model_folder):
    cache = tmp_path / "cache"
    cache_model(cache, "some-one/pickled", tiny_model_folder, leave_out=("model.safetensors",))
    result, _ = command(
        "generate",
        "--model",
        "some-one/pickled",
        HF_HUB_CACHE=str(cache),
        HF_ENDPOINT="http://127.0.0.1:1",
    )
    assert result.returncode == 2
    assert "some-one/pickled has no safetensors weights" in result.stderr
    assert result.stderr.count("\n") == 1


# -- how large a model of the Hub is ---------------------------------------------------------------


@pytest.fixture
def models(monkeypatch, tmp_path):
    """A Hub of a few models: name -> sizes of files, and what each adapter calls its base."""
    files = {
        "a/whole": {"model.safetensors": 500_000_000, "config.json": 9},
        "a/talker": {
            "model.safetensors": 14_000_000,
            "vocab.json": 2_000_000,
            "merges.txt": 1_000_000,
            "pytorch_model.bin": 10**9,
            "onnx/model.safetensors": 10**9,  # not fetched
        },
        "a/padded": {"model.safetensors": 14_000_000, "pad.json": 60_000_000},
        "a/small": {"adapter_model.safetensors": 2_000_000, "adapter_config.json": 99},
        "a/large-config": {"adapter_model.safetensors": 9, "adapter_config.json": 9_000_000},
    }
    bases = {"a/small": "a/whole"}

    def download(name, file, revision):
        path = tmp_path / name.replace("/", "-")
        path.write_text(json.dumps({"base_model_name_or_path": bases[name]}))
        return path

    monkeypatch.setattr(module, "_hub_files", lambda name, *_: ("commit", files[name]))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return bases


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """The ids of what is fetched; nothing is in the cache."""
    names = []

    def snapshot(repo_id, **how):
        names.append(repo_id)
        assert how["revision"] == "commit" and not how["local_files_only"]
        folder = tmp_path / repo_id / "snapshots" / "commit"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
        return folder

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    return names


def test_model_is_measured_before_it_is_fetched(models, fetched, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=599e6))
    with pytest.raises(
        CheckpointError, match=r"a/whole is a download of 500 MB: .* has 599 MB of disk"
    ):
        locate("a/whole")
    with pytest.raises(CheckpointError, match="a/padded has 60 MB of files besides its weights"):
        locate("a/padded")
    assert fetched == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=601e6))
    locate("a/whole")
    assert fetched == ["a/whole"]


def test_model_that_memory_does_not_hold_is_not_fetched(models, fetched, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=499e6))
    with pytest.raises(CheckpointError, match="499 MB of memory free; choose a smaller model"):
        locate("a/whole")
    assert fetched == []


def test_model_whose_float32_weights_memory_does_not_hold_is_not_fetched(
    models, fetched, monkeypatch
):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=999e6))
    with pytest.raises(CheckpointError, match="999 MB of memory free; choose a smaller model"):
        locate("a/whole")  # 500 MB
    assert fetched == []


def test_commit_that_was_measured_is_the_one_that_is_fetched(hub, tiny_model_folder, monkeypatch):
    """Its owner commits a larger file after each answer; what is cached is not asked for again."""
    files = {file.name: file.read_bytes() for file in tiny_model_folder.iterdir()}
    hub.repositories["models/a/tiny"] = made = Repository(files=files)
    hub.after_each_answer = lambda: made.commit(files | {"n.json": bytes(len(hub.asked))}, "More")
    measured = []
    monkeypatch.setattr(module, "_size", lambda name, kind, sizes: measured.append(sizes) or 1)
    folder = locate("a/tiny")
    assert [{file.name: file.stat().st_size for file in folder.iterdir()}] == measured
    hub.asked.clear()
    assert locate("a/tiny") == folder and is_here("a/tiny") and hub.asked == []


def test_model_is_here_if_nothing_has_to_be_fetched(models, fetched, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", "a/whole")
    own = write_adapter(tmp_path / "own", str(make_model(tmp_path / "base")))
    shipped = [is_here(name) for name in ("gpt2-mini", "gpt2-mini-ppo", str(own))]
    assert shipped == [True] * 3
    assert [is_here(name) for name in ("a/whole", str(adapter))] == [False, False]
    assert fetched == []


def test_base_that_an_adapter_names_is_measured_before_it_is_fetched(
    models, fetched, monkeypatch, tmp_path
):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=599e6))
    with pytest.raises(CheckpointError, match="a/whole is a download of 500 MB"):
        adapter_base(write_adapter(tmp_path / "adapter", "a/whole"))
    assert fetched == []


def test_adapter_whose_configuration_alone_was_fetched_is_fetched_whole(
    models, fetched, monkeypatch
):
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda _, file: "there" if file == "adapter_config.json" else None,
    )
    locate("a/small")
    assert fetched == ["a/small"]


def test_adapter_weighs_what_it_makes_one_fetch(models):
    assert hub_megabytes("a/whole", "model") == pytest.approx(500, abs=0.001)
    assert hub_megabytes("a/small", "model") == pytest.approx(502, abs=0.001)


def test_model_weighs_all_that_is_fetched_and_nothing_else(models):
    assert hub_megabytes("a/talker", "model") == 17


def test_model_with_too_much_beside_its_weights_is_refused(models):
    with pytest.raises(CheckpointError, match="a/padded has 60 MB of files besides its weights"):
        hub_megabytes("a/padded", "model")


@pytest.mark.parametrize("base", ["gpt2-mini", "checkpoints/gpt2-mini"])
def test_adapter_on_a_shipped_base_weighs_its_own_weights(models, base):
    models["a/small"] = base
    assert hub_megabytes("a/small", "model") == pytest.approx(2, abs=0.001)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("a/small", "an adapter on an adapter"),
        ("/etc", "is an adapter on '/etc', which is not on the Hub"),
        ("../runs", "which is not on the Hub"),
        ("docs/api.md", "which is not on the Hub"),  # a file of this repository
        (7, "names no base model"),
    ],
)
def test_adapter_on_what_is_not_to_be_fetched_is_refused(models, base, told):
    models["a/small"] = base
    with pytest.raises(CheckpointError, match=told):
        hub_megabytes("a/small", "model")


def test_configuration_of_an_adapter_is_measured_before_it_is_read(models):
    with pytest.raises(CheckpointError, match="has 9,000,000 bytes"):
        hub_megabytes("a/large-config", "model")


@pytest.mark.parametrize(
    "name",
    ["\u00b2", "\u0661\u0662", "a--b", "a..b", "owner/a.git", "a-", "-a", ".a", "a/b/c", "x" * 97],
)
def test_name_that_the_hubs_client_raises_at_is_no_folder(name):
    with pytest.raises(CheckpointError, match="there is no folder"):
        locate(name)


@pytest.mark.parametrize("name", ["gpt2", "owner/name", "o_1/n.a-m_e", "x" * 96])
def test_name_of_the_hub_fits_its_clients_rule(name):
    validate_repo_id(name)
    assert HUB_ID.fullmatch(name)


def test_fingerprint_tells_weights_from_others_by_both_ends_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "END_BYTES", 2)
    weights = tmp_path / "model.safetensors"
    seen = set()
    for content in (b"aaaaaaaa", b"baaaaaaa", b"aaaaaaab"):
        weights.write_bytes(content)
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 3 and all(len(one) == 8 for one in seen)
    (tmp_path / ADAPTER_WEIGHTS).write_bytes(b"adapter")
    assert fingerprint(tmp_path) not in seen
