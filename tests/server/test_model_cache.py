"""The shelf loads each model once, forgets the one longest unused, and notices new weights."""

import os
import threading

import pytest
import torch

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.server import model_cache as module
from rlhf_demo.server.model_cache import Shelf
from tests.tiny import save_tiny_classifier, save_tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def shelf():
    return Shelf(CPU, torch.float32, most=2)


@pytest.fixture
def loads(monkeypatch):
    """The names that were really loaded, in order."""
    names = []

    def counting(original):
        def counted(name, **kwargs):
            names.append(name)
            return original(name, **kwargs)

        return counted

    monkeypatch.setattr(module, "load_policy", counting(module.load_policy))
    monkeypatch.setattr(module, "load_scorer", counting(module.load_scorer))
    return names


def test_model_asked_for_twice_is_loaded_once(shelf, loads, tiny_model_folder):
    policy = shelf.policy(str(tiny_model_folder))
    assert isinstance(policy, Policy)
    assert shelf.policy(str(tiny_model_folder)) is policy
    assert shelf.policy(f"{tiny_model_folder}/.") is policy  # another name for the same folder
    assert loads == [str(tiny_model_folder)]


def test_the_one_longest_unused_makes_room(shelf, loads, tmp_path):
    a, b, c = (str(save_tiny_model(tmp_path / name)) for name in "abc")
    for name in (a, b, a, c, a, b):  # c takes the place of b, so b is loaded again
        shelf.policy(name)
    assert loads == [a, b, c, b]


def test_retrained_folder_is_loaded_anew_in_place_of_the_old(shelf, loads, tmp_path):
    folder, other = save_tiny_model(tmp_path / "a"), save_tiny_model(tmp_path / "b")
    old, kept = shelf.policy(str(folder)), shelf.policy(str(other))
    save_tiny_model(folder, seed=1)
    os.utime(folder / "model.safetensors", ns=(1, 1))  # another time, however coarse the clock
    new = shelf.policy(str(folder))
    assert not torch.equal(
        new.lm.get_output_embeddings().weight, old.lm.get_output_embeddings().weight
    )
    assert shelf.policy(str(other)) is kept  # the old weights take up no second place


def test_adapter_is_loaded_anew_when_its_base_changed(shelf, loads, tmp_path):
    base = save_tiny_model(tmp_path / "base")
    adapter = tmp_path / "adapter"
    load_policy(str(base), device=CPU, for_training=True, lora_rank=2).save(adapter)
    first = shelf.policy(str(adapter))
    assert shelf.policy(str(adapter)) is first
    os.utime(base / "model.safetensors", ns=(1, 1))
    assert shelf.policy(str(adapter)) is not first


def test_callers_at_the_same_time_share_one_load(shelf, loads, tiny_model_folder):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf.policy(str(tiny_model_folder))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4 and len({id(policy) for policy in found}) == 1
    assert len(loads) == 1


def test_kept_model_is_handed_out_while_another_is_loading(shelf, monkeypatch, tmp_path):
    kept, slow = (str(save_tiny_model(tmp_path / name)) for name in ("kept", "slow"))
    policy = shelf.policy(kept)
    loading, may_end = threading.Event(), threading.Event()

    def load(name, **kwargs):
        loading.set()
        assert may_end.wait(30)
        return load_policy(name, **kwargs)

    monkeypatch.setattr(module, "load_policy", load)
    thread = threading.Thread(target=shelf.policy, args=(slow,))
    thread.start()
    assert loading.wait(30)
    assert shelf.policy(kept) is policy
    may_end.set()
    thread.join(30)
    assert not thread.is_alive()


def test_failed_load_keeps_nothing_and_the_next_caller_tries_again(shelf, tmp_path):
    folder = save_tiny_model(tmp_path / "a")
    good = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        shelf.policy(str(folder))
    (folder / "model.safetensors").write_bytes(good)
    assert isinstance(shelf.policy(str(folder)), Policy)


def test_scorer_is_kept_by_name_and_label(shelf, loads, tiny_model_folder, tmp_path):
    folder = str(save_tiny_classifier(tmp_path / "three", tiny_model_folder, labels=3))
    fine, dull = shelf.scorer(folder, "fine"), shelf.scorer(folder, "dull")
    assert isinstance(fine, RewardModel)
    assert (fine.label, dull.label) == (2, 0)
    assert shelf.scorer(folder, "fine") is fine
    assert len(loads) == 2


def test_rule_needs_no_room_and_a_function_is_refused(shelf):
    assert shelf.scorer("longer") is length_scores
    with pytest.raises(ConfigError, match="is a Python function"):
        shelf.scorer("os:system")


def test_model_of_the_wrong_kind_is_refused_by_its_name(shelf, tiny_model_folder):
    with pytest.raises(CheckpointError, match="star-rater scores texts and cannot write any"):
        shelf.policy("star-rater")
    with pytest.raises(CheckpointError, match="has no classification head"):
        shelf.scorer(str(tiny_model_folder))
