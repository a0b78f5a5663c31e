"""Each model is loaded once, the one longest unused is forgotten, new weights are noticed."""

import os
import platform
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.models import policy as policies
from rlhf_demo.models import scorers
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.model_cache import ModelCache
from tests.tiny import save_tiny_classifier, save_tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def model_cache():
    return ModelCache("cpu", most=2)


@pytest.fixture
def loads(monkeypatch):
    """The names that were really loaded, in order."""
    names = []

    def counting(original):
        def counted(name, **kwargs):
            names.append(name)
            return original(name, **kwargs)

        return counted

    monkeypatch.setattr(policies, "load_policy", counting(policies.load_policy))
    monkeypatch.setattr(scorers, "load_scorer", counting(scorers.load_scorer))
    return names


def test_model_asked_for_twice_is_loaded_once(model_cache, loads, tiny_model_folder):
    policy = model_cache.policy(str(tiny_model_folder))
    assert isinstance(policy, Policy)
    assert model_cache.policy(str(tiny_model_folder)) is policy
    assert (
        model_cache.policy(f"{tiny_model_folder}/.") is policy
    )  # another name for the same folder
    assert loads == [str(tiny_model_folder)]


def test_the_one_longest_unused_makes_room(model_cache, loads, tmp_path):
    a, b, c = (str(save_tiny_model(tmp_path / name)) for name in "abc")
    for name in (a, b, a, c, a, b):  # c takes the place of b, so b is loaded again
        model_cache.policy(name)
    assert loads == [a, b, c, b]


def test_model_of_a_class_makes_no_room_for_a_visitors(loads, tmp_path):
    """One who compared saved steps had a class's models loaded again for each batch of pairs."""
    model_cache = ModelCache("cpu", most=3)
    a, b, c, d, e = (str(save_tiny_model(tmp_path / name)) for name in "abcde")
    for name in (a, b):
        model_cache.policy(name, for_class=True)
    for name in (c, d, e, a, b):
        model_cache.policy(name)
    assert loads == [a, b, c, d, e]
    for name in (c, d, e):  # classes use other models now
        model_cache.policy(name, for_class=True)
    loads.clear()
    for name in (a, c, d, e):
        model_cache.policy(name)
    assert loads == [a]


def test_retrained_folder_is_loaded_anew_in_place_of_the_old(model_cache, loads, tmp_path):
    folder, other = save_tiny_model(tmp_path / "a"), save_tiny_model(tmp_path / "b")
    old, kept = model_cache.policy(str(folder)), model_cache.policy(str(other))
    save_tiny_model(folder, seed=1)
    os.utime(folder / "model.safetensors", ns=(1, 1))  # another time, however coarse the clock
    new = model_cache.policy(str(folder))
    assert not torch.equal(
        new.lm.get_output_embeddings().weight, old.lm.get_output_embeddings().weight
    )
    assert model_cache.policy(str(other)) is kept  # the old weights take up no second place


def test_adapter_is_loaded_anew_when_its_base_changed(model_cache, loads, tmp_path):
    base = save_tiny_model(tmp_path / "base")
    adapter = tmp_path / "adapter"
    load_policy(str(base), device=CPU, for_training=True, lora_rank=2).save(adapter)
    first = model_cache.policy(str(adapter))
    assert model_cache.policy(str(adapter)) is first
    os.utime(base / "model.safetensors", ns=(1, 1))
    assert model_cache.policy(str(adapter)) is not first


def test_model_that_comes_with_the_times_of_another_is_loaded_anew(model_cache, loads, tmp_path):
    """As an archive brings it: names, sizes and times of modification are those of before."""
    folder = save_tiny_model(tmp_path / "a")
    before = {path: path.stat() for path in folder.iterdir()}
    first = model_cache.policy(str(folder))
    time.sleep(0.01)
    save_tiny_model(folder, seed=1)
    for path, status in before.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert model_cache.policy(str(folder)) is not first


def test_callers_at_the_same_time_share_one_load(model_cache, loads, tiny_model_folder):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(model_cache.policy(str(tiny_model_folder))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4 and len({id(policy) for policy in found}) == 1
    assert len(loads) == 1


def test_kept_model_is_handed_out_while_another_is_loading(model_cache, monkeypatch, tmp_path):
    kept, slow = (str(save_tiny_model(tmp_path / name)) for name in ("kept", "slow"))
    policy = model_cache.policy(kept)
    loading, may_end = threading.Event(), threading.Event()

    def load(name, **kwargs):
        loading.set()
        assert may_end.wait(30)
        return load_policy(name, **kwargs)

    monkeypatch.setattr(policies, "load_policy", load)
    thread = threading.Thread(target=model_cache.policy, args=(slow,))
    thread.start()
    assert loading.wait(30)
    assert model_cache.policy(kept) is policy
    may_end.set()
    thread.join(30)
    assert not thread.is_alive()


def test_failed_load_keeps_nothing_and_the_next_caller_tries_again(model_cache, tmp_path):
    folder = save_tiny_model(tmp_path / "a")
    good = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        model_cache.policy(str(folder))
    (folder / "model.safetensors").write_bytes(good)
    assert isinstance(model_cache.policy(str(folder)), Policy)


def test_scorer_is_kept_by_name_and_label(model_cache, loads, tiny_model_folder, tmp_path):
    folder = str(save_tiny_classifier(tmp_path / "three", tiny_model_folder, labels=3))
    fine, dull = model_cache.scorer(folder, "fine"), model_cache.scorer(folder, "dull")
    assert isinstance(fine, RewardModel)
    assert (fine.label, dull.label) == (2, 0)
    assert model_cache.scorer(folder, "fine") is fine
    assert len(loads) == 2


def test_rule_needs_no_room_and_a_function_is_refused(model_cache):
    assert model_cache.scorer("longer") is length_scores
    with pytest.raises(ConfigError, match="is a Python function"):
        model_cache.scorer("os:system")


def test_model_of_the_wrong_kind_is_refused_by_its_name(model_cache, tiny_model_folder):
    with pytest.raises(CheckpointError, match="star-rater scores texts and cannot write them"):
        model_cache.policy("star-rater")
    with pytest.raises(CheckpointError, match="has no classification head"):
        model_cache.scorer(str(tiny_model_folder))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps no pieces")
def test_memory_that_a_load_freed_goes_back_to_the_system(
    model_cache, monkeypatch, tiny_model_folder
):
    """A page that loaded a model for each new run grew by 20% in half an hour."""
    held = []

    def heavy(name, **_):
        pieces = [bytearray(b"x") * 100_000 for _ in range(1000)]
        held.append(pieces[-1])  # above the freed ones, so that they stay
        return load_policy(name, device=CPU)

    monkeypatch.setattr(policies, "load_policy", heavy)
    memory = psutil.Process().memory_info
    before = memory().rss
    model_cache.policy(str(tiny_model_folder))
    assert memory().rss - before < 50_000_000


def test_page_is_built_before_any_library_of_the_models():
    """Else it would answer seconds later; a thread imports them behind it (`warm`)."""
    code = (
        "import sys\nimport rlhf_demo.ui.app\n"
        "found = {'torch', 'transformers', 'peft', 'trl', 'datasets'} & set(sys.modules)\n"
        "assert not found, found"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-500:]


def test_cache_is_ready_once_the_libraries_are_there():
    models = ModelCache()
    assert not models.ready and not models.on_gpu
    models.warm()
    assert models.ready and models.device.type == "cpu" and torch.get_num_threads() == 1


def test_what_the_libraries_imported_is_left_out_of_collections():
    """A request that makes many lists sets off full collections; they took 64 ms each."""
    code = (
        "import gc\nfrom rlhf_demo.server.model_cache import ModelCache\nModelCache().warm()\n"
        "assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-500:]
