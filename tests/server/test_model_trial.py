"""A model of a structure that neither ships nor has passed is tried in a process of its own."""

import os
import shutil
import threading
from pathlib import Path

import psutil
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server import model_trial
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.model_trial import ModelTrials
from tests.fake_jobs import wait_until
from tests.tiny import save_tiny_classifier, save_tiny_model


@pytest.fixture
def trials():
    return ModelTrials(["gpt2"])


@pytest.fixture
def tried(monkeypatch):
    """What was tried in another process, in order."""
    names = []
    monkeypatch.setattr(model_trial, "_try", lambda *what: names.append(what))
    return names


# -- which are tried -------------------------------------------------------------------------------


def adapter_of(base, folder):
    """Save an adapter on a base, as PPO does."""
    policy = load_policy(str(base), device=torch.device("cpu"), for_training=True, lora_rank=4)
    policy.save(folder)
    return str(folder)


def test_shipped_and_trusted_models_are_not_tried(trials, tried, monkeypatch):
    def fetch(name):
        raise AssertionError

    monkeypatch.setattr("rlhf_demo.hub.locate._on_hub", fetch)
    for name in ("gpt2-mini", "gpt2-mini-ppo", str(CHECKPOINTS / "gpt2-mini"), "gpt2"):
        trials.check("policy", name)
    trials.check("scorer", "star-rater")
    assert tried == []


def test_what_was_trained_from_a_shipped_model_is_not_tried_wherever_it_lies(
    trials, tried, tmp_path
):
    first = adapter_of("gpt2-mini", tmp_path / "ppo-abc" / "model")
    trials.check("policy", first)
    shutil.copytree(first, tmp_path / "copied")
    trials.check("policy", str(tmp_path / "copied"))
    assert trials.begin("policy", first) and trials.begin("policy", str(tmp_path / "copied"))
    assert tried == []


def test_model_put_in_the_place_of_one_that_passed_is_tried(trials, tried, tmp_path):
    """Whatever the records of its run say: a run that comes back may hold other models."""
    base = save_tiny_model(tmp_path / "base")
    on_it = adapter_of(base, tmp_path / "adapter")
    trials.check("policy", str(base))
    trials.check("policy", on_it)
    assert len(tried) == 2
    shutil.rmtree(base)
    save_tiny_model(base, positions=128)
    trials.check("policy", str(base))
    trials.check("policy", on_it)  # the base under it is another one
    assert [name for _, name, *_ in tried] == [str(base), on_it] * 2


def test_one_of_many_saved_steps_is_tried_for_all(trials, tried, tmp_path):
    """Or a visitor's run with 40 saved steps would make all others wait for 40 trials."""
    base = save_tiny_model(tmp_path / "base")
    for step in range(1, 4):
        trials.check("policy", adapter_of(base, tmp_path / "steps" / str(step)))
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


def test_model_that_passed_is_tried_again_only_after_its_structure_changed(trials, tried, tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    for _ in range(2):
        trials.check("policy", str(folder))
        os.utime(folder / "config.json", (0, 0))
    assert len(tried) == 1
    trials.check("scorer", str(folder), "fine")  # it would be loaded as something else
    write_json(folder / "config.json", read_json(folder / "config.json") | {"n_head": 1})
    trials.check("policy", str(folder))
    assert [(kind, label) for kind, _, label, _ in tried] == [
        ("policy", None), ("scorer", "fine"), ("policy", None),
    ]  # fmt: skip


def test_model_without_a_structure_is_tried_again_after_its_files_changed(trials, tried, tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    (folder / "tokenizer_config.json").write_text("x" * 10)
    (folder / "config.json").write_text("[]")
    for _ in range(2):
        trials.check("policy", str(folder))
    assert len(tried) == 1
    os.utime(folder / "config.json", (0, 0))
    trials.check("policy", str(folder))
    assert len(tried) == 2


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
    name, other = (str(save_tiny_model(tmp_path / str(size), positions=size)) for size in (32, 64))
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


def test_scorer_is_tried_in_both_ways_of_reading(tmp_path, tiny_model_folder, monkeypatch):
    """The values of the weights decide which; those of the next model of its structure may differ.

    One NaN in a head made the page keep 2 GB of keys and values that the trial had not.
    """
    ways, scores = set(), RewardModel._read
    monkeypatch.setattr(
        RewardModel, "_read", lambda *a: ways.add(a[0].reads_left_to_right) or scores(*a)
    )
    model_trial._try_scorer(str(save_tiny_classifier(tmp_path / "one", tiny_model_folder)))
    assert ways == {True, False}
