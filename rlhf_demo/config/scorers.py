"""The names of what can score texts, and what people are told of each."""

import re
from pathlib import Path

WORD_JUDGE = "word-judge"
STAR_RATER = "star-rater"
RULES = {
    "longer": "rule: the longer response wins",
    WORD_JUDGE: "simulated rater of another family: it adds up a weight for each word",
}
"""Scorers that are no neural network, with their descriptions."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def describe(name: str) -> str:
    """Say in a few words what scores under this name, for people to read."""
    if name in RULES:
        return RULES[name]
    if name == STAR_RATER:
        return (
            "simulated rater: a small network that guesses whether the writer liked the film; "
            "it labelled the shipped pairs"
        )
    if is_function(name):
        return f"Python function {name}"
    return f"model {name}: its score decides"


def second_judge(name: str) -> str:
    """Return who judges beside the judge of this name: one that shares no network with it."""
    return STAR_RATER if name == WORD_JUDGE else WORD_JUDGE


def is_function(name: str) -> bool:
    """Say whether a name means a Python function, `package.module:function`."""
    return _FUNCTION.fullmatch(name) is not None and not Path(name).exists()
