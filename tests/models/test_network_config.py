"""Configurations that ask for other files, for code, or for very much: refused in one sentence."""

import json
import time

import pytest
import torch
from transformers import CONFIG_MAPPING

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models.network_config import KNOWN_TYPES, network_config
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


def test_configuration_of_many_words_is_looked_at_in_time(tiny_model_folder, tmp_path):
    """Nobody was answered for 87 seconds: the search for a key began anew at each word."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", _name_or_path="_implementation" * 40_000)
    start = time.process_time()
    load_policy(str(given), device=CPU)
    assert time.process_time() - start < 5.0  # 0.2 s; minutes before


@pytest.mark.parametrize(
    "changes",
    [{"transformers_weights": "a/other.bin"}, {"attn_implementation": "a/kernel"},
     {"attn_implementation": {"": "a/kernel"}}, {"text_config": {"experts_implementation": "a/b"}},
     {"attribute_map": {"num_attention_heads": "tame"}, "tame": 4},
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


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "albert", "num_hidden_groups": 10_000}, {"model_type": "bert", "chunks": 10**9},
     {"rope_parameters": {"partial_rotary_factor": 4e6}}, {"rotary_pct": 1.1},
     {"rope_parameters": {"factor": 1e5}}, {"rope_parameters": {"steps": [1, 10_000]}},
     {"any": -10_000}],
)  # fmt: skip
def test_large_number_that_makes_no_weight_is_refused_unmade(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    """900,000 groups of ALBERT, which hold no tensor, took 4.6 GB and were kept."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", **changes)
    monkeypatch.setattr("transformers.AutoConfig.for_model", None)
    with pytest.raises(CheckpointError, match="its configuration asks for too much"):
        load_policy(str(given), device=CPU)


@pytest.mark.parametrize(
    "changes",
    [{"n_head": 512, "n_embd": 512}, {"vocab_size": 300_001}, {"n_inner": 64 * 32 + 1},
     {"model_type": "qwen3", "num_attention_heads": 257, "num_key_value_heads": 1},
     {"model_type": "opt", "ffn_dim": 10**6, "hidden_size": 64},
     {"model_type": "qwen3", "hidden_size": 2, "num_attention_heads": 64, "head_dim": 3},
     {"model_type": "qwen3", "hidden_size": 65_537}, {"n_embd": 65_540},
     {"model_type": "deberta-v2", "hidden_size": 2, "attention_head_size": 9998},
     {"model_type": "deberta-v2", "max_relative_positions": 513},
     {"model_type": "deberta-v2", "max_position_embeddings": 513},
     {"model_type": "deberta-v2", "max_relative_positions": 9, "position_buckets": 513}],
)  # fmt: skip
def test_network_that_computes_far_more_than_its_weights_is_refused(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    """100,000 heads of 2 numbers each are 1.6 MB of weights; a text of 400 letters took 8 GB."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", **changes)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_config", None)
    with pytest.raises(CheckpointError, match="its configuration asks for too wide a network"):
        load_policy(str(given), device=CPU)


def test_network_keeps_no_attention_of_all_layers(tiny_model_folder, tmp_path):
    given = copy_of(tiny_model_folder, tmp_path / "given")
    change(given / "config.json", output_attentions=True, output_hidden_states=True)
    policy = load_policy(str(given), device=CPU)
    seen = policy.lm(input_ids=torch.tensor([[1, 2, 3]]))
    assert seen.attentions is None and seen.hidden_states is None


REAL = {
    "gpt2": {"n_positions": 1024, "vocab_size": 50257, "bos_token_id": 50256},
    "llama": {"hidden_size": 16384, "intermediate_size": 53248, "num_attention_heads": 128,
              "max_position_embeddings": 131072, "vocab_size": 128256, "rope_theta": 500000,
              "eos_token_id": [128001, 128008]},
    "qwen3": {"hidden_size": 5120, "intermediate_size": 25600, "num_attention_heads": 64,
              "max_position_embeddings": 40960, "vocab_size": 151936, "rope_theta": 1000000,
              "sliding_window": 32768},
    "gemma": {"hidden_size": 3072, "intermediate_size": 24576, "vocab_size": 256000,
              "head_dim": 256, "num_attention_heads": 16},
    "stablelm": {"partial_rotary_factor": 0.25}, "gpt_neox": {"rotary_pct": 0.25},
    "phi": {"partial_rotary_factor": 0.5, "layer_norm_eps": 1e-5},
    "deberta-v2": {"vocab_size": 128100, "hidden_size": 1536, "intermediate_size": 6144,
                   "max_relative_positions": -1, "position_buckets": 256},
    "distilbert": {"vocab_size": 30522, "dim": 768, "hidden_dim": 3072},
}  # fmt: skip


@pytest.mark.parametrize("kind", REAL)
def test_sizes_of_well_known_models_are_accepted(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind} | REAL[kind]))
    config = network_config(tmp_path, None)
    assert config.model_type == kind
    for name in {"vocab_size", "layer_norm_eps"} & REAL[kind].keys():
        assert getattr(config, name) == REAL[kind][name]


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
    with pytest.raises(CheckpointError, match=r"long cannot be loaded .*asks for too much"):
        load_policy(str(long), device=CPU)
