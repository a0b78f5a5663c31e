"""Vectors: near words of the shipped model, and what it loses without positions."""

import pytest

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.vectors import similarities
from rlhf_demo.lessons import vectors


def test_near_words(models):
    look = vectors.look(models, {})
    near = dict(zip(look["tokens"], look["cosines"], strict=True))
    assert look["tokens"][0] == " horrible"
    assert near[" horrible"] == pytest.approx(0.86, abs=0.005)
    assert near[" fantastic"] == pytest.approx(0.76, abs=0.005)
    assert len(look["vector"]) == 256
    assert look["unchanged"]
    table = models.network("base").tokens
    for pair, cosine in ((("film", "movie"), 0.84), (("two", "three"), 0.77)):
        rows = table[[models.id_of(f" {word}") for word in pair]]
        assert similarities(rows)[0, 1].item() == pytest.approx(cosine, abs=0.005)


@pytest.mark.parametrize("word", ["garbage", "crap", "hell", "damn"])
def test_coarse_words_are_left_out(models, word):
    tokens = vectors.look(models, {"word": word})["tokens"]
    assert len(tokens) == vectors.SHOWN
    assert [token for token in tokens if has_coarse_word(token)] == []


def test_opposites_are_closer_than_degrees(models):
    outcome = vectors.outcome(models)
    assert outcome["answer"] == 0
    assert "0.76 for “fantastic” and 0.64 for “bad”" in outcome["result"]


def test_without_positions_the_loss_rises(models):
    rows = vectors.look(models, {})["without"]
    assert [row["losses"] for row in rows] == [[2.10, 2.04], [2.07, 2.34], [1.51, 1.65]]
    assert [row["losses_off"] for row in rows] == [[3.56, 3.48], [2.90, 3.24], [3.57, 3.71]]


def test_maps_show_neighbouring_positions_as_close(models):
    look = vectors.look(models, {"word": "film"})
    assert look["without"] is None
    for map_ in (look["learned"], look["sinusoids"]):
        assert [len(row) for row in map_] == [24] * 24
        assert map_[10][10] == 1
        assert map_[10][11] > map_[10][20]


def test_odd_words_are_refused(models):
    with pytest.raises(ConfigError, match="'Monday' is 3 tokens: write a word of one token"):
        vectors.look(models, {"word": "Monday"})
    for odd in ("", None, 3, ["film"], "x" * 41):
        with pytest.raises(ConfigError, match="write one word"):
            vectors.look(models, {"word": odd})
