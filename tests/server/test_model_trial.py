"""A stranger's model is tried in a process of its own; ours, and those that passed, are not."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import os
import shutil
import threading
from pathlib import Path

import psutil
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Status
from rlhf_demo.server import model_trial
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.model_trial import ModelTrials
from tests.fake_jobs import fake, new_jobs, wait_until  # noqa: F401  (fixtures)
from tests.tiny import save_tiny_classifier, save_tiny_model


@pytest.fixture
def jobs(new_jobs):
    return new_jobs(scheduling=False, start_token="flour")


@pytest.fixture
def trials(jobs):
    return ModelTrials(jobs, ["gpt2"])


@pytest.fixture
def tried(monkeypatch):
    """What was tried in another process, in order."""
    names = []
    monkeypatch.setattr(model_trial, "_try", lambda *what: names.append(what))
    return names


def finished_run(jobs, folder, **options):
    """A run of this page that has a model."""
    run = jobs.start("ppo", PPOConfig(**options), title="", secret="ann")
    shutil.copytree(folder, jobs.find(run).model_folder, dirs_exist_ok=True)
    return str(jobs.find(run).folder)  # as if it were still being trained: it waits


# -- which are tried -------------------------------------------------------------------------------


def test_shipped_and_trusted_models_are_not_tried(trials, tried):
    for name in ("gpt2-mini", "gpt2-mini-ppo", str(CHECKPOINTS / "gpt2-mini"), "gpt2"):
        trials.check("policy", name)
    trials.check("scorer", "star-rater")
    assert tried == []


def test_run_of_this_page_is_not_tried_and_a_copied_one_is(trials, tried, jobs, tiny_model_folder):
    own = finished_run(jobs, tiny_model_folder)
    trials.check("policy", own)
    assert tried == []
    copied = Path(own).parent / "ppo-copied"
    shutil.copytree(own, copied)  # its signature names another run
    trials.check("policy", str(copied))
    assert [(kind, name) for kind, name, *_ in tried] == [("policy", str(copied))]


def test_copied_run_that_was_resumed_here_is_still_a_strangers(
    trials, tried, jobs, tiny_model_folder
):
    """Its model may be as it came: the run may fail at once."""
    own = finished_run(jobs, tiny_model_folder)
    copied = Path(own).parent / "ppo-copied"
    shutil.copytree(own, copied)
    for name in ("job.json", ".lock"):
        (copied / name).unlink(missing_ok=True)
    jobs.find("ppo-copied").set_status(Status.STOPPED)
    jobs.resume("ppo-copied", "flour")
    assert jobs.made_here(copied) is None
    trials.check("policy", str(copied))
    assert [name for _, name, *_ in tried] == [str(copied)]


def test_run_that_began_with_one_of_ours_stays_ours_when_that_is_deleted(
    trials, tried, jobs, tiny_model_folder
):
    """Or a visitor who deletes a run would make everybody wait for trials of what came of it."""
    first = finished_run(jobs, tiny_model_folder)
    second = finished_run(jobs, tiny_model_folder, policy=first)
    shutil.rmtree(first)
    third = finished_run(jobs, tiny_model_folder, policy=second)
    shutil.rmtree(second)
    trials.check("policy", third)
    assert tried == []


def test_run_that_began_with_a_strangers_model_is_tried_when_that_is_deleted(
    trials, tried, jobs, tiny_model_folder, tmp_path
):
    theirs = tmp_path / "theirs"
    shutil.copytree(tiny_model_folder, theirs)
    run = finished_run(jobs, tiny_model_folder, policy=str(theirs))
    shutil.rmtree(theirs)
    trials.check("policy", run)
    assert [name for _, name, *_ in tried] == [run]


def test_run_of_an_earlier_version_is_ours_if_its_start_is(trials, tried, jobs, tiny_model_folder):
    first = finished_run(jobs, tiny_model_folder)
    second = finished_run(jobs, tiny_model_folder, policy=first)
    for run in (first, second):
        without_its_word(jobs, Path(run))
    trials.check("policy", second)
    assert tried == []
    shutil.rmtree(first)
    trials.check("policy", second)
    assert [name for _, name, *_ in tried] == [second]


def without_its_word(jobs, folder):
    """Sign the record of a run as earlier versions did."""
    record = {k: v for k, v in read_json(folder / "job.json").items() if k != "ours"}
    task = read_json(folder / "config.json")
    write_json(folder / "job.json", jobs._folders.signer.signed(folder.name, task, record))


def test_model_on_the_hub_is_not_fetched_to_learn_whose_it_is(trials, jobs, monkeypatch):
    def fetch(name):
        raise AssertionError

    monkeypatch.setattr("rlhf_demo.hub.locate._on_hub", fetch)
    assert not trials.is_ours("somebody/model")
    run = jobs.start("ppo", PPOConfig(policy="somebody/model"), title="", secret="ann")
    assert read_json(jobs.find(run).folder / "job.json")["ours"] is False


def test_model_among_very_many_files_is_not_looked_at_further(trials, tried, tmp_path, monkeypatch):
    monkeypatch.setattr(model_trial, "MOST_FILES", 20)
    folder = save_tiny_model(tmp_path / "model")
    trials.check("policy", str(folder))
    for number in range(20):
        (folder / f"f{number}").touch()
    with pytest.raises(CheckpointError, match="model holds more than 20 files: choose another"):
        trials.check("policy", str(folder))
    assert len(tried) == 1


def test_only_weights_on_the_disk_raise_the_limits(trials, tried, tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    with open(folder / "notes.bin", "wb") as file:
        file.truncate(40 * 10**9)
    with open(folder / "model.safetensors", "ab") as file:
        file.truncate(40 * 10**9)
    (folder / "more.safetensors").write_bytes(bytes(3 * 10**6))
    trials.check("policy", str(folder))
    assert [megabytes for *_, megabytes in tried] == [1]  # those of the tiny model


def test_limits_have_an_end(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(model_trial, "run_apart", lambda *what: asked.append(what) or {})
    monkeypatch.setattr(model_trial, "locate", Path)
    model_trial._try("policy", "x", None, 10**6)
    _, (_, seconds, megabytes, _), _ = asked[0]
    assert int(seconds) == 300
    assert int(megabytes) <= psutil.virtual_memory().total / 10**6


def test_run_that_began_with_a_strangers_model_is_tried(trials, tried, jobs, tiny_model_folder):
    run = finished_run(jobs, tiny_model_folder, policy=str(tiny_model_folder))
    trials.check("policy", run)
    assert len(tried) == 1
    second = finished_run(jobs, tiny_model_folder, policy=run)
    trials.check("policy", second)
    assert len(tried) == 2


def test_model_that_passed_is_tried_again_only_after_its_files_changed(trials, tried, tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    for _ in range(2):
        trials.check("policy", str(folder))
    assert len(tried) == 1
    trials.check("scorer", str(folder), "fine")  # it would be loaded as something else
    os.utime(folder / "config.json", (0, 0))
    trials.check("policy", str(folder))
    assert [(kind, label) for kind, _, label, _ in tried] == [
        ("policy", None), ("scorer", "fine"), ("policy", None),
    ]  # fmt: skip


def test_model_that_failed_is_refused_each_time_and_never_loaded(trials, tmp_path, monkeypatch):
    def fails(*what):
        raise CheckpointError("too large")

    monkeypatch.setattr(model_trial, "_try", fails)
    name = str(save_tiny_model(tmp_path / "model"))
    loaded = []
    monkeypatch.setattr("rlhf_demo.models.policy.load_policy", lambda *a, **k: loaded.append(a))
    cache = ModelCache(check=trials.check)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="too large"):
            cache.policy(name)
    assert loaded == []


def test_trial_in_the_background_keeps_nobody_waiting(trials, tmp_path, monkeypatch):
    name, other = (str(save_tiny_model(tmp_path / folder)) for folder in ("one", "two"))
    go_on, begun = threading.Event(), []
    monkeypatch.setattr(model_trial, "_try", lambda *what: begun.append(what[1]) or go_on.wait(60))
    assert trials.begin("policy", "gpt2-mini")
    for _ in range(3):
        assert not trials.begin("policy", name)
        assert not trials.begin("policy", other)  # one at a time
    go_on.set()
    wait_until(lambda: trials.begin("policy", name))
    assert begun == [name]
    wait_until(lambda: trials.begin("policy", other))
    assert begun == [name, other]


def test_model_that_failed_is_not_tried_again_in_the_background(trials, tmp_path, monkeypatch):
    tries = []

    def fails(*what):
        tries.append(what)
        raise CheckpointError("too large")

    def refused():
        try:
            return trials.begin("policy", name)
        except CheckpointError as error:
            return str(error)

    monkeypatch.setattr(model_trial, "_try", fails)
    name = str(save_tiny_model(tmp_path / "model"))
    wait_until(lambda: refused() == "too large")
    assert refused() == "too large" and len(tries) == 1
    os.utime(tmp_path / "model" / "config.json", (0, 0))
    wait_until(lambda: refused() == "too large" and len(tries) == 2)
    with pytest.raises(CheckpointError, match="too large"):
        trials.check("policy", name)  # a click: the machine may have been busy
    assert len(tries) == 3


# -- the process -----------------------------------------------------------------------------------


def test_honest_models_pass(trials, tmp_path):
    base = save_tiny_model(tmp_path / "policy")
    trials.check("policy", str(base))
    trials.check("scorer", str(save_tiny_classifier(tmp_path / "one", base)))
    several = save_tiny_classifier(tmp_path / "three", base, labels=3)
    trials.check("scorer", str(several), "fine")
    with pytest.raises(CheckpointError, match="no classification head"):
        trials.check("scorer", str(base))


def save(network, folder):
    network.save_pretrained(folder)
    load_tokenizer(CHECKPOINTS / "gpt2-mini").save_pretrained(folder)
    return str(folder)


def test_model_whose_attention_takes_gigabytes_is_refused_in_a_sentence(trials, tmp_path):
    """128 heads * 2,048 * 2,048 numbers of 4 bytes are 2.1 GB, for 0.2 MB of weights."""
    torch.manual_seed(0)
    config = Qwen3Config(
        hidden_size=2, num_hidden_layers=1, num_attention_heads=128, num_key_value_heads=1,
        head_dim=2, intermediate_size=2, vocab_size=4096, max_position_embeddings=100_000,
    )  # fmt: skip
    name = save(Qwen3ForCausalLM(config), tmp_path / "wide")
    with pytest.raises(CheckpointError, match=r"^wide takes more than 1,500 MB or 60 s to read|"):
        trials.check("policy", name)
    with pytest.raises(CheckpointError, match="wide"):
        trials.check("policy", name)


@pytest.mark.parametrize("most", [64, 100, 4096])
def test_as_many_of_the_longest_texts_are_read_as_the_app_reads_at_once(
    tmp_path, tiny_model_folder, monkeypatch, most
):
    """The tiny policy has 64 positions, the tiny classifier 32."""
    monkeypatch.setattr("rlhf_demo.models.loading.MOST_READ", most)
    read = []
    hidden, scores = Policy.hidden, RewardModel._read
    monkeypatch.setattr(
        Policy, "hidden", lambda *a, **k: read.append(a[1].shape) or hidden(*a, **k)
    )
    model_trial._try_policy(str(tiny_model_folder))
    assert read[-1] == (max(1, most // 64), 64)
    monkeypatch.setattr(
        RewardModel, "_read", lambda *a: read.append((len(a[1]), len(a[1][0]))) or scores(*a)
    )
    model_trial._try_scorer(str(save_tiny_classifier(tmp_path / "one", tiny_model_folder)))
    assert read[-1] == (most // 32, 32)
