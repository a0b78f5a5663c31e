"""Two models share a structure only if both take the same memory and time."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.hub.locate import ADAPTER, ADAPTER_WEIGHTS
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import new_reward_model
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server import model_structure
from rlhf_demo.server.model_structure import MOST_MODEL_FILES, stamp, structure
from tests.tiny import save_tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A folder with an adapter on the shipped base, of rank 4, as PPO saves it."""
    folder = tmp_path_factory.mktemp("adapter")
    load_policy("gpt2-mini", device=CPU, for_training=True, lora_rank=4, value_head=True).save(
        folder
    )
    return folder


@pytest.fixture
def changed(adapter, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(adapter, tmp_path / "changed")
    return tmp_path / "changed"


def test_a_training_of_any_rank_keeps_the_structure(adapter, changed):
    """The shipped PPO model has rank 16, in bfloat16."""
    assert structure(adapter) == structure(CHECKPOINTS / "gpt2-mini-ppo")
    (changed / "value_head.safetensors").unlink()  # DPO has none
    assert structure(changed) == structure(adapter)


def test_all_weights_trained_keep_the_structure_too(tmp_path):
    policy = load_policy("gpt2-mini", device=CPU, for_training=True)
    policy.save(tmp_path)
    assert structure(tmp_path) == structure(CHECKPOINTS / "gpt2-mini")
    assert structure(tmp_path) != structure(CHECKPOINTS / "gpt2-mini-ppo")


def test_reward_models_have_the_structure_of_the_shipped_one(tmp_path):
    model, tokenizer = new_reward_model("gpt2-mini", lora_rank=8, device=CPU)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert structure(tmp_path) == structure(CHECKPOINTS / "reward-mini")


def tokenizer_of_another(folder):
    spec = read_json(folder / "tokenizer.json")
    write_json(folder / "tokenizer.json", spec | {"normalizer": {"type": "NFC"}})


def larger_matrix(folder):
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name] = torch.zeros(4096, 4)
    save_file(tensors, folder / ADAPTER_WEIGHTS)


def other_numbers(folder):
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: one.double() for name, one in tensors.items()}, folder / ADAPTER_WEIGHTS)


def one_more(folder):
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    save_file(tensors | {"more": torch.zeros(3)}, folder / ADAPTER_WEIGHTS)


def configured(**changes):
    def change(folder):
        write_json(folder / ADAPTER, read_json(folder / ADAPTER) | changes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        tokenizer_of_another, larger_matrix, other_numbers, one_more,
        configured(r=5), configured(use_rslora=True),
        configured(peft_version="_implementation" * 500), configured(lora_dropout=[0.0]),
        configured(target_modules=["c_attn"]),
        lambda folder: (folder / "vocab.json").write_text("{}"),
        lambda folder: (folder / "chat_template.jinja").write_text("{{ x }}"),
        lambda folder: (folder / "value_head.safetensors").write_bytes(bytes(2**16 + 1)),
    ],
)  # fmt: skip
def test_whatever_may_cost_changes_the_structure(adapter, changed, change):
    change(changed)
    assert structure(changed) != structure(adapter)


@pytest.mark.parametrize(
    "change",
    [
        configured(lora_alpha=64, peft_version="0.1"),
        configured(target_modules=["c_fc", "c_proj", "c_attn"]),
        lambda folder: (folder / "README.md").write_text("x"),
    ],
)
def test_what_costs_nothing_does_not(adapter, changed, change):
    change(changed)
    assert structure(changed) == structure(adapter)


def test_base_under_an_adapter_counts(tmp_path):
    base = save_tiny_model(tmp_path / "base")
    load_policy(str(base), device=CPU, for_training=True, lora_rank=4).save(tmp_path / "adapter")
    before = structure(tmp_path / "adapter")
    shutil.rmtree(base)
    save_tiny_model(base, positions=32)
    assert structure(tmp_path / "adapter") != before
    shutil.rmtree(base)
    with pytest.raises(CheckpointError):
        structure(tmp_path / "adapter")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / ADAPTER_WEIGHTS).unlink(),
        lambda folder: (folder / ADAPTER_WEIGHTS).write_bytes(b"\xff" * 7 + b"\0" + b"{"),
        configured(target_modules="c_.*"),
        configured(target_modules=[1, "c_attn"]),
    ],
)
def test_damaged_or_odd_files_have_none(changed, change):
    change(changed)
    assert structure(changed) is None


def test_files_too_large_to_be_looked_at_have_none(changed, monkeypatch):
    monkeypatch.setattr(model_structure, "MOST_HEADER", 100)
    assert structure(changed) is None
    monkeypatch.undo()
    monkeypatch.setattr(model_structure, "MOST_TEXT", 100)
    assert structure(changed) is None


def test_tensors_named_in_many_files_are_counted_together(tmp_path, monkeypatch):
    """90 files, each just small enough, took 12 s and 600 MB of the page."""
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for number in range(1, 4):
        tensor = {f"part {number}": torch.zeros(1)}
        save_file(tensor, tmp_path / f"model-0000{number}-of-00003.safetensors")
    header = (tmp_path / "model-00001-of-00003.safetensors").stat().st_size - 8 - 4
    monkeypatch.setattr(model_structure, "MOST_HEADER", 3 * header)
    assert structure(tmp_path)
    monkeypatch.setattr(model_structure, "MOST_HEADER", 3 * header - 1)
    assert structure(tmp_path) is None
    monkeypatch.setattr("rlhf_demo.hub.locate.MOST_PARTS", 2)
    with pytest.raises(CheckpointError, match="holds more than 2 files of weights: choose another"):
        structure(tmp_path)


def test_rank_counts_once_an_adapter_is_large(tmp_path, monkeypatch):
    """A small one was tried, and one of rank 512 with 713 MB then loaded in the page."""
    base = save_tiny_model(tmp_path / "base")
    for rank in (2, 4):
        load_policy(str(base), device=CPU, for_training=True, lora_rank=rank).save(
            tmp_path / str(rank)
        )
    small, large = tmp_path / "2", tmp_path / "4"
    assert structure(small) == structure(large)
    sizes = [
        sum(one.numel() for one in load_file(each / ADAPTER_WEIGHTS).values())
        for each in (small, large)
    ]
    monkeypatch.setattr(model_structure, "ANY_RANK", sizes[0])
    assert structure(small) != structure(large)
    monkeypatch.setattr(model_structure, "ANY_RANK", sizes[1])
    assert structure(small) == structure(large)


def test_folder_of_very_many_files_is_no_model(tmp_path):
    """With 300,000 empty files beside it, each use of a model took ten seconds."""
    folder = tmp_path / "run" / "model"
    shutil.copytree(CHECKPOINTS / "gpt2-mini-ppo", folder)
    for number in range(MOST_MODEL_FILES):
        (folder / str(number)).touch()
    with pytest.raises(CheckpointError, match=r"run/model holds more than 1,000 files: choose"):
        stamp(folder)
