"""Scores under a model in training: they depend on the text alone, and training goes on after."""

import pytest
import torch
from torch.testing import assert_close
from transformers import RobertaConfig, RobertaForSequenceClassification

from rlhf_demo.models.reward_model import new_reward_model
from rlhf_demo.train import pair_scoring
from rlhf_demo.train.pair_scoring import EncodedPairs, PairScorer

TEXTS = [[7, 8, 9], [11], [12, 13, 14, 15, 16, 17], [9, 8], [7, 8]]  # no two score alike


def decoder(tiny_model_folder):
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=0, device="cpu")
    return model, tokenizer.pad_token_id


def encoder(_):
    """A model that reads both ways, so that a token after the text would change its score."""
    config = RobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=20, pad_token_id=1, num_labels=1,
        initializer_range=0.5,
    )  # fmt: skip
    return RobertaForSequenceClassification(config), config.pad_token_id


@pytest.fixture(params=[decoder, encoder])
def scorer(request, tiny_model_folder):
    torch.manual_seed(0)
    model, pad = request.param(tiny_model_folder)
    return PairScorer(model.train(), pad, torch.float32, lambda: None)


def test_score_is_that_of_the_text_alone_in_whatever_batch_and_place(scorer, monkeypatch):
    alone = torch.cat([scorer.scores([ids]) for ids in TEXTS])
    assert alone.diff().abs().min() > 1e-3  # else equality would say nothing
    assert_close(scorer.scores(TEXTS), alone, atol=1e-5, rtol=0)
    monkeypatch.setattr(pair_scoring, "SCORING_TOKENS", 8)  # several batches
    assert_close(scorer.scores(TEXTS), alone, atol=1e-5, rtol=0)


def test_margin_is_chosen_less_rejected(scorer):
    scores = scorer.scores(TEXTS)
    margins = torch.tensor(scorer.margins(EncodedPairs(TEXTS[:2], TEXTS[2:4], cut=0)))
    assert_close(margins, scores[:2] - scores[2:4], atol=1e-5, rtol=0)


def test_scoring_drops_nothing_out_and_leaves_the_model_as_it_was(scorer):
    for module in scorer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    for training in (True, False):
        scorer.model.train(training)
        assert_close(scorer.scores(TEXTS), scorer.scores(TEXTS), atol=0, rtol=0)
        assert scorer.model.training is training


def test_a_wish_to_stop_is_heard_between_batches(scorer, monkeypatch):
    asked = []
    scorer.check_stop = lambda: asked.append(True)
    monkeypatch.setattr(pair_scoring, "SCORING_TOKENS", 6)
    scorer.scores(TEXTS)
    assert len(asked) == 3  # one text of 6 tokens; two of 3 at most; two more


def test_spaced_pairs_cover_the_whole_list():
    pairs = EncodedPairs([[n] for n in range(10)], [[-n] for n in range(10)], cut=3)
    spaced = pairs.evenly_spaced(4)  # every third
    assert spaced.chosen_ids == [[0], [3], [6], [9]]
    assert spaced.rejected_ids == [[0], [-3], [-6], [-9]]
    assert pairs.evenly_spaced(10) == pairs.evenly_spaced(99) == pairs
