"""Reward models: scores that do not depend on the batch, of whole texts."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import RobertaProcessing
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.models import loading
from rlhf_demo.models.loading import max_positions
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


def test_batch_has_only_as_many_rows_as_its_attention_may_take(classifier_folder, monkeypatch):
    """64 beginnings of a text at once, with 256 heads, took 6 GB in a model of 5 MB."""
    ours = load_reward_model(str(classifier_folder), device=CPU)
    together, sizes, read = ours.score_texts(TEXTS), [], ours._read
    heads = ours.model.config.num_attention_heads
    longest = max(len(ours.encode(text)) for text in TEXTS)
    monkeypatch.setattr(ours, "_read", lambda ids: sizes.append(len(ids)) or read(ids))
    for rows in (0.5, 1, 2):
        monkeypatch.setattr(loading, "MOST_ATTENTION", int(rows * heads * longest**2))
        assert_close(ours.score_texts(TEXTS), together, atol=1e-5, rtol=0)
    assert sizes[:4] == [1, 1, 1, 1] and sizes[4:8] == [1, 1, 1, 1] and max(sizes[8:]) > 1


def test_batch_has_only_as_many_tokens_as_are_read_at_once(classifier_folder, monkeypatch):
    """64 beginnings of a text, in a network 32,768 wide, took 4 GB."""
    ours = load_reward_model(str(classifier_folder), device=CPU)
    together, sizes, read = ours.score_texts(TEXTS), [], ours._read
    longest = max(len(ours.encode(text)) for text in TEXTS)
    monkeypatch.setattr(ours, "_read", lambda ids: sizes.append(len(ids)) or read(ids))
    monkeypatch.setattr(loading, "MOST_READ", 2 * longest)
    assert_close(ours.score_texts(TEXTS), together, atol=1e-5, rtol=0)
    assert max(sizes) == 2


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


def test_no_keys_and_values_are_kept_of_a_text_that_is_read_once(classifier_folder, monkeypatch):
    scorer = load_reward_model(str(classifier_folder), device=CPU)
    for scorer.reads_left_to_right in (True, False):
        with torch.no_grad():
            scorer._read([[1, 2, 3]])
            batch = scorer.tokenizer.pad({"input_ids": [[1, 2, 3]]}, return_tensors="pt")
            assert scorer.model(**batch).past_key_values is None


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
        ConfigError, match=r"--label is None: choose one of .*'s labels, dull, fair, fine"
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


def test_only_the_end_of_a_very_long_text_is_tokenised(classifier_folder, monkeypatch):
    """A stranger's model wrote 128,000 letters, of which a tokenizer makes 1,386 tokens each."""
    scorer = load_reward_model(str(classifier_folder), device=CPU)
    text = "The film was good. " * 5_000
    plain = scorer.tokenizer(text, verbose=False)["input_ids"][-scorer.most_tokens :]
    read, tokenize = [], scorer.tokenizer

    def noting(text, **how):
        read.append(len(text))
        return tokenize(text, **how)

    monkeypatch.setattr(scorer, "tokenizer", noting)
    assert scorer.encode(text) == plain
    assert max(read) == 2_000


def test_long_text_keeps_what_stands_for_the_whole_and_fits_roberta(tmp_path):
    """RoBERTa's positions begin after its pad token's number: of 20, 18 can be used."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad"]
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="<s>", pad_token="<pad>",
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
