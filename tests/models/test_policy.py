"""Models: scores that do not depend on the batch, plain files, a reference that stays put."""

import json

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import RobertaProcessing
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CohereConfig,
    CohereForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.loading import max_positions
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import last_norm_name, load_reward_model, new_reward_model
from tests.tiny import save_tiny_classifier

CPU = torch.device("cpu")
TEXTS = [
    "Good.",
    "The film was long, and I liked the end of it.",
    "So",
    "We went home and had tea.",
]


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory, tiny_model_folder):
    return save_tiny_classifier(tmp_path_factory.mktemp("classifiers") / "one", tiny_model_folder)


@pytest.fixture(scope="session")
def three_labels_folder(tmp_path_factory, tiny_model_folder):
    return save_tiny_classifier(
        tmp_path_factory.mktemp("classifiers") / "three", tiny_model_folder, 3
    )


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


# -- scores ----------------------------------------------------------------------------------------


def test_score_is_the_same_alone_in_a_batch_and_padded_on_either_side(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    together = ours.score_texts(TEXTS)
    alone = torch.cat([ours.score_texts([text]) for text in TEXTS])
    assert together.std() > 0.02  # else equality would say nothing
    assert_close(together, alone, atol=1e-5, rtol=0)
    assert_close(together, ours.score_texts(TEXTS, batch_size=3), atol=1e-5, rtol=0)
    ours.reads_left_to_right = False  # as of a model whose head is not taken apart
    assert_close(together, ours.score_texts(TEXTS), atol=1e-5, rtol=0)

    plain = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    with torch.no_grad():
        right = plain(
            **tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")
        ).logits
        batch = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
        positions = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        left = plain(**batch, position_ids=positions).logits
    assert_close(together, right[:, 0], atol=1e-5, rtol=0)
    assert_close(together, left[:, 0], atol=1e-5, rtol=0)


def test_prompt_and_response_are_scored_as_one_text(classifier_folder):
    ours = load_reward_model(str(classifier_folder), device=CPU)
    assert_close(
        ours(["The film", "So"], [" was good", ""]), ours.score_texts(["The film was good", "So"])
    )


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
    with pytest.raises(
        ConfigError, match=r"--label is None: .* has the labels dull, fair, fine, choose one"
    ):
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
    assert (
        last_norm_name(AutoModelForCausalLM.from_pretrained(tiny_model_folder))
        == "transformer.ln_f"
    )


# -- the policy ------------------------------------------------------------------------------------


def test_trained_policy_saved_whole_gives_the_same_logits_in_plain_transformers(
    tiny_model_folder, tmp_path
):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    move_weights(policy)
    policy.save(tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = random_ids(policy)
    with torch.no_grad():
        assert_close(plain(input_ids=ids).logits, policy_logits(policy, ids), atol=1e-5, rtol=0)
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab()
        == policy.tokenizer.get_vocab()
    )
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
    policy = load_policy(
        str(tiny_model_folder), device=CPU, for_training=True, lora_rank=rank, value_head=True
    )
    hidden = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    assert policy.values(hidden).tolist() == [[0.0] * 3] * 2
    move_weights(policy)
    policy.save(tmp_path / "model")
    again = load_policy(str(tmp_path / "model"), device=CPU)
    assert policy.values(hidden).abs().min() > 0
    assert_close(again.values(hidden), policy.values(hidden), atol=0, rtol=0)


def test_policy_without_a_value_head_has_no_values_and_saves_none(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    assert policy.value_head is None and policy.values(torch.randn(2, 3, 32)) is None
    policy.save(tmp_path / "model")
    assert not (tmp_path / "model" / "value_head.safetensors").exists()
    assert load_policy(str(tmp_path / "model"), device=CPU).value_head is None


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


def test_model_that_changes_its_logits_after_the_output_layer_is_refused(
    tiny_model_folder, tmp_path
):
    """Cohere's models scale them; trained without, they would be another policy's."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    config = CohereConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, logit_scale=0.5, initializer_range=0.2,
    )  # fmt: skip
    CohereForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="models of type 'cohere' change their logits"):
        load_policy(str(tmp_path), device=CPU)


def test_padding_on_the_left_changes_no_logits(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    ids = random_ids(policy)
    pads = torch.full((3, 4), policy.tokenizer.pad_token_id)
    mask = torch.cat(
        [torch.zeros(3, 4, dtype=torch.bool), torch.ones(3, 9, dtype=torch.bool)], dim=1
    )
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


def test_long_text_keeps_what_stands_for_the_whole_and_fits_roberta(tmp_path):
    """RoBERTa's positions begin after its pad token's number: of 20, 18 can be used."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad"]
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=18, cls_token="<s>", pad_token="<pad>",
        eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    config = RobertaConfig(
        vocab_size=6, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=20, pad_token_id=1, num_labels=1,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scorer = load_reward_model(str(tmp_path), device=CPU)
    ids = scorer.encode("bad " * 30 + "good")
    assert len(ids) == 18 and ids[0] == 0 and ids[-2:] == [4, 2]
    assert scorer.score_texts(["bad " * 30 + "good", "good"]).isfinite().all()
