"""Scores of all beginnings of a text in one reading, against each beginning scored alone."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from rlhf_demo.models.prefixes import reads_left_to_right, whole_rows
from rlhf_demo.models.reward_model import RewardModel, load_reward_model
from rlhf_demo.models.tokenizer import load_tokenizer
from tests.tiny import save_tiny_classifier

CPU = torch.device("cpu")
TEXT = "This film is not a masterpiece, but I loved every minute of it."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tiny_model_folder):
    folder = save_tiny_classifier(tmp_path_factory.mktemp("scores") / "one", tiny_model_folder)
    return load_reward_model(str(folder), device=CPU)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, tiny_model_folder):
    """A model that reads both ways, whose head stands at its first token."""
    tokenizer = load_tokenizer(tiny_model_folder)
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), n_layers=2, n_heads=2, dim=32, hidden_dim=64,
        max_position_embeddings=32, num_labels=1, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )  # fmt: skip
    model = DistilBertForSequenceClassification(config)
    return RewardModel(model, tokenizer, 0, torch.float32)


def tokens_read(scorer, monkeypatch):
    """Return a list to which each reading adds the shape of what it read."""
    shapes, forward = [], scorer.model.base_model.forward

    def counted(*given, **named):
        shapes.append(tuple(named["input_ids"].shape))
        return forward(*given, **named)

    monkeypatch.setattr(scorer.model.base_model, "forward", counted)
    return shapes


def words_of(text):
    """Return the text up to the end of each of its words."""
    return [text[:end] for end in range(1, len(text) + 1) if text[end : end + 1] in (" ", "")]


def test_row_is_found_in_one_that_begins_with_it_and_goes_on_the_furthest():
    rows = [[1], [1, 2], [1, 2, 3], [1, 3], [2], [1, 2], []]
    # [1] begins [1, 3] too, and the empty row begins all: the first in order is taken.
    assert whole_rows(rows) == [2, 2, 2, 3, 4, 2, 2]
    assert whole_rows([]) == []


@pytest.mark.parametrize("name", ["tiny", "reward-mini"])
def test_all_beginnings_are_scored_as_alone_in_a_single_reading(name, tiny, monkeypatch):
    scorer = tiny if name == "tiny" else load_reward_model(name, device=CPU)
    beginnings = words_of(TEXT)
    alone = torch.cat([scorer.score_texts([text]) for text in beginnings])
    assert alone.std() > 0.02  # else equality would say nothing
    shapes = tokens_read(scorer, monkeypatch)
    assert_close(scorer.score_texts(beginnings), alone, atol=1e-4, rtol=0)
    assert shapes == [(1, len(scorer.encode(TEXT)))]


def test_beginnings_of_several_texts_are_scored_as_alone_in_small_batches(tiny, monkeypatch):
    texts = words_of(TEXT) + words_of("This film was long.") + ["", "This film is not"] + [TEXT]
    alone = torch.cat([tiny.score_texts([text]) for text in texts])
    shapes = tokens_read(tiny, monkeypatch)
    assert_close(tiny.score_texts(texts, batch_size=2), alone, atol=1e-4, rtol=0)
    assert sum(rows for rows, _ in shapes) == 2  # the whole texts; the empty one is the start mark


def test_beginning_of_a_text_that_was_cut_is_read_by_itself(tiny, monkeypatch):
    """Of a text longer than its 32 positions the model reads the last 32 tokens: another text."""
    texts = words_of(" the film was good and I liked it" * 6)
    lengths = [len(tiny.tokenizer(text)["input_ids"]) for text in texts]
    alone = torch.cat([tiny.score_texts([text]) for text in texts])
    shapes = tokens_read(tiny, monkeypatch)
    assert_close(tiny.score_texts(texts), alone, atol=1e-4, rtol=0)
    assert lengths == list(range(2, 50))  # the start mark, then a token for each word
    # One reading serves all that fit. The cut ones repeat every eight words: eight more are read.
    assert sum(rows for rows, _ in shapes) == 1 + 8


def test_model_that_reads_both_ways_reads_every_text(encoder, monkeypatch):
    assert not encoder.reads_left_to_right
    beginnings = words_of(TEXT)
    alone = torch.cat([encoder.score_texts([text]) for text in beginnings])
    assert alone.std() > 0.001
    assert_close(encoder.score_texts(beginnings, batch_size=3), alone, atol=1e-4, rtol=0)


class Averages(nn.Module):
    """Has a head named score, as decoders have, and reads all of a text at every token."""

    def __init__(self):
        super().__init__()
        self.config, self.device = SimpleNamespace(pad_token_id=0), CPU
        self.embedding, self.score = nn.Embedding(32, 4), nn.Linear(4, 1)

    def base_model(self, input_ids, use_cache):
        mean = self.embedding(input_ids).mean(1, keepdim=True)
        return SimpleNamespace(last_hidden_state=mean.expand(-1, input_ids.shape[1], -1))

    def forward(self, input_ids):
        hidden = self.base_model(input_ids, use_cache=False).last_hidden_state
        return SimpleNamespace(logits=self.score(hidden)[:, -1])


def test_head_by_the_name_of_score_is_not_enough():
    torch.manual_seed(0)
    assert not reads_left_to_right(Averages())
