"""What ships of a finished run: its adapter at half the size, on a base beside it."""

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.hub import locate
from rlhf_demo.models import export
from rlhf_demo.models.policy import load_policy
from tests.tiny import save_tiny_model


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The folder of an adapter that was trained on a shipped base."""
    for module in (export, locate):
        monkeypatch.setattr(module, "CHECKPOINTS", tmp_path / "checkpoints")
    base = save_tiny_model(tmp_path / "checkpoints" / "tiny")
    policy = load_policy(
        str(base), device=torch.device("cpu"), for_training=True, lora_rank=2, value_head=True
    )
    policy.save(tmp_path / "trained")
    return tmp_path / "trained"


def test_shipped_adapter_is_in_half_and_stands_on_the_base_beside_it(trained):
    (trained.parent / "checkpoints" / "tiny-ppo").mkdir()
    (trained.parent / "checkpoints" / "tiny-ppo" / "README.md").write_text("the card")
    folder = export.ship(str(trained), "tiny-ppo")
    assert folder == trained.parent / "checkpoints" / "tiny-ppo"
    shipped, whole = (load_file(one / "adapter_model.safetensors") for one in (folder, trained))
    assert {tensor.dtype for tensor in shipped.values()} == {torch.float16}
    assert_close(shipped, {name: tensor.half() for name, tensor in whole.items()}, atol=0, rtol=0)
    spec = read_json(folder / "adapter_config.json")
    assert spec["base_model_name_or_path"] == "checkpoints/tiny"
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "config.json",
        "tokenizer.json", "tokenizer_config.json", "value_head.safetensors",
    }  # fmt: skip
    assert (folder / "README.md").read_text() == "the card"  # kept from what stood there before


def test_weights_of_the_base_are_borrowed_and_not_copied(trained):
    base = trained.parent / "checkpoints" / "tiny"
    write_json(
        base / "model.safetensors.index.json",
        {"metadata": {}, "weight_map": {"wte": "part-1.safetensors"}},
    )
    folder = export.ship(str(trained), "tiny-ppo")
    assert read_json(folder / "model.safetensors.index.json")["weight_map"] == {
        "wte": "../tiny/part-1.safetensors"
    }


def test_adapter_with_a_scoring_head_is_told_to_be_a_classifier(trained):
    spec = read_json(trained / "adapter_config.json")
    assert read_json(export.ship(str(trained), "one") / "config.json")["architectures"] == [
        "GPT2LMHeadModel"
    ]
    write_json(trained / "adapter_config.json", spec | {"task_type": "SEQ_CLS"})
    config = read_json(export.ship(str(trained), "two") / "config.json")
    assert config["architectures"] == ["GPT2ForSequenceClassification"]
    assert config["id2label"] == {"0": "score"}


def test_what_is_no_adapter_on_a_shipped_base_is_refused(trained, tiny_model_folder):
    with pytest.raises(CheckpointError, match="holds no adapter on a shipped base"):
        export.ship(str(tiny_model_folder), "whole")
    spec = read_json(trained / "adapter_config.json")
    elsewhere = spec | {"base_model_name_or_path": str(tiny_model_folder)}
    write_json(trained / "adapter_config.json", elsewhere)
    with pytest.raises(CheckpointError, match="holds no adapter on a shipped base"):
        export.ship(str(trained), "elsewhere")
    assert not (trained.parent / "checkpoints" / "elsewhere").exists()
