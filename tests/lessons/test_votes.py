"""Eight votes and what a head learns from them, on the shipped pairs."""

import random

import pytest
import torch

from rlhf_demo.data.pairs import SHIPPED, load_pairs
from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.vote_head import fit_head
from rlhf_demo.lessons import votes

OF_THE_RATER = ["a", "b", "a", "b", "b", "a", "a", "b"]


def test_eight_votes_of_the_rater_get_35_of_40_right(models):
    outcome = votes.outcome(models)
    assert outcome["answer"] == 2
    assert "8 votes gets 35 of 40 right" in outcome["result"]
    assert "95% interval: 74% to 95%" in outcome["result"]
    assert "gets 35 of the same 40 right" in outcome["result"]


def test_own_votes_count(models):
    assert votes.look(models, {})["result"] is None
    rater = votes.look(models, {"votes": OF_THE_RATER})["result"]
    assert (rater["right"], rater["of"], rater["agree"]) == (35, 40, 8)
    turned = ["ab"[vote == "a"] for vote in OF_THE_RATER]
    other = votes.look(models, {"votes": turned})["result"]
    assert (other["right"], other["agree"]) == (5, 0)
    assert all(share > 0.5 for share in rater["probabilities"])


def test_eight_random_pairs_and_other_ridges(models):
    """The lesson's caveat: nine of ten draws lie between 27 and 35."""
    pairs = load_pairs(SHIPPED, "train")
    pairs = pairs.select(range(0, len(pairs), 6))
    chosen, other = votes._vectors(models.base, votes._texts(pairs))
    better, worse = votes._vectors(models.base, votes._texts(votes._held_out()))

    def right(places, ridge=votes.RIDGE):
        weights = fit_head((chosen - other)[places], ridge)
        return int(((better - worse) @ weights > 0).sum())

    draw = random.Random(1)
    draws = [draw.sample(range(len(pairs)), 8) for _ in range(100)]
    counts = sorted(right(places) for places in draws)
    assert 26 <= counts[5] <= 28
    assert 34 <= counts[95] <= 36
    for ridge in (10.0, 1000.0):
        mean = sum(right(places, ridge) for places in draws[:30]) / 30
        assert mean == pytest.approx(sum(map(right, draws[:30])) / 30, abs=1.5)


def test_no_held_out_prompt_is_voted_on():
    held_out = set(votes._held_out().prompts)
    assert len(votes._held_out()) == votes.TESTED
    assert held_out.isdisjoint(votes._own_pairs().prompts)


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        (["a"], "there are 1 votes: give one for each of 8 pairs"),
        (["c"] * 8, "give a list of a and b"),
        ([["a"]] * 8, "give a list of a and b"),
        ("abababab", "give a list of a and b"),
        (3, "give a list of a and b"),
    ],
)
def test_odd_votes_get_a_sentence(models, odd, sentence):
    with pytest.raises(ConfigError, match=sentence):
        votes.look(models, {"votes": odd})


def test_the_vectors_are_computed_once(models):
    votes.look(models, {"votes": OF_THE_RATER})
    before = votes._vectors.cache_info().misses
    votes.look(models, {"votes": OF_THE_RATER})
    assert votes._vectors.cache_info().misses == before
    assert isinstance(votes._vectors(models.base, ("A film", "A dog"))[0], torch.Tensor)
