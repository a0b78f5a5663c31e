"""Names of scorers, and their descriptions for people."""

import re
from pathlib import Path

BASE = "gpt2-mini"
STAR_RATER = "star-rater"
WORD_JUDGE = "word-judge"
FLUENCY_JUDGE = "fluency-judge"
HARSHNESS = "harshness"
"""A shipped classifier with two labels, for which a reward needs a label."""
SIMULATED = (STAR_RATER, WORD_JUDGE, FLUENCY_JUDGE)
"""Scorers that stand in for people."""
RULES = {
    "longer": "rule: the longer response wins",
    WORD_JUDGE: "simulated judge of another family: it adds up a weight for each word",
    FLUENCY_JUDGE: (
        "simulated judge of sentiment and writing: star-rater's score, less penalties for text "
        "that the base finds unlikely and for repetition"
    ),
}
"""Scorers that are not classifiers with labels, with their descriptions."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def describe(name: str) -> str:
    """Describe the scorer of this name in a few words, for people."""
    if name in RULES:
        return RULES[name]
    if name == STAR_RATER:
        return (
            "simulated judge: a small network that guesses whether the writer liked the film; "
            "it labelled the shipped pairs"
        )
    if name == HARSHNESS:
        return "small text classifier: does a text sound like a review with 1 or 2 stars out of 10?"
    if is_function(name):
        return f"Python function {name}"
    return f"model {name}: its score decides"


def second_judge(name: str) -> str:
    """Return the second judge for the judge of this name; the two share no network."""
    return STAR_RATER if name == WORD_JUDGE else WORD_JUDGE


def is_function(name: str) -> bool:
    """Say whether a name means a Python function, `package.module:function`."""
    return _FUNCTION.fullmatch(name) is not None and not Path(name).exists()
