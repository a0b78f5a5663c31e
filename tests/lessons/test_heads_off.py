"""Heads off: what the pronoun loses, and what the loss on film sentences does."""

import pytest
import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.gpt2 import Edits
from rlhf_demo.explain.surprise import mean_surprise
from rlhf_demo.lessons import heads_off
from rlhf_demo.lessons.request import FILMS

HEAD = 21
"""Head 2 of layer 6."""


@pytest.mark.parametrize(
    ("model", "text", "word", "before", "after", "next_worst"),
    [
        ("base", "The actress was very good and", "she", 0.038, 0.008, 0.022),
        ("base", "The actor was very good and", "he", 0.046, 0.016, 0.033),
        ("ppo", "The actress was very good and", "she", 0.036, 0.006, 0.023),
        ("ppo", "The actor was very good and", "he", 0.042, 0.017, 0.033),
    ],
)
def test_one_head_carries_the_pronoun(models, model, text, word, before, after, next_worst):
    request = {"model": model, "text": text, "word": word}
    look = heads_off.look(models, request)
    assert look["tokens"][0] == f" {word}"
    assert look["heads"] == [HEAD]
    assert look["before"][0] == pytest.approx(before, abs=0.0005)
    alone = sorted(share for row in look["alone"] for share in row)
    assert look["alone"][5][1] == alone[0] == pytest.approx(after, abs=0.0005)
    assert alone[1] == pytest.approx(next_worst, abs=0.0005)
    assert look["after"][0] == alone[0]
    whole = heads_off.look(models, request | {"heads": []})
    assert whole["after"] == whole["before"]
    assert whole["loss_after"] == whole["loss_before"]
    assert whole["alone"] is None


def test_outcome(models):
    outcome = heads_off.outcome(models)
    assert outcome["answer"] == 2
    assert "from 3.8% to 0.8%" in outcome["result"]


def test_the_first_feed_forward_part_is_missed_most(models):
    """Loss on film sentences: a head costs little, the first feed-forward part nearly all."""
    network, films = models.network("base"), models.tensors(*FILMS)
    whole = mean_surprise(network, films)
    assert whole == pytest.approx(1.89, abs=0.01)

    def cost(**edits):
        return mean_surprise(network, films, Edits(**edits)) - whole

    heads = [cost(heads_off={(layer, head)}) for layer in range(6) for head in range(4)]
    assert max(heads) == pytest.approx(0.09, abs=0.005)
    attention = [cost(attention_off={layer}) for layer in range(6)]
    assert [min(attention), max(attention)] == pytest.approx([0.03, 0.14], abs=0.005)
    first, *others = (cost(feed_forward_off={layer}) for layer in range(6))
    assert first == pytest.approx(5.95, abs=0.01)
    assert [min(others), max(others)] == pytest.approx([0.03, 0.16], abs=0.005)
    look = heads_off.look(models, {"heads": [], "feed_forward": [0]})
    assert look["loss_after"] - look["loss_before"] == pytest.approx(first, abs=1e-4)


def test_what_is_off_comes_back_in_order(models):
    look = heads_off.look(models, {"heads": [5, 0, 5], "feed_forward": [2]})
    assert (look["heads"], look["feed_forward"]) == ([0, 5], [2])
    assert torch.tensor(look["after"]).sum() <= 1


@pytest.mark.parametrize(
    "odd",
    [
        {"heads": [24]}, {"heads": [-1]}, {"heads": [True]}, {"heads": ["1"]}, {"heads": 3},
        {"heads": [*range(24), 0]}, {"feed_forward": [6]}, {"feed_forward": None},
        {"word": ""}, {"word": 3}, {"word": "unbelievable masterpiece"}, {"word": "x" * 41},
    ],
)  # fmt: skip
def test_odd_requests_are_refused(models, odd):
    with pytest.raises(ConfigError):
        heads_off.look(models, odd)
