"""Tokens: counts of the shipped tokenizer."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [(tokens.EASY, 6), (tokens.TEXT, 15), (" great", 1), ("great", 2)],
)
def test_counts(models, text, count):
    look = tokens.look(models, {"text": text})
    assert len(look["ids"]) == len(look["pieces"]) == count
    assert "".join(look["pieces"]) == text
    assert look["vocabulary"] == 8192


def test_words_are_counted_apart_from_tokens(models):
    assert tokens.look(models, {})["words"] == 3


def test_outcome(models):
    result = tokens.outcome(models)
    assert result["answer"] == 2
    assert "masterpiece.” has 6 tokens" in result["result"]
    assert "chlorophyll.” has 15." in result["result"]


def test_an_empty_text_is_refused(models):
    with pytest.raises(ConfigError, match="the text is empty"):
        tokens.look(models, {"text": " "})
