"""Models: padding, scores that do not depend on the batch, plain files, and refusals in one sentence."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.loading import BYTE_0, PAD, load_tokenizer
from rlhf_demo.locate import CHECKPOINTS
from rlhf_demo.models import (
    last_norm_name,
    load_policy,
    load_reward_model,
    max_positions,
    new_reward_model,
    pick_device,
    pick_dtype,
)

CPU = torch.device("cpu")
TRUE_GPT2 = CHECKPOINTS.parent.parent / "shared" / "gpt2-tokenizer"
TEXTS = ["Good.", "The film was long, and I liked the end of it.", "So", "We went home and had tea."]


@pytest.fixture(scope="session")
def unpadded_tokenizer_folder(tmp_path_factory) -> Path:
    """A byte-level BPE like GPT-2's: EOS and BOS are one token, and there is no pad token."""
    folder = tmp_path_factory.mktemp("tokenizers") / "unpadded"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, "\0\0\0\0 with \0\0\0\0 merges of the byte itself"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", model_max_length=64
    ).save_pretrained(folder)
    return folder


def save_classifier(folder, base, labels=1, seed=0):
    """Write a tiny classifier of random weights with the tokenizer of `base`."""
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=32, n_positions=32, vocab_size=len(tokenizer), initializer_range=0.2,
        num_labels=labels, pad_token_id=tokenizer.pad_token_id, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    if labels > 1:
        config.id2label = {0: "dull", 1: "fair", 2: "fine"}
        config.label2id = {name: index for index, name in config.id2label.items()}
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory, tiny_model_folder):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "one", tiny_model_folder)


@pytest.fixture(scope="session")
def three_labels_folder(tmp_path_factory, tiny_model_folder):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "three", tiny_model_folder, 3)


def copy_of(folder, target, leave_out=()):
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in leave_out:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def policy_logits(policy, ids):
    with torch.no_grad():
        hidden = policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)).last_hidden_state
        return policy.logits(hidden)


def random_ids(policy, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, len(policy.tokenizer), (3, 9), generator=generator)


def move_weights(policy):
    """Stand in for training: move everything that is trainable, a little."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)


# -- device and number format ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
    ],
)
def test_pick_dtype_asks_the_cpu(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert pick_dtype(CPU, "auto") == expected


def test_pick_dtype_when_told_does_not_ask(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: pytest.fail("asked"))
    assert pick_dtype(CPU, "bfloat16") == torch.bfloat16
    assert pick_dtype(CPU, "float32") == torch.float32


def test_cpu_tells_of_the_features_that_are_asked_for():
    capabilities = torch.cpu.get_capabilities()
    if capabilities["architecture"] == "x86_64":
        assert {"avx512_bf16", "amx_bf16"} <= set(capabilities)


def test_missing_gpu_is_named_in_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    with pytest.raises(ConfigError, match="shows no GPU"):
        pick_device("cuda")


# -- tokenizers ------------------------------------------------------------------------------------


def test_tokenizer_without_pad_gives_the_job_to_byte_zero_and_keeps_all_ids(unpadded_tokenizer_folder):
    plain = AutoTokenizer.from_pretrained(unpadded_tokenizer_folder)
    ours = load_tokenizer(unpadded_tokenizer_folder)
    assert plain.pad_token_id is None
    assert ours.pad_token == PAD
    assert ours.pad_token_id == plain.get_vocab()[BYTE_0]
    assert ours.pad_token_id != ours.eos_token_id
    assert len(ours) == len(plain)
    renamed = {PAD if token == BYTE_0 else token: index for token, index in plain.get_vocab().items()}
    assert ours.get_vocab() == renamed
    for text in [*TEXTS, "naïve “quotes” — 日本語 😀\n\t"]:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]
        assert ours.decode(ours(text)["input_ids"]) == text


def test_renamed_pad_is_skipped_in_texts_and_survives_saving(unpadded_tokenizer_folder, tmp_path):
    ours = load_tokenizer(unpadded_tokenizer_folder)
    ids = ours("Good.")["input_ids"]
    assert ours.decode([ours.pad_token_id, *ids, ours.pad_token_id], skip_special_tokens=True) == "Good."
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
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(CHECKPOINTS / "gpt2-mini").get_vocab()


@pytest.mark.skipif(not TRUE_GPT2.is_dir(), reason="the true GPT-2 tokenizer is not on this machine")
def test_true_gpt2_tokenizer_keeps_its_size_and_ids():
    plain, ours = AutoTokenizer.from_pretrained(TRUE_GPT2), load_tokenizer(TRUE_GPT2)
    assert len(ours) == len(plain) == 50257
    assert ours.pad_token_id == 188  # where GPT-2 keeps byte 0
    for text in TEXTS:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]


def test_tokenizer_without_any_token_for_padding_is_refused(tmp_path):
    words = Tokenizer(models.WordLevel({"good": 0, "end": 1}, unk_token=None))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="end").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no token that could serve as padding"):
        load_tokenizer(tmp_path)


# -- scores ----------------------------------------------------------------------------------------


def test_score_is_the_same_alone_in_a_batch_and_padded_on_either_side(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    together = ours.score_texts(TEXTS)
    alone = torch.cat([ours.score_texts([text]) for text in TEXTS])
    assert together.std() > 0.02  # else equality would say nothing
    assert_close(together, alone, atol=1e-5, rtol=0)
    assert_close(together, ours.score_texts(TEXTS, batch_size=3), atol=1e-5, rtol=0)

    plain = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    with torch.no_grad():
        right = plain(**tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")).logits
        batch = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
        positions = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        left = plain(**batch, position_ids=positions).logits
    assert_close(together, right[:, 0], atol=1e-5, rtol=0)
    assert_close(together, left[:, 0], atol=1e-5, rtol=0)


def test_prompt_and_response_are_scored_as_one_text(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    assert_close(ours(["The film", "So"], [" was good", ""]), ours.score_texts(["The film was good", "So"]))


def test_empty_text_gets_a_score_and_does_not_disturb_the_others(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    scores = ours.score_texts(["", "Good."])
    assert scores.isfinite().all()
    assert_close(scores[1:], ours.score_texts(["Good."]), atol=1e-5, rtol=0)
    assert ours.score_texts([]).shape == (0,)


def test_text_longer_than_the_positions_loses_its_beginning(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    assert max_positions(ours.model) == 32
    text = " the film was good and I liked it" * 20
    ids = ours.tokenizer(text)["input_ids"]
    assert len(ids) > 32
    assert ours.encode(text) == ids[-32:]
    assert ours.score_texts([text]).isfinite().all()


def test_classifier_with_several_labels_needs_one_named(three_labels_folder):
    with pytest.raises(ConfigError, match=r"--label is None: .* has the labels dull, fair, fine, choose one"):
        load_reward_model(str(three_labels_folder), device=CPU)
    with pytest.raises(ConfigError, match="--label is 'good'"):
        load_reward_model(str(three_labels_folder), device=CPU, label="good")
    ours = load_reward_model(str(three_labels_folder), device=CPU, label="fine")
    with torch.no_grad():
        logits = ours.model(**ours.tokenizer(TEXTS[1], return_tensors="pt")).logits
    assert_close(ours.score_texts([TEXTS[1]]), logits[:, 2], atol=1e-5, rtol=0)


def test_causal_model_is_no_reward_model(tiny_model_folder):
    with pytest.raises(CheckpointError, match="has no classification head"):
        load_reward_model(str(tiny_model_folder), device=CPU)


@pytest.mark.parametrize("rank", [0, 4])
def test_new_reward_model_has_one_label_and_no_dropout(tiny_model_folder, rank):
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=rank, device=CPU)
    model.train()
    batch = tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")
    assert model(**batch).logits.shape == (len(TEXTS), 1)
    assert_close(model(**batch).logits, model(**batch).logits, atol=0, rtol=0)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("score" in name for name in trained)
    assert any("ln_f" in name for name in trained)
    assert (rank > 0) == any("lora_A" in name for name in trained)
    assert (rank > 0) != any(name.endswith("wte.weight") for name in trained)


def test_last_norm_is_the_one_before_the_head(tiny_model_folder):
    assert last_norm_name(AutoModelForCausalLM.from_pretrained(tiny_model_folder)) == "transformer.ln_f"


# -- the policy ------------------------------------------------------------------------------------


def test_trained_policy_saved_whole_gives_the_same_logits_in_plain_transformers(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    move_weights(policy)
    policy.save(tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = random_ids(policy)
    with torch.no_grad():
        assert_close(plain(input_ids=ids).logits, policy_logits(policy, ids), atol=1e-5, rtol=0)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab() == policy.tokenizer.get_vocab()
    assert not list((tmp_path / "model").glob("*.bin"))


def test_trained_adapter_saved_gives_the_same_logits_in_plain_peft(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    move_weights(policy)
    policy.save(tmp_path / "model")
    ids = random_ids(policy)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    with torch.no_grad():
        before = base(input_ids=ids).logits
        plain = PeftModel.from_pretrained(base, tmp_path / "model")
        assert_close(plain(input_ids=ids).logits, policy_logits(policy, ids), atol=1e-5, rtol=0)
        assert (before - policy_logits(policy, ids)).abs().max() > 1e-2
    written = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(tiny_model_folder)
    # Ours merges the adapter into its base on loading.
    assert_close(
        policy_logits(load_policy(str(tmp_path / "model"), device=CPU), ids),
        policy_logits(policy, ids), atol=1e-4, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("rank", [0, 4])
def test_value_head_starts_at_zero_and_comes_back_after_saving(tiny_model_folder, tmp_path, rank):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=rank)
    hidden = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    assert policy.values(hidden).tolist() == [[0.0] * 3] * 2
    move_weights(policy)
    policy.save(tmp_path / "model")
    again = load_policy(str(tmp_path / "model"), device=CPU)
    assert policy.values(hidden).abs().min() > 0
    assert_close(again.values(hidden), policy.values(hidden), atol=0, rtol=0)


@pytest.mark.parametrize("rank", [0, 4])
def test_reference_stays_the_base_bit_for_bit_while_the_policy_moves(tiny_model_folder, rank):
    base = load_policy(str(tiny_model_folder), device=CPU)
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=rank)
    ids = random_ids(policy)
    move_weights(policy)
    with policy.as_reference() as reference:
        assert_close(policy_logits(reference, ids), policy_logits(base, ids), atol=0, rtol=0)
    assert (policy_logits(policy, ids) - policy_logits(base, ids)).abs().max() > 1e-2


def test_policy_that_only_writes_is_frozen_and_keeps_no_reference(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    assert not any(parameter.requires_grad for parameter in policy.parameters())
    with pytest.raises(CheckpointError, match="keeps no reference"), policy.as_reference():
        pass


def test_padding_on_the_left_changes_no_logits(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    ids = random_ids(policy)
    pads = torch.full((3, 4), policy.tokenizer.pad_token_id)
    mask = torch.cat([torch.zeros(3, 4, dtype=torch.bool), torch.ones(3, 9, dtype=torch.bool)], dim=1)
    with torch.no_grad():
        hidden = policy.hidden(torch.cat([pads, ids], dim=1), mask).last_hidden_state
        assert_close(policy.logits(hidden[:, 4:]), policy_logits(policy, ids), atol=1e-5, rtol=0)


def test_dropout_is_off_in_a_policy_being_trained(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    assert policy.lm.config.resid_pdrop > 0  # there would be some
    ids = random_ids(policy)
    assert_close(policy_logits(policy, ids), policy_logits(policy, ids), atol=0, rtol=0)
    assert not any(m.training for m in policy.lm.modules() if isinstance(m, torch.nn.Dropout))


def test_adapter_cannot_carry_another_adapter(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"--lora-rank is 4: .* is itself an adapter"):
        load_policy(str(tmp_path / "model"), device=CPU, for_training=True, lora_rank=4)
    again = load_policy(str(tmp_path / "model"), device=CPU, for_training=True)  # all weights: may
    assert again.reference is not None


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


def test_config_that_is_no_json_is_named_in_one_sentence(tiny_model_folder, classifier_folder, tmp_path):
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
def test_damaged_adapter_or_value_head_is_named_in_one_sentence(tiny_model_folder, tmp_path, file, content):
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
    left_out = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
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
