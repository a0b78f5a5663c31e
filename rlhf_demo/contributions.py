"""What each token of a text reads as, and what it adds to the text's score.

A token's contribution is the score of the text up to and with it, less the score of the text up to
it. The contributions therefore add up to the score. They say what the model's opinion was as it
read on, not what the score would be without that token.
"""

from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_demo.models import RewardModel

SCORING_TOKENS = 4096
"""Tokens scored at once, padding included: bounds the memory that a long text takes."""

HALF_CHARACTER = "\ufffd"
"""What a tokenizer decodes bytes to that do not make a character (yet)."""


def cut_into_pieces(prefixes: list[str]) -> list[str]:
    """Cut a text into one piece for each token; joined, the pieces are the text.

    Decoding tokens one by one would not do: a character may need several tokens (it then belongs to
    the last of them, the others are empty), and some tokenizers change a space when more follows.

    Args:
        prefixes: what the first 1, 2, ... tokens decode to; the last one is the text.
    """
    if not prefixes:
        return []
    text = prefixes[-1]
    pieces, start = [], 0
    for prefix in prefixes:
        end = max(start, _agreeing(text, prefix))
        pieces.append(text[start:end])
        start = end
    return pieces


def _agreeing(text: str, prefix: str) -> int:
    """Count the characters at the front that both share."""
    if text.startswith(prefix):
        return len(prefix)
    pairs = enumerate(zip(text, prefix, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(text))


def decode_prefix(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Decode the first tokens of a text that goes on, without a last character's first bytes."""
    return tokenizer.decode(ids, skip_special_tokens=True).rstrip(HALF_CHARACTER)


def prefix_scores(model: RewardModel, text: str) -> tuple[list[str], list[float]]:
    """Score a text as far as its first token, its second, and so on.

    Returns:
        The tokens' pieces of text, special tokens being empty, and the score up to and with each,
        reward units; the last is the text's own. A text too long for the model loses its beginning,
        an empty one is scored at one token.
    """
    ids = model.encode(text)
    firsts = [ids[:count] for count in range(1, len(ids) + 1)]
    scores = model.score_ids(firsts, batch_size=max(1, SCORING_TOKENS // len(ids)))
    prefixes = [decode_prefix(model.tokenizer, first) for first in firsts[:-1]]
    whole = model.tokenizer.decode(ids, skip_special_tokens=True)
    return cut_into_pieces([*prefixes, whole]), scores.tolist()


def contributions(model: RewardModel, text: str) -> list[dict[str, Any]]:
    """Say what each token adds to the score of a text.

    Returns:
        One dict a token: `piece` of text, its `contribution` and the `score` so far, reward units.
        The first token's contribution is its own score.
    """
    pieces, scores = prefix_scores(model, text)
    before = [0.0, *scores[:-1]]
    return [
        {"piece": piece, "contribution": score - last, "score": score}
        for piece, score, last in zip(pieces, scores, before, strict=True)
    ]
