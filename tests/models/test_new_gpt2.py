"""A new tokenizer and model are as the shipped ones, and what is saved loads with plain calls."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.new_gpt2 import load_or_make, new_tokenizer, save_model
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS

SHIPPED = CHECKPOINTS / "gpt2-mini"


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer(["The film was good.", "The film was not good, it was the end."])


def test_new_tokenizer_is_laid_out_as_the_shipped_one(tokenizer):
    shipped = json.loads((SHIPPED / "tokenizer.json").read_text())
    ours = json.loads(tokenizer.backend_tokenizer.to_str())
    for part in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"):
        assert ours[part] == shipped[part], part
    # The 257 first tokens: the edge and the 256 bytes, byte 0 renamed.
    first = dict(sorted(shipped["model"]["vocab"].items(), key=lambda item: item[1])[:257])
    assert {token: ours["model"]["vocab"][token] for token in first} == first


def test_new_tokenizer_puts_the_edge_in_front_and_gives_back_the_text(tokenizer):
    text = "The film was zany!"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id == tokenizer.eos_token_id == 0
    assert tokenizer.pad_token_id == 189
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_new_model_has_the_size_of_the_shipped_one():
    model, tokenizer = load_or_make("new", [["The film was good."]])
    shipped = GPT2Config.from_pretrained(SHIPPED).to_dict()
    ours = model.config.to_dict()
    different = {key for key in shipped if ours.get(key) != shipped[key]}
    # A few words give fewer tokens; the other two are written when a model is saved.
    assert different <= {"vocab_size", "dtype", "architectures"}
    assert ours["vocab_size"] == len(tokenizer)


def test_save_model_loads_plainly_in_float32_from_small_shards(tmp_path):
    tokenizer = load_tokenizer(SHIPPED)
    config = GPT2Config(n_layer=1, n_head=4, n_embd=768, n_positions=64, vocab_size=len(tokenizer))
    model = GPT2LMHeadModel(config).eval()
    save_model(model, tokenizer, tmp_path)
    shards = list(tmp_path.glob("*.safetensors"))
    for shard in shards:
        with safe_open(shard, "pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}
            # One tensor may be larger than a shard; here the embedding is.
            assert shard.stat().st_size < 9_000_000 or len(list(file.keys())) == 1
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float32
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].half().float()), name
    assert model.dtype == torch.float32  # the model itself is left as it was
    assert AutoTokenizer.from_pretrained(tmp_path)("A film")["input_ids"][0] == 0
    ours, shipped = (read_json(folder / "tokenizer_config.json") for folder in (tmp_path, SHIPPED))
    assert ours == shipped


def test_load_or_make_of_a_folder_without_a_language_model_says_so(tmp_path):
    load_tokenizer(SHIPPED).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_or_make(str(tmp_path), [])


def test_load_or_make_makes_no_weights_up(tmp_path):
    tokenizer = load_tokenizer(SHIPPED)
    config = GPT2Config(n_layer=1, n_head=1, n_embd=8, n_positions=8, vocab_size=len(tokenizer))
    save_model(GPT2LMHeadModel(config), tokenizer, tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"n_layer": 2})
    with pytest.raises(CheckpointError, match=r"its files lack transformer\.h\.1"):
        load_or_make(str(tmp_path), [])


def test_load_or_make_of_an_adapter_says_so(tmp_path):
    text = f'{{"base_model_name_or_path": "{SHIPPED}"}}'
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(CheckpointError, match="is an adapter"):
        load_or_make(str(tmp_path), [])
