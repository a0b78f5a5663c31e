"""What lies behind a PPO step's means: scores, ratios, words and values, for the page to draw.

One JSON-ready row a step, a few kilobytes. Tensors are [batch, time] as in objectives/losses.py.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.models.policy import Policy
from rlhf_demo.train.ppo_rows import Movement, StepTensors
from rlhf_demo.train.rollout import Rollout

MOST_RESPONSES = 256
"""Scores and values of so many responses are kept."""

RATIO_BINS, HIGHEST_RATIO = 60, 3.0
"""Bins from 0; the last one holds all that is higher."""


def distribution_row(
    step: int, policy: Policy, rollout: Rollout, tensors: StepTensors, moved: Movement
) -> dict[str, Any]:
    """Return a step's distributions.

    Returns:
        `step`; `scores`, standardised; `ratio`, counts by bin, for each PPO epoch (as each token
        was visited) and for after the update (of the responses that are read again); `words`, each
        with its count and mean whitened advantage; `values`, for each response the value before
        its middle token and the rewards that came from there on.
    """
    mask = rollout.response_mask
    middle = (mask.sum(-1, keepdim=True) - 1) // 2  # [batch, 1]
    halfway = [x.gather(1, middle) for x in (rollout.old_values, tensors.realised)]
    return {
        "step": step,
        "scores": _rounded(tensors.scores[:MOST_RESPONSES]),
        "ratio": [
            *(ratio_counts(ratio[mask]) for ratio in moved.ratio),
            ratio_counts(moved.ratio_after[moved.mask_after]),
        ],
        "words": word_advantages(policy, rollout, tensors.advantages),
        "values": [_rounded(pair) for pair in torch.cat(halfway, 1)[:MOST_RESPONSES]],
    }


def ratio_counts(ratio: Tensor) -> list[int]:
    """Count ratios [tokens] by bin."""
    bins = (ratio / HIGHEST_RATIO * RATIO_BINS).long().clamp_max(RATIO_BINS - 1)
    return torch.bincount(bins, minlength=RATIO_BINS).tolist()


def word_advantages(
    policy: Policy, rollout: Rollout, advantages: Tensor
) -> list[tuple[str, int, float]]:
    """Return the words that the step's responses hold twice or more, the commonest first.

    A word is a run of tokens whose letters and digits touch; its advantage is the mean of theirs.
    Upper and lower case count as one, and punctuation stands for itself.

    Returns:
        (word, count, mean advantage).
    """
    found: dict[str, list[float]] = defaultdict(list)
    for response, row in zip(rollout.responses(), advantages.tolist(), strict=True):
        pieces = [policy.tokenizer.decode([token], skip_special_tokens=True) for token in response]
        # After the last token come columns of padding.
        for text, gained in whole_words(pieces, row[: len(pieces)]):
            found[text.strip().lower()].append(sum(gained) / len(gained))
    common = [(word, len(means), sum(means) / len(means)) for word, means in found.items()]
    common = [(word, count, round(mean, 3)) for word, count, mean in common if count > 1]
    return sorted(common, key=lambda one: (-one[1], one[0]))


def whole_words(pieces: list[str], advantages: list[float]) -> list[tuple[str, list[float]]]:
    """Put the tokens of a response together to words, each with its tokens' advantages."""
    words: list[tuple[str, list[float]]] = []
    for piece, advantage in zip(pieces, advantages, strict=True):
        if words and piece[:1].isalnum() and words[-1][0][-1].isalnum():
            text, gained = words[-1]
            words[-1] = (text + piece, [*gained, advantage])
        elif piece.strip():
            words.append((piece, [advantage]))
    return words


def _rounded(x: Tensor) -> list[float]:
    return [round(number, 3) for number in x.tolist()]
