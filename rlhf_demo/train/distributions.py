"""The distributions behind a PPO step's means: scores, ratios, words and values, for the page.

One row a step, ready for JSON, of a few kilobytes. Tensors are [batch, time] as in objectives/.
"""

from collections import defaultdict
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from rlhf_demo.models.policy import Policy
from rlhf_demo.models.token_text import decoded
from rlhf_demo.objectives.masks import masked_mean
from rlhf_demo.train.ppo_rows import Movement, StepTensors
from rlhf_demo.train.rollout import Rollout

MOST_RESPONSES = 256
"""Scores and values are kept of this many responses."""

RATIO_BINS, HIGHEST_RATIO = 60, 3.0
"""Equal bins from 0 to the highest ratio; the last bin also counts all higher ratios."""


class DistributionRow(TypedDict):
    """A step's distributions."""

    step: int
    scores: list[float]  # standardised, one a response
    ratio: list[list[int]]
    """Counts by bin: one list for each PPO epoch (when each token was visited) and one for after
    the update (of the responses that are read again)."""
    words: list[tuple[str, int, float]]
    """Each with its count and mean advantage, in units of the step's root mean square."""
    values: NotRequired[list[list[float]]]
    """If there is a value head: for each response the value before its middle token and the rewards
    from there on."""


def distribution_row(
    step: int, policy: Policy, rollout: Rollout, tensors: StepTensors, moved: Movement
) -> DistributionRow:
    """Return a step's distributions."""
    mask = rollout.response_mask
    row: DistributionRow = {
        "step": step,
        "scores": _rounded(tensors.scores[:MOST_RESPONSES]),
        "ratio": [
            *(ratio_counts(ratio[mask]) for ratio in moved.ratio),
            ratio_counts(moved.ratio_after[moved.mask_after]),
        ],
        "words": word_advantages(policy, rollout, scaled(tensors.advantages, mask)),
    }
    if tensors.realised is not None:
        middle = (mask.sum(-1, keepdim=True) - 1) // 2  # [batch, 1]
        at_middle = [x.gather(1, middle) for x in (rollout.baseline, tensors.realised)]
        row["values"] = [_rounded(pair) for pair in torch.cat(at_middle, 1)[:MOST_RESPONSES]]
    return row


def scaled(advantages: Tensor, response_mask: Tensor) -> Tensor:
    """Return advantages of any unit with a mean square of 1 over real tokens, as PPO's have."""
    mean_square = masked_mean(advantages**2, response_mask)
    return advantages * torch.rsqrt(mean_square + 1e-8)


def ratio_counts(ratio: Tensor) -> list[int]:
    """Count ratios [tokens] by bin."""
    bins = (ratio / HIGHEST_RATIO * RATIO_BINS).long().clamp_max(RATIO_BINS - 1)
    return torch.bincount(bins, minlength=RATIO_BINS).tolist()


def word_advantages(
    policy: Policy, rollout: Rollout, advantages: Tensor
) -> list[tuple[str, int, float]]:
    """Return the words that occur at least twice in the step's responses, the commonest first.

    A word is a run of tokens joined by letters and digits; its advantage is the mean of theirs.
    Case is ignored, and a punctuation mark is a word of its own.

    Returns:
        (word, count, mean advantage).
    """
    means: dict[str, list[float]] = defaultdict(list)  # word -> its advantage each time it occurs
    for response, row in zip(rollout.responses(), advantages.tolist(), strict=True):
        pieces = [decoded(policy.tokenizer, [token], special=False) for token in response]
        # The columns after the last token are padding.
        for text, of_tokens in whole_words(pieces, row[: len(pieces)]):
            means[text.strip().lower()].append(sum(of_tokens) / len(of_tokens))
    common = [
        (word, len(of_word), round(sum(of_word) / len(of_word), 3))
        for word, of_word in means.items()
        if len(of_word) > 1
    ]
    return sorted(common, key=lambda row: (-row[1], row[0]))


def whole_words(pieces: list[str], advantages: list[float]) -> list[tuple[str, list[float]]]:
    """Join the tokens of a response into words, each with the advantages of its tokens."""
    words: list[tuple[str, list[float]]] = []
    for piece, advantage in zip(pieces, advantages, strict=True):
        if words and piece[:1].isalnum() and words[-1][0][-1].isalnum():
            text, of_tokens = words[-1]
            words[-1] = (text + piece, [*of_tokens, advantage])
        elif piece.strip():
            words.append((piece, [advantage]))
    return words


def _rounded(x: Tensor) -> list[float]:
    return [round(number, 3) for number in x.tolist()]
