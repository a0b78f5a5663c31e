"""Measures of what models write: diversity, drift from the base, fluency, and wins.

Everything here is a function of texts, tokens or log-probabilities; nothing trains and nothing
writes files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_demo.models.pauses import pause
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import (
    pad_responses,
    read_at_once,
    response_logits,
    response_tokens,
)
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.rewards import exact_kl


def distinct_n(responses: Sequence[Sequence[int]], n: int, count: int | None = None) -> float:
    """Return the share of different n-grams among the n-grams of all responses.

    This is distinct-n of Li et al. 2016 (https://arxiv.org/abs/1510.03055, section 4.4). It falls
    as more text is counted, so compare it only at equal numbers of n-grams.

    Args:
        count: count only the first so many n-grams; None counts all.

    Returns:
        0..1; 0 if no response has n tokens.
    """
    ngrams = [tuple(ids[i : i + n]) for ids in responses for i in range(len(ids) - n + 1)]
    ngrams = ngrams[:count]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def count_ngrams(responses: Sequence[Sequence[int]], n: int) -> int:
    """Return the number of n-grams in the responses; none spans two responses."""
    return sum(max(0, len(ids) - n + 1) for ids in responses)


@dataclass(frozen=True)
class Reading:
    """One response as a model and the base see it; tensors are float32 [time] on the CPU, nats.

    Attributes:
        kl: exact KL of the model from the base at each token, at the temperature; never below 0.
        log_ratio: log p - log p_base of each written token, at the temperature; below 0 where the
            base finds the token likelier.
        base_logprobs: of each written token under the base, at temperature 1.
    """

    kl: Tensor
    log_ratio: Tensor
    base_logprobs: Tensor


@torch.no_grad()
def read_with_base(
    policy: Policy,
    base: Policy,
    prompts: list[str],
    responses: list[list[int]],
    temperature: float,
) -> list[Reading]:
    """Read finished responses with a model and with a base of the same vocabulary."""
    readings = []
    longest = max(map(len, responses), default=1)
    count = min(read_at_once(model, prompts, longest) for model in (policy, base))
    for start in range(0, len(prompts), count):
        pause()
        part = slice(start, start + count)
        logits, tokens, mask = _read(policy, prompts[part], responses[part])
        base_logits, _, _ = _read(base, prompts[part], responses[part])
        logprobs, _ = token_logprobs(logits, tokens, temperature)
        base_logprobs, _ = token_logprobs(base_logits, tokens, temperature)
        by_token = (
            exact_kl(logits, base_logits, temperature),
            logprobs - base_logprobs,
            token_logprobs(base_logits, tokens, 1.0)[0],
        )
        lengths = mask.sum(-1).tolist()
        split = (numbers.cpu().split(lengths) for numbers in by_token)
        readings += [Reading(*row) for row in zip(*split, strict=True)]
    return readings


def _read(
    policy: Policy, prompts: list[str], responses: list[list[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits [tokens, vocabulary], token ids [tokens], and the mask [batch, time]."""
    ids, attention_mask, mask = pad_responses(policy, prompts, responses)
    logits, _ = response_logits(policy, ids, attention_mask, mask)
    return logits, response_tokens(ids, mask), mask


def perplexity(logprobs: list[Tensor]) -> float:
    """Return exp of the mean negative log-probability over all tokens of all responses."""
    tokens = torch.cat(logprobs)
    return math.exp(min(-float(tokens.mean()), 50.0))  # stays finite


def standard_error(x: Tensor) -> float:
    """Return the standard error of the mean of x [n]; 0 for a single number."""
    return float(x.std() / math.sqrt(len(x))) if len(x) > 1 else 0.0


def count_wins(scores: Tensor, against: Tensor) -> tuple[int, int, int]:
    """Count wins, ties and losses of scores [n] against others [n] on the same prompts."""
    return (
        int((scores > against).sum()),
        int((scores == against).sum()),
        int((scores < against).sum()),
    )
