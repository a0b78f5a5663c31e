"""Tokens: the pieces that a text is cut into, and their numbers."""

from typing import Any

from rlhf_demo.lessons.looks import Outcome, TokensLook
from rlhf_demo.lessons.request import Models, text_of

TEXT = "Photosynthesis needs chlorophyll."
EASY = "I watched this unbelievable masterpiece."
"""The text that the question compares with."""


def look(models: Models, request: dict[str, Any]) -> TokensLook:
    """Return a text's tokens.

    Args:
        request: `text`.

    Raises:
        DemoError: the text cannot be used.
    """
    text = text_of(request, TEXT, models)
    ids = models.ids(text)
    return {
        "text": text,
        "ids": ids[1:],
        "pieces": models.pieces(ids)[1:],
        "words": len(text.split()),
        "vocabulary": len(models.base.tokenizer),
    }


def outcome(models: Models) -> Outcome:
    """Return how the two texts' numbers of tokens compare."""
    easy, hard = (len(models.ids(text)) - 1 for text in (EASY, TEXT))
    result = f"\u201c{EASY}\u201d has {easy} tokens, \u201c{TEXT}\u201d has {hard}."
    return {"answer": 0 if hard < easy else 1 if hard < 2 * easy else 2, "result": result}
