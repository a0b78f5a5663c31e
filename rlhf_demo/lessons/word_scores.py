"""Why running scores mislead: three ways to say what a word adds to a score."""

from typing import Any

from rlhf_demo.explain.token_scores import TextScore, word_contributions
from rlhf_demo.lessons.looks import Outcome, WordCredit, WordScoresLook
from rlhf_demo.lessons.request import Models, text_of

TEXT = "I expected a terrible film and I loved it."
WORD = 7
"""Place of "loved" in the text."""
MINUS = str.maketrans("-", "\u2212")


def look(models: Models, request: dict[str, Any]) -> WordScoresLook:
    """Return what each word adds to the score, in three ways.

    Args:
        request: `text`.

    Raises:
        DemoError: the text cannot be used.
    """
    text = text_of(request, TEXT, models)
    scored = _scored(models, text)
    return {
        "text": text,
        "words": _credits(scored),
        "score": round(scored["score"], 3),
        "empty": round(scored["empty"], 3),
        "orders": scored["orders"],
        "exact": scored["exact"],
        "standard_error": round(scored["standard_error"], 3),
        "words_together": scored["words_together"],
    }


def outcome(models: Models) -> Outcome:
    """Return which of the three ways say that the question's word raises the score."""
    word = _credits(_scored(models, TEXT))[WORD]
    result = (
        f"\u201c{word['piece'].strip()}\u201d changes the running score by {word['running']:+.2f}. "
        f"The text scores {word['left_out']:+.2f} more with it than without it. Its Shapley value "
        f"is {word['shapley']:+.2f}."
    ).translate(MINUS)
    raises = word["running"] > 0, word["left_out"] > 0, word["shapley"] > 0
    answers = {(True, True, True): 0, (False, False, False): 1, (False, True, True): 2}
    return {"answer": answers.get(raises, 3), "result": result}


def _scored(models: Models, text: str) -> TextScore:
    """Return the score word by word; that of the lesson's own text is computed once."""
    if text != TEXT:
        return word_contributions(models.reward, text)
    return models.kept("reward", "words", lambda: word_contributions(models.reward, TEXT))


def _credits(scored: TextScore) -> list[WordCredit]:
    """Return the three figures of each word."""
    credits: list[WordCredit] = []
    before = scored["empty"]
    for word in scored["words"]:
        credits.append(
            {
                "piece": word["piece"],
                "running": round(word["score_if_ended"] - before, 3),
                "left_out": round(scored["score"] - word["without"], 3),
                "shapley": round(word["contribution"], 3),
            }
        )
        before = word["score_if_ended"]
    return credits
