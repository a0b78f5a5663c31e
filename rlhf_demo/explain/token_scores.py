"""What each word of a text adds to the text's score: its Shapley value.

Delete all words and put them back one by one, in some order: each word changes the score by some
amount. Averaged over all orders, that is the word's contribution. The contributions add up exactly
to the score of the text minus the score of the empty text; words that always change it by the same
amount get the same; and a word that never changes it gets 0. No other linear division has these
properties (Shapley 1953). Many words have too many orders to try, so some orders are drawn at
random (Castro, Gomez and Tejada 2009, https://doi.org/10.1016/j.cor.2008.04.004).

The scores of the text cut off after each word would be cheaper, but answer another question. A
reward model has only seen finished texts, so the full stop might then get half the score.
"""

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise, permutations
from typing import TYPE_CHECKING, TypedDict

from rlhf_demo.errors import ConfigError

if TYPE_CHECKING:
    from rlhf_demo.models.reward_model import RewardModel

EVERY_ORDER = 7
"""Up to this many words, every order is tried (5,040 orders, but only 128 texts), so the values are
exact.
"""
ORDERS = 60
"""Orders drawn for longer texts: a word's standard error is about 0.03 in a sentence of 13."""
MOST_UNITS = 24
"""A text of more words is cut into this many groups of neighbouring words."""
MOST_READ = 20_000
"""Tokens to read for one text: 2 seconds of the shipped model on one thread. A long text gets fewer
orders, and a very long one larger groups.
"""
SCORING_TOKENS = 4096
"""Tokens to score at once, padding included, which bounds the memory for a long text."""

Subset = frozenset[int]
"""Indices of the words that are kept."""


class WordScore(TypedDict):
    """A word of a text, or a group of words, and its part in the score; in the scorer's units."""

    piece: str
    contribution: float
    without: float  # score of the text without it
    score_if_ended: float  # score of the text up to it


class TextScore(TypedDict):
    """The score of a text, word by word, in the scorer's units."""

    words: list[WordScore]  # their contributions add up to `score` less `empty`
    score: float
    empty: float  # score of the empty text
    words_together: int  # words in a group
    orders: int  # that were tried
    exact: bool  # whether these are all
    standard_error: float  # of a contribution, root mean square over the words; 0 if exact


def word_contributions(scorer: "RewardModel", text: str) -> TextScore:
    """Return what each word of a text adds to its score. The same text gives the same answer.

    A word includes its punctuation. The empty text is what the tokenizer makes of "", which is the
    start token alone if it has one.

    Raises:
        ConfigError: the text has no word, or more tokens than the scorer reads at once.
    """
    tokens = len(scorer.encode(text))
    if tokens >= scorer.most_tokens:
        raise ConfigError(
            f"the text has {tokens:,} tokens or more, and the model reads fewer than "
            f"{scorer.most_tokens:,}: shorten it"
        )
    pieces, together = cut_into_units(text, tokens)
    orders = orders_to_try(len(pieces), tokens)
    chains = [growing(order) for order in orders]
    whole = frozenset(range(len(pieces)))
    prefixes = growing(range(len(pieces)))[1:]
    without = [whole - {index} for index in whole]
    scores = score_subsets(scorer, pieces, {*chain(*chains), *prefixes, *without}, tokens)
    values, error = shapley_values(scores, chains)
    exact = len(orders) == math.factorial(len(pieces))
    return {
        "words": [
            {
                "piece": piece,
                "contribution": values[index],
                "without": scores[without[index]],
                "score_if_ended": scores[prefixes[index]],
            }
            for index, piece in enumerate(pieces)
        ],
        "score": scores[whole],
        "empty": scores[frozenset()],
        "words_together": together,
        "orders": len(orders),
        "exact": exact,
        "standard_error": 0.0 if exact else error,
    }


def cut_into_units(text: str, tokens: int) -> tuple[list[str], int]:
    """Cut a text at its white space into words, or into groups of words if there are too many.

    Args:
        tokens: of the whole text. Reading it without each word, and in two orders, must stay within
            MOST_READ.

    Returns:
        The pieces, which joined are the text, and the number of words in each.

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
    """Return all orders of a few words, or some random orders of many.

    Args:
        count: number of words.
        tokens: of the whole text; an average subset holds half of them.
    """
    half = math.ceil(tokens / 2)
    if count <= EVERY_ORDER and 2**count * half <= MOST_READ:
        return list(permutations(range(count)))
    affordable = (MOST_READ - count * tokens) // (count * half)
    draw = random.Random(0)
    return [draw.sample(range(count), count) for _ in range(max(2, min(ORDERS, affordable)))]


def growing(order: Iterable[int]) -> list[Subset]:
    """Return the subsets that an order builds up, from the empty one to the whole."""
    subsets: list[Subset] = [frozenset()]
    for index in order:
        subsets.append(subsets[-1] | {index})
    return subsets


def score_subsets(
    scorer: "RewardModel", pieces: Sequence[str], subsets: Iterable[Subset], tokens: int
) -> dict[Subset, float]:
    """Score the text of each subset once. A text without its first word begins without a space.

    Args:
        tokens: of the whole text, which is the longest.
    """
    texts = {subset: _text_of(pieces, subset) for subset in subsets}
    batch_size = max(1, SCORING_TOKENS // tokens)
    scores = scorer.score_texts(list(texts.values()), batch_size).tolist()
    return dict(zip(texts, scores, strict=True))


def _text_of(pieces: Sequence[str], subset: Subset) -> str:
    text = "".join(pieces[index] for index in sorted(subset))
    return text if 0 in subset else text.lstrip()


def shapley_values(
    scores: Mapping[Subset, float], chains: Sequence[Sequence[Subset]]
) -> tuple[list[float], float]:
    """Average over the orders how each word changed the score when it was put back.

    Args:
        scores: of every subset in the chains.
        chains: [orders] of [words + 1] growing subsets.

    Returns:
        The values [words], and their standard error, root mean square over the words.
    """
    changes: list[list[float]] = [[] for _ in chains[0][1:]]  # [words][orders]
    for subsets in chains:
        for before, after in pairwise(subsets):
            (index,) = after - before
            changes[index].append(scores[after] - scores[before])
    values = [sum(of_word) / len(chains) for of_word in changes]
    squares = [
        (change - value) ** 2
        for of_word, value in zip(changes, values, strict=True)
        for change in of_word
    ]
    variance = sum(squares) / (len(values) * max(1, len(chains) - 1))
    return values, math.sqrt(variance / len(chains))
