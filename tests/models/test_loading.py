"""What is loaded from a folder: pad tokens, and refusals in one sentence for what does not load."""
# ruff: noqa: F811  (a fixture is imported, and named again where it is used)

import json
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models import loading
from rlhf_demo.models.loading import BYTE_0, PAD, load_tokenizer
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from rlhf_demo.paths import CHECKPOINTS
from tests.tiny import save_tiny_classifier
from tests.unpadded import TEXTS, copy_of, unpadded_tokenizer_folder  # noqa: F401  (one is a fixture)

CPU = torch.device("cpu")
TRUE_GPT2 = CHECKPOINTS.parent.parent / "shared" / "gpt2-tokenizer"


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory, tiny_model_folder):
    return save_tiny_classifier(tmp_path_factory.mktemp("classifiers") / "one", tiny_model_folder)


# -- tokenizers ------------------------------------------------------------------------------------


def test_tokenizer_without_pad_gives_the_job_to_byte_zero_and_keeps_all_ids(
    unpadded_tokenizer_folder,
):
    plain = AutoTokenizer.from_pretrained(unpadded_tokenizer_folder)
    ours = load_tokenizer(unpadded_tokenizer_folder)
    assert plain.pad_token_id is None
    assert ours.pad_token == PAD
    assert ours.pad_token_id == plain.get_vocab()[BYTE_0]
    assert ours.pad_token_id != ours.eos_token_id
    assert len(ours) == len(plain)
    renamed = {
        PAD if token == BYTE_0 else token: index for token, index in plain.get_vocab().items()
    }
    assert ours.get_vocab() == renamed
    for text in [*TEXTS, "naïve “quotes” — 日本語 😀\n\t"]:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]
        assert ours.decode(ours(text)["input_ids"]) == text


def test_renamed_pad_is_skipped_in_texts_and_survives_saving(unpadded_tokenizer_folder, tmp_path):
    ours = load_tokenizer(unpadded_tokenizer_folder)
    ids = ours("Good.")["input_ids"]
    assert (
        ours.decode([ours.pad_token_id, *ids, ours.pad_token_id], skip_special_tokens=True)
        == "Good."
    )
    ours.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.pad_token_id, again.eos_token_id) == (ours.pad_token_id, ours.eos_token_id)
    assert again.get_vocab() == ours.get_vocab()


def test_eos_as_pad_does_not_count(unpadded_tokenizer_folder, tmp_path):
    plain = AutoTokenizer.from_pretrained(unpadded_tokenizer_folder)
    plain.pad_token = plain.eos_token
    plain.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == PAD


def test_shipped_tokenizer_has_a_pad_of_its_own():
    tokenizer = load_tokenizer(CHECKPOINTS / "gpt2-mini")
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert (
        tokenizer.get_vocab()
        == AutoTokenizer.from_pretrained(CHECKPOINTS / "gpt2-mini").get_vocab()
    )


@pytest.mark.skipif(
    not TRUE_GPT2.is_dir(), reason="the true GPT-2 tokenizer is not on this machine"
)
def test_true_gpt2_tokenizer_keeps_its_size_and_ids():
    plain, ours = AutoTokenizer.from_pretrained(TRUE_GPT2), load_tokenizer(TRUE_GPT2)
    assert len(ours) == len(plain) == 50257
    assert ours.pad_token_id == 188  # where GPT-2 keeps byte 0
    for text in TEXTS:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]


def test_tokenizer_without_any_token_for_padding_is_refused(tmp_path):
    words = Tokenizer(models.WordLevel({"good": 0, "end": 1}, unk_token=None))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="end").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no token that can serve as padding"):
        load_tokenizer(tmp_path)


def test_tokenizer_that_names_another_file_for_itself_is_refused(tmp_path):
    """transformers would load that one; only tokenizer.json is looked at."""
    odd = copy_of(CHECKPOINTS / "gpt2-mini", tmp_path / "odd")
    change(odd / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(CheckpointError, match="names other files"):
        load_tokenizer(odd)


@pytest.mark.parametrize(
    "odd_number",
    [{"extra_ids": 1_000_001}, {"a": [{"offset": 1e9}]}, {"num_madeup_words": -(10**9)}],
)
def test_tokenizer_with_a_huge_number_is_refused_before_it_is_made(
    tmp_path, monkeypatch, odd_number
):
    """T5Tokenizer would make as many tokens as `extra_ids` says: 40 million took 3.4 GB."""
    odd = copy_of(CHECKPOINTS / "gpt2-mini", tmp_path / "odd")
    change(odd / "tokenizer_config.json", model_max_length=10**30, **odd_number)
    monkeypatch.setattr(loading, "AutoTokenizer", None)
    with pytest.raises(CheckpointError, match="has a number above 1,000,000 as"):
        load_tokenizer(odd)


@pytest.mark.parametrize(
    "name, spec, sentence",
    [
        ("special_tokens_map.json", {"tokenizer_file": "other.json"}, "names other files"),
        ("special_tokens_map.json", {"extra_ids": 30_000_000}, "has a number above"),
        ("tokenizer_config.json", {"tokenizer_class": "MyT5Tokenizer"}, "names other files"),
        (
            "config.json",
            {"model_type": "gpt2", "num_labels": 2_000_000},
            "too many layers or labels",
        ),
        ("config.json", {"model_type": "qwen3", "num_hidden_layers": 10**8}, "too many layers"),
        ("added_tokens.json", {"a": "b" * 2**22}, "is larger than 4,194,304 bytes"),
        ("added_tokens.json", [], "holds no configuration"),
    ],
)
def test_other_files_that_transformers_reads_are_checked_before_it_does(
    tmp_path, monkeypatch, name, spec, sentence
):
    odd = copy_of(CHECKPOINTS / "gpt2-mini", tmp_path / "odd")
    (odd / name).write_text(json.dumps(spec, separators=(",", ":")))
    monkeypatch.setattr(loading, "AutoTokenizer", None)
    with pytest.raises(CheckpointError, match=sentence):
        load_tokenizer(odd)


def test_tokenizer_that_makes_many_tokens_of_one_letter_is_refused():
    class Odd:
        def __call__(self, text, **how):
            return {"input_ids": [0] * (1000 if text == "h" else len(text))}

    with pytest.raises(ValueError, match="makes more than 144 tokens of the letter h"):
        loading._try(Odd())


def test_tokenizer_with_a_very_long_token_is_refused(tmp_path):
    """A text of such tokens, each prefix of which is kept, would fill the memory."""
    odd = copy_of(CHECKPOINTS / "gpt2-mini", tmp_path / "odd")
    spec = json.loads((odd / "tokenizer.json").read_text())
    spec["added_tokens"].append(spec["added_tokens"][0] | {"id": 9000, "content": "a" * 1001})
    (odd / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match="a token has 1,001 letters"):
        load_tokenizer(odd)


def test_tokenizer_that_makes_a_short_text_long_is_refused_before_a_longer_one(monkeypatch):
    asked = []

    class Long:
        def __call__(self, text, **how):
            asked.append((len(text), how.get("add_special_tokens", True)))
            return {"input_ids": [0] * 10 * len(text)}

    with pytest.raises(ValueError, match="16 characters long into 160 tokens"):
        loading._try(Long())
    assert asked == [(16, True)]


# -- what cannot be loaded -------------------------------------------------------------------------


def one_sentence(error):
    return len(str(error.value).splitlines()) == 1


def test_truncated_weights_are_named_in_one_sentence(tiny_model_folder, tmp_path):
    broken = copy_of(tiny_model_folder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="broken cannot be loaded") as error:
        load_policy(str(broken), device=CPU)
    assert one_sentence(error)


def test_weights_of_other_sizes_are_named_in_one_sentence(tiny_model_folder, tmp_path):
    broken = copy_of(tiny_model_folder, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"n_embd": 48}))
    with pytest.raises(CheckpointError, match="broken cannot be loaded") as error:
        load_policy(str(broken), device=CPU)
    assert one_sentence(error)


def test_config_that_is_no_json_is_named_in_one_sentence(
    tiny_model_folder, classifier_folder, tmp_path
):
    for number, (folder, load) in enumerate(
        [(tiny_model_folder, load_policy), (classifier_folder, load_reward_model)]
    ):
        broken = copy_of(folder, tmp_path / f"broken{number}")
        (broken / "config.json").write_text('{"model_type": ')
        with pytest.raises(CheckpointError, match="broken") as error:
            load(str(broken), device=CPU)
        assert one_sentence(error)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "value_head.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_damaged_adapter_or_value_head_is_named_in_one_sentence(
    tiny_model_folder, tmp_path, file, content
):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / file).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be loaded") as error:
        load_policy(str(tmp_path / "model"), device=CPU)
    assert one_sentence(error)


def test_adapter_without_weights_is_named_in_one_sentence(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded") as error:
        load_policy(str(tmp_path / "model"), device=CPU)
    assert one_sentence(error)


def test_missing_tokenizer_is_named_in_one_sentence(tiny_model_folder, tmp_path):
    left_out = (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
    )
    bare = copy_of(tiny_model_folder, tmp_path / "bare", leave_out=left_out)
    with pytest.raises(CheckpointError, match="bare holds no usable tokenizer") as error:
        load_policy(str(bare), device=CPU)
    assert one_sentence(error)


@pytest.mark.parametrize("load", [load_policy, load_reward_model])
def test_pickled_weights_are_never_loaded(tiny_model_folder, classifier_folder, tmp_path, load):
    whole = tiny_model_folder if load is load_policy else classifier_folder
    pickled = copy_of(whole, tmp_path / "pickled", leave_out=("model.safetensors",))
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled cannot be loaded.*safetensors") as error:
        load(str(pickled), device=CPU)
    assert one_sentence(error)


def test_pickled_adapter_is_never_loaded(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "adapter_model.safetensors").unlink()
    torch.save({}, tmp_path / "model" / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"cannot be loaded.*safetensors"):
        load_policy(str(tmp_path / "model"), device=CPU)


def test_reward_adapter_is_no_policy(tiny_model_folder, tmp_path):
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=4, device=CPU)
    model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    with pytest.raises(CheckpointError, match=r"scores texts and cannot write"):
        load_policy(str(tmp_path / "reward"), device=CPU)


def test_classifier_is_no_policy(classifier_folder):
    with pytest.raises(CheckpointError, match=r"scores texts and cannot write"):
        load_policy(str(classifier_folder), device=CPU)


def test_policy_adapter_is_no_reward_model(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="has no classification head"):
        load_reward_model(str(tmp_path / "model"), device=CPU)


# -- what strangers send ---------------------------------------------------------------------------


@pytest.fixture
def adapter_folder(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    return tmp_path / "model"


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [{"target_modules": "([a-z0-9._]+)+!"}, {"exclude_modules": "([a-z0-9._]+)+!"},
     {"rank_pattern": {"([a-z0-9._]+)+!": 4}}, {"alpha_pattern": {"([a-z0-9._]+)+!": 4}},
     {"layers_pattern": "([a-z0-9._]+)+!", "layers_to_transform": [0]},
     {"modules_to_save": "score"}, {"target_modules": [["c_attn"]]},
     {"init_lora_weights": "pissa"}, {"layer_replication": [[0, 2], [0, 2]]},
     {"peft_type": "ADALORA"}, {"peft_type": None}, {"megatron_config": {"x": 1}}],
)  # fmt: skip
def test_adapter_that_is_more_than_plain_lora_is_refused_before_peft_reads_it(
    adapter_folder, monkeypatch, changes
):
    load_policy(str(adapter_folder), device=CPU)
    change(adapter_folder / "adapter_config.json", **changes)
    monkeypatch.setattr("peft.PeftModel.from_pretrained", None)
    with pytest.raises(CheckpointError, match="model is not a plain LoRA adapter") as error:
        load_policy(str(adapter_folder), device=CPU)
    assert one_sentence(error)


def test_adapter_on_an_adapter_is_refused(adapter_folder, tmp_path):
    copy = copy_of(adapter_folder, tmp_path / "other")
    change(copy / "adapter_config.json", base_model_name_or_path=str(adapter_folder))
    with pytest.raises(CheckpointError, match="other is an adapter on an adapter"):
        load_policy(str(copy), device=CPU)


def test_adapter_whose_file_lacks_weights_or_has_others_is_refused_unmade(
    adapter_folder, monkeypatch
):
    monkeypatch.setattr("peft.PeftModel.from_pretrained", None)
    path, config = adapter_folder / "adapter_model.safetensors", "adapter_config.json"
    weights = load_file(path)
    change(adapter_folder / config, r=10**12)  # 100 TB a matrix
    with pytest.raises(CheckpointError, match=r"model cannot be loaded \(its configuration asks"):
        load_policy(str(adapter_folder), device=CPU)
    change(adapter_folder / config, r=4)
    save_file(dict(list(weights.items())[2:]), path)
    with pytest.raises(CheckpointError, match=r"model cannot be loaded \(its configuration asks"):
        load_policy(str(adapter_folder), device=CPU)


@pytest.mark.parametrize(
    "changes", [{"vocab_size": 10**11}, {"n_layer": 10**9}, {"n_positions": 10**9}]
)
def test_configuration_that_asks_for_more_than_the_files_hold_is_refused_unmade(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    large = copy_of(tiny_model_folder, tmp_path / "large")
    change(large / "config.json", **changes)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(CheckpointError, match=r"large cannot be loaded \(its configuration asks"):
        load_policy(str(large), device=CPU)


def test_model_with_one_tensor_is_refused(tiny_model_folder, tmp_path):
    bare = copy_of(tiny_model_folder, tmp_path / "bare", leave_out=("model.safetensors",))
    save_file({"transformer.ln_f.weight": torch.ones(32)}, bare / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"bare cannot be loaded \(its configuration asks"):
        load_policy(str(bare), device=CPU)


def test_model_whose_files_hold_other_tensors_is_not_made_up(tiny_model_folder, tmp_path):
    noise = copy_of(tiny_model_folder, tmp_path / "noise")
    weights = load_file(noise / "model.safetensors")
    weights["other"] = weights.pop("transformer.h.0.attn.c_attn.weight")
    save_file(weights, noise / "model.safetensors", {"format": "pt"})
    told = r"noise cannot be loaded \(its files lack transformer\.h\.0\.attn\.c_attn\.weight\)"
    with pytest.raises(CheckpointError, match=told):
        load_policy(str(noise), device=CPU)


@pytest.mark.parametrize(
    "changes",
    [{"num_labels": 10**9}, {"model_type": "qwen2", "num_hidden_layers": 10**9},
     {"model_type": "t5", "num_layers": 10**9}],
)  # fmt: skip
def test_configuration_that_would_list_a_thousand_million_things_is_not_made(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    long = copy_of(tiny_model_folder, tmp_path / "long")
    change(long / "config.json", **changes)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", None)
    with pytest.raises(CheckpointError, match=r"long cannot be loaded .*too many layers or labels"):
        load_policy(str(long), device=CPU)


def test_network_of_more_parts_than_any_here_is_not_made(tiny_model_folder, monkeypatch):
    monkeypatch.setattr(loading, "MOST_CALLS", 20)
    with pytest.raises(CheckpointError, match="its configuration asks for too large a network"):
        load_policy(str(tiny_model_folder), device=CPU)


@pytest.mark.parametrize("load", [load_policy, load_reward_model])
def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(
    tiny_model_folder, classifier_folder, tmp_path, monkeypatch, load
):
    whole = tiny_model_folder if load is load_policy else classifier_folder
    evil = copy_of(whole, tmp_path / "evil")
    kind = "CausalLM" if load is load_policy else "SequenceClassification"
    maps = {"AutoConfig": "evil.C", f"AutoModelFor{kind}": "evil.M"}
    change(evil / "config.json", model_type="evilnet", auto_map=maps)
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with pytest.raises(CheckpointError, match="evil cannot be loaded") as error:
        load(str(evil), device=CPU)
    assert one_sentence(error) and asked == [] and not (tmp_path / "ran").exists()


def test_code_that_comes_with_a_tokenizer_is_neither_run_nor_asked_about(
    tiny_model_folder, tmp_path, monkeypatch
):
    evil = copy_of(tiny_model_folder, tmp_path / "evil")
    maps = {"AutoTokenizer": ["evil.T", None]}
    change(evil / "tokenizer_config.json", tokenizer_class="Evil", auto_map=maps)
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with suppress(CheckpointError):
        load_tokenizer(evil)
    assert asked == [] and not (tmp_path / "ran").exists()
