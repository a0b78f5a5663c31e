"""What each word of a text adds to the text's score: its Shapley value.

Delete all words and put them back one by one, in some order: each word changes the score by some
amount. Averaged over the orders, that is the word's contribution. The contributions add up exactly
to the score of the text less that of the empty text, words that always change it alike get the
same, and a word that never changes it gets 0; no other linear division does so (Shapley 1953). Of
many words the orders are too many to try, so some are drawn (Castro, Gomez and Tejada 2009,
https://doi.org/10.1016/j.cor.2008.04.004).

The score of a text that stops after each word would be cheaper but says something else. A reward
model has only read finished texts, so there the full stop may get half the score.
"""

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise, permutations
from typing import TYPE_CHECKING, Any

from rlhf_demo.errors import ConfigError

if TYPE_CHECKING:
    from rlhf_demo.models.reward_model import RewardModel

EVERY_ORDER = 7
"""Up to so many words every order is tried (5,040, but only 128 texts): the values are exact."""
ORDERS = 60
"""Orders drawn for more words. A word's standard error is then about 0.03 in a sentence of 13."""
MOST_UNITS = 24
"""A text of more words is cut into so many groups of neighbouring words."""
MOST_READ = 20_000
"""Tokens read for one text: 2 seconds of the shipped model on one thread. A long text gets fewer
orders, and one longer still larger groups.
"""
SCORING_TOKENS = 4096
"""Tokens scored at once, padding included: bounds the memory that a long text takes."""

Subset = frozenset[int]
"""Places of the words that are kept."""


def word_contributions(scorer: "RewardModel", text: str) -> dict[str, Any]:
    """Say what each word of a text adds to its score. The same text gives the same answer.

    A word keeps its punctuation. The empty text is what the tokenizer makes of it: the start mark
    alone where it has one.

    Returns:
        `words`: of each word (or group of words) its `piece` of text, its `contribution`, the score
        of the text `without` it, and the `score_if_ended`, had the text ended after it. `score` of
        the text and of the `empty` one; `contribution`s add up to the one less the other. How it
        was found: `words_together` in a group, `orders` tried, `exact` where those are all, and
        `standard_error`, that of a contribution (root mean square over the words; 0 where
        exact). Scores are in the scorer's units.

    Raises:
        ConfigError: the text has no word, or the scorer cannot read all of it.
    """
    tokens = len(scorer.encode(text))
    if tokens >= scorer.most_tokens:
        raise ConfigError(
            f"the text has {tokens:,} tokens or more: give one below {scorer.most_tokens:,}, "
            "which is all that the model reads at once"
        )
    pieces, together = cut_into_units(text, tokens)
    orders = orders_to_try(len(pieces), tokens)
    rows = [growing(order) for order in orders]
    everything = frozenset(range(len(pieces)))
    ended = growing(range(len(pieces)))[1:]
    without = [everything - {place} for place in everything]
    scores = score_subsets(scorer, pieces, {*chain(*rows), *ended, *without}, tokens)
    values, error = shapley_values(scores, rows)
    exact = len(orders) == math.factorial(len(pieces))
    return {
        "words": [
            {
                "piece": piece,
                "contribution": values[place],
                "without": scores[without[place]],
                "score_if_ended": scores[ended[place]],
            }
            for place, piece in enumerate(pieces)
        ],
        "score": scores[everything],
        "empty": scores[frozenset()],
        "words_together": together,
        "orders": len(orders),
        "exact": exact,
        "standard_error": 0.0 if exact else error,
    }


def cut_into_units(text: str, tokens: int) -> tuple[list[str], int]:
    """Cut a text at its white space into words, or into groups of words where those are too many.

    Args:
        tokens: of the whole text; without each word, and in two orders, they must be affordable.

    Returns:
        The pieces, which joined are the text, and how many words stand in one.

    Raises:
        ConfigError: the text has no word.
    """
    words = re.findall(r"\s*\S+(?:\s+$)?", text)
    if not words:
        raise ConfigError("the text is empty: type a sentence to score")
    affordable = MOST_READ // (2 * tokens)
    together = math.ceil(len(words) / max(1, min(MOST_UNITS, affordable)))
    starts = range(0, len(words), together)
    return ["".join(words[start : start + together]) for start in starts], together


def orders_to_try(count: int, tokens: int) -> list[Sequence[int]]:
    """Return all orders of a few words, else a number of drawn ones.

    Args:
        count: words.
        tokens: of the whole text; half of them are read in a middling subset.
    """
    half = math.ceil(tokens / 2)
    if count <= EVERY_ORDER and 2**count * half <= MOST_READ:
        return list(permutations(range(count)))
    affordable = (MOST_READ - count * tokens) // (count * half)
    draw = random.Random(0)
    return [draw.sample(range(count), count) for _ in range(max(2, min(ORDERS, affordable)))]


def growing(order: Iterable[int]) -> list[Subset]:
    """Return the subsets that an order runs through, from the empty one to the whole."""
    subsets: list[Subset] = [frozenset()]
    for place in order:
        subsets.append(subsets[-1] | {place})
    return subsets


def score_subsets(
    scorer: "RewardModel", pieces: Sequence[str], subsets: Iterable[Subset], tokens: int
) -> dict[Subset, float]:
    """Score the text of each subset once. A text that lost its first word begins without a space.

    Args:
        tokens: of the whole text, the longest one.
    """
    texts = {subset: _text_of(pieces, subset) for subset in subsets}
    batch_size = max(1, SCORING_TOKENS // tokens)
    scores = scorer.score_texts(list(texts.values()), batch_size).tolist()
    return dict(zip(texts, scores, strict=True))


def _text_of(pieces: Sequence[str], subset: Subset) -> str:
    text = "".join(pieces[place] for place in sorted(subset))
    return text if 0 in subset else text.lstrip()


def shapley_values(
    scores: Mapping[Subset, float], rows: Sequence[Sequence[Subset]]
) -> tuple[list[float], float]:
    """Average over the orders what each word changed when it was put back.

    Args:
        scores: of every subset in the rows.
        rows: [orders] of [words + 1] growing subsets.

    Returns:
        [words] the values, and their standard error, root mean square over the words.
    """
    changes: list[list[float]] = [[] for _ in rows[0][1:]]  # [words][orders]
    for row in rows:
        for before, after in pairwise(row):
            (place,) = after - before
            changes[place].append(scores[after] - scores[before])
    values = [sum(one) / len(rows) for one in changes]
    squares = [
        (change - value) ** 2 for one, value in zip(changes, values, strict=True) for change in one
    ]
    variance = sum(squares) / (len(values) * max(1, len(rows) - 1))
    return values, math.sqrt(variance / len(rows))
