"""Configurations that ask for other files, for code, or for very much: refused in one sentence."""

import json

import pytest
import torch
from transformers import CONFIG_MAPPING

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models.network_config import KNOWN_TYPES
from rlhf_demo.models.policy import load_policy
from tests.unpadded import copy_of

CPU = torch.device("cpu")


def one_sentence(error):
    return len(str(error.value).splitlines()) == 1


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_only_config_json_itself_is_read(tiny_model_folder, tmp_path):
    """transformers reads the file that it names here, which could name pickled weights."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", configuration_files=["config.4.0.0.json"])
    other = json.loads((given / "config.json").read_text()) | {"transformers_weights": "a.bin"}
    (given / "config.4.0.0.json").write_text(json.dumps(other | {"layer_norm_epsilon": 0.5}))
    policy = load_policy(str(given), device=CPU)
    assert policy.lm.config.layer_norm_epsilon == 1e-5


@pytest.mark.parametrize(
    "kind", ["efficientloftr", "mamba2", "t5", "no-such-type", None, ["gpt2"], 5]
)
def test_type_of_no_text_model_is_refused_before_its_configuration_is_made(
    tiny_model_folder, tmp_path, monkeypatch, kind
):
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", model_type=kind)
    monkeypatch.setattr("transformers.AutoConfig.for_model", None)
    with pytest.raises(CheckpointError, match="given cannot be loaded") as error:
        load_policy(str(given), device=CPU)
    assert one_sentence(error)


def test_value_of_a_wrong_type_in_a_configuration_is_one_sentence(tiny_model_folder, tmp_path):
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", n_layer="two", n_embd=[1])
    with pytest.raises(CheckpointError, match="given cannot be loaded") as error:
        load_policy(str(given), device=CPU)
    assert one_sentence(error)


@pytest.mark.parametrize(
    "changes",
    [{"transformers_weights": "a/other.bin"}, {"attn_implementation": "a/kernel"},
     {"attn_implementation": {"": "a/kernel"}}, {"text_config": {"experts_implementation": "a/b"}},
     {"quantization_config": {"quant_method": "x"}}, {"fusion_config": {"patch_embeddings": True}}],
)  # fmt: skip
def test_configuration_that_names_other_parts_is_refused(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", **changes)
    monkeypatch.setattr("transformers.AutoConfig.for_model", None)
    with pytest.raises(CheckpointError, match="its configuration names other weights or code"):
        load_policy(str(given), device=CPU)


@pytest.mark.parametrize(
    "nested",
    [{"text_config": {"model_type": "gpt_neo", "attention_types": [[["global"] * 10, 60]]}},
     {"other": [{"model_type": "detr", "backbone": "evil/x"}]}],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["gpt2", "fuyu"])
def test_configuration_inside_a_configuration_is_refused_unmade(
    tiny_model_folder, tmp_path, monkeypatch, kind, nested
):
    """Of any type, it could make long lists, or fetch a file from the Hub."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", model_type=kind, **nested)
    monkeypatch.setattr("transformers.AutoConfig.for_model", None)
    with pytest.raises(CheckpointError, match="given cannot be loaded") as error:
        load_policy(str(given), device=CPU)
    assert one_sentence(error) and "holds another" in str(error.value)


def test_every_known_type_is_one_of_transformers_own():
    for kind in KNOWN_TYPES:
        assert kind in CONFIG_MAPPING, kind


@pytest.mark.parametrize(
    "changes",
    [{"num_labels": 10**9}, {"model_type": "qwen2", "num_hidden_layers": 10**9},
     {"model_type": "llama", "num_hidden_layers": 10**9},
     {"model_type": "gpt_neo", "attention_types": [[["global", "local"], 5000]]},
     {"model_type": "gpt_neo", "attention_types": [[["a"], 10**8], [["a"], -(10**8)]]}],
)  # fmt: skip
def test_configuration_that_would_list_a_thousand_million_things_is_not_made(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    long = copy_of(tiny_model_folder, tmp_path / "long")
    change(long / "config.json", **changes)
    monkeypatch.setattr("transformers.AutoConfig.for_model", None)
    with pytest.raises(CheckpointError, match=r"long cannot be loaded .*too many layers or labels"):
        load_policy(str(long), device=CPU)
