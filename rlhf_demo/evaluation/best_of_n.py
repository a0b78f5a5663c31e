"""Best-of-n: a model writes n responses to a prompt, and a scorer chooses the one to answer with.

Nothing is trained. The price is paid at every answer, which takes n responses and n scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rlhf_demo.models.policy import Policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import Scorer

MOST_AT_ONCE = 64
"""Responses that are sampled at once; `generate` takes fewer where they are long."""


def kl_bound(n: int) -> float:
    """Return the most KL, in nats, between best-of-n and the model that writes the n responses.

    It is log n - (n - 1) / n (Stiennon et al. 2020, https://arxiv.org/abs/2009.01325), and does not
    depend on the model or the scorer. Beirami et al. 2024 (https://arxiv.org/abs/2401.01879) prove
    that it is an upper bound, which best-of-n reaches if no single response is likely.
    """
    return math.log(n) - (n - 1) / n


def ranking(scores: Sequence[float]) -> list[int]:
    """Return the places of the scores, best first; of equal scores, the first one comes first."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def expected_best(scores: Sequence[float], values: Sequence[float] | None = None) -> list[float]:
    """Estimate the mean value of the best of n responses, for every n up to their number.

    Each n of the responses are a sample of best-of-n. The estimate is the mean over all of them, so
    it has no bias and less noise than one such sample (Nakano et al. 2021,
    https://arxiv.org/abs/2112.09332, on best-of-n; Gao et al. 2022 use it too,
    https://arxiv.org/abs/2210.10760).

    Args:
        scores: of independent responses to one prompt, by the scorer that chooses.
        values: what the chosen response is worth, e.g. its score by another judge, or 1 if it wins;
            None for the scores themselves.

    Returns:
        The estimates for n = 1, 2, ..., in the unit of the values.
    """
    worth = scores if values is None else values
    ranked = [worth[place] for place in ranking(scores)]
    return [
        sum(chance * value for chance, value in zip(chances, ranked, strict=True))
        for chances in _chances(len(ranked))
    ]


@cache
def _chances(count: int) -> list[list[float]]:
    """Return, for n = 1 to count, each rank's chance to be the best of n out of count responses.

    The response of rank r (0 is the best) is the best if the other n - 1 come from the
    count - r - 1 that are worse.
    """
    return [
        [math.comb(count - rank - 1, n - 1) / math.comb(count, n) for rank in range(count)]
        for n in range(1, count + 1)
    ]


@dataclass(frozen=True)
class BestOf:
    """Answer with the best of n responses by a scorer's score."""

    n: int
    scorer: Scorer


@dataclass(frozen=True)
class Candidates:
    """The responses to one prompt among which the scorer chooses; one entry a response.

    Attributes:
        ids: token ids, with EOS if the response has one.
        texts: the same as text.
        scores: by the scorer that chooses, in its unit.
    """

    ids: list[list[int]]
    texts: list[str]
    scores: list[float]

    @property
    def best(self) -> int:
        """The place of the response that is chosen."""
        return ranking(self.scores)[0]


def sample_candidates(
    policy: Policy, prompts: list[str], best_of: BestOf, **sampling: Any
) -> list[Candidates]:
    """Sample and score n responses to each prompt.

    They use other random numbers than `generate` does for a single response with the same seed.
    Otherwise, that response could be one of the candidates, and best-of-n could hardly lose to it.

    Args:
        sampling: the other arguments of `generate`.
    """
    repeated = [prompt for prompt in prompts for _ in range(best_of.n)]
    ids = generate(policy, repeated, purpose="best of n", batch_size=MOST_AT_ONCE, **sampling)
    texts = decode(policy, ids)
    scores = best_of.scorer(repeated, texts).tolist()
    parts = [slice(start, start + best_of.n) for start in range(0, len(repeated), best_of.n)]
    return [Candidates(ids[part], texts[part], scores[part]) for part in parts]
