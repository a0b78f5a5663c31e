"""Attention: the head that finds the person, and its row worked again by hand."""

import math

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import attention


def test_head_finds_the_actress(models):
    look = attention.look(models, {})
    assert look["pieces"][2] == " actress"
    assert look["patterns"][5][1][-1][2] == pytest.approx(0.73, abs=0.005)
    others = {
        (layer, head): look["patterns"][layer][head][-1][2]
        for layer in range(6)
        for head in range(4)
        if (layer, head) != (5, 1)
    }
    best = max(others, key=others.get)
    assert best == (0, 3)
    assert others[best] == pytest.approx(0.49, abs=0.005)
    result = attention.outcome(models)
    assert result["answer"] == 1
    assert "0.73 of its total weight of 1 on “actress”" in result["result"]


def test_one_head_looks_half_at_the_previous_token(models):
    def at_previous(layer, head):
        pattern = attention.look(models, {})["patterns"][layer][head]
        return sum(pattern[i][i - 1] for i in range(1, len(pattern))) / (len(pattern) - 1)

    shares = {(layer, head): at_previous(layer, head) for layer in range(6) for head in range(4)}
    assert max(shares, key=shares.get) == (3, 0)
    assert shares[3, 0] == pytest.approx(0.52, abs=0.05)


def test_row_follows_from_its_own_numbers(models):
    row = attention.look(models, {"layer": 3, "head": 4, "place": 3})["row"]
    assert (row["layer"], row["head"], row["place"], row["width"]) == (3, 4, 3, 64)
    for scaled, product in zip(row["scaled"], row["dot_products"], strict=True):
        assert scaled == pytest.approx(product / math.sqrt(64), abs=2e-3)
    total = sum(math.exp(value) for value in row["scaled"])
    for weight, value in zip(row["weights"], row["scaled"], strict=True):
        assert weight == pytest.approx(math.exp(value) / total, abs=1e-3)
    assert len(row["weights"]) == 4


def test_nobody_looks_ahead(models):
    for layer in attention.look(models, {"model": "ppo"})["patterns"]:
        for head in layer:
            for i, weights in enumerate(head):
                assert weights[i + 1 :] == [0] * (len(head) - i - 1)
                assert sum(weights) == pytest.approx(1, abs=0.01)


def test_numbers_outside_the_model_are_refused(models):
    for odd in ({"layer": 7}, {"head": 0}, {"place": 7}):
        with pytest.raises(ConfigError, match="choose a whole number"):
            attention.look(models, odd)
