"""Measure what models write: diversity, drift from the base, fluency, and who wins against whom.

Everything here is a function of texts, tokens or log-probabilities; nothing trains and nothing
writes files.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_demo.models import Policy
from rlhf_demo.rollout import pad_responses, token_outputs


def distinct_n(responses: Sequence[Sequence[int]], n: int, count: int | None = None) -> float:
    """Return the share of different n-grams among the n-grams of all responses.

    This is distinct-n of Li et al. 2016 (https://arxiv.org/abs/1510.03055, section 4.4). It falls
    as more text is counted, so only equal numbers of n-grams compare.

    Args:
        count: look at so many n-grams, the first ones; at all when left out.

    Returns:
        0..1; 0 where no response has n tokens.
    """
    ngrams = [tuple(ids[i : i + n]) for ids in responses for i in range(len(ids) - n + 1)]
    ngrams = ngrams[:count]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


@torch.no_grad()
def response_logprobs(
    policy: Policy,
    prompts: list[str],
    responses: list[list[int]],
    temperature: float,
    batch_size: int = 64,
) -> list[Tensor]:
    """Return each token's log-probability, nats: one float32 [time] on the CPU per response."""
    logprobs: list[Tensor] = []
    for start in range(0, len(prompts), batch_size):
        ids, mask, response_mask = pad_responses(
            policy, prompts[start : start + batch_size], responses[start : start + batch_size]
        )
        outputs = token_outputs(policy, ids, mask, response_mask, temperature)
        logprobs += [
            row[real].cpu() for row, real in zip(outputs.logprobs, response_mask, strict=True)
        ]
    return logprobs


def perplexity(logprobs: list[Tensor]) -> float:
    """Return exp of the mean negative log-probability over all tokens of all responses."""
    tokens = torch.cat(logprobs)
    return math.exp(min(-float(tokens.mean()), 50.0))  # stays finite


def mean_kl(logprobs: list[Tensor], ref_logprobs: list[Tensor]) -> float:
    """Return the mean over responses of sum(logprobs - ref_logprobs), nats per response (k1)."""
    sums = [float((ours - ref).sum()) for ours, ref in zip(logprobs, ref_logprobs, strict=True)]
    return sum(sums) / len(sums)


def count_wins(scores: Tensor, against: Tensor) -> tuple[int, int, int]:
    """Count wins, ties and losses of scores [n] against other scores of the same prompts [n]."""
    return (
        int((scores > against).sum()),
        int((scores == against).sum()),
        int((scores < against).sum()),
    )
