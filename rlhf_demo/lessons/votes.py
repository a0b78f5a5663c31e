"""From votes to a score: Bradley-Terry by hand, and a scoring head from the visitor's own votes."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.data.pairs import SHIPPED, Pairs, load_pairs
from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.vote_head import fit_head, last_vectors
from rlhf_demo.intervals import wilson_interval
from rlhf_demo.lessons.looks import HeadResult, Outcome, VotePair, VotesLook
from rlhf_demo.lessons.request import Models, rounded
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reward_model import RewardModel

SHOWN = (0, 425, 625, 700, 775, 1050, 1175, 1225)
"""The visitor's pairs, of the shipped pairs to train on: short ones that differ clearly."""
TESTED = 40
"""Held-out pairs."""
RIDGE = 100.0
"""With 10 or 1,000, as many held-out pairs come out right (tests/lessons/test_votes.py)."""
COIN, GOOD = 23, 30
"""Up to so many right is hardly better than a coin; up to so many is fair."""


def look(models: Models, request: dict[str, Any]) -> VotesLook:
    """Return the pairs to vote on and, once all have a vote, what the head learned from them.

    Args:
        request: `votes`, a list of "a" or "b", one a pair; or nothing.

    Raises:
        DemoError: the votes cannot be used.
    """
    votes = _votes_of(request)
    return {
        "pairs": _shown_pairs(),
        "votes": votes,
        "result": _learn(models, votes) if votes else None,
    }


def outcome(models: Models) -> Outcome:
    """Return how many held-out pairs a head gets right that learned from a simulated voter."""
    result = _learn(models, [_better(place) for place in range(len(SHOWN))])
    right = result["right"]
    words = (
        f"A head that learned from the simulated voter\u2019s {len(SHOWN)} votes gets {right} of "
        f"{TESTED} right, which is {right / TESTED:.0%} (95% interval: {result['low']:.0%} to "
        f"{result['high']:.0%}). The shipped reward model learned from 1,241 pairs and gets "
        f"{result['shipped']} of the same {TESTED} right."
    )
    return {"answer": 0 if right <= COIN else 1 if right <= GOOD else 2, "result": words}


def _learn(models: Models, votes: list[str]) -> HeadResult:
    first, second = _vectors(models.base, _texts(_own_pairs()))
    differences = first - second  # chosen less rejected, by the rater
    agree = [vote == _better(place) for place, vote in enumerate(votes)]
    signs = torch.tensor([1.0 if each else -1.0 for each in agree])
    weights = fit_head(differences * signs[:, None], RIDGE)
    chosen, rejected = _vectors(models.base, _texts(_held_out()))
    right = int(((chosen - rejected) @ weights > 0).sum())
    low, high = wilson_interval(right, TESTED)
    wins = torch.sigmoid(differences @ weights)
    return {
        "right": right,
        "of": TESTED,
        "low": round(low, 4),
        "high": round(high, 4),
        "agree": sum(agree),
        "probabilities": rounded(torch.where(signs > 0, wins, 1 - wins), 3),
        "shipped": _shipped_right(models.reward),
    }


def _shown_pairs() -> list[VotePair]:
    pairs = _own_pairs()
    shown: list[VotePair] = []
    for place, prompt in enumerate(pairs.prompts):
        texts = pairs.chosen[place], pairs.rejected[place]
        a, b = texts if _better(place) == "a" else texts[::-1]
        shown.append({"prompt": prompt, "a": a, "b": b})
    return shown


def _better(place: int) -> str:
    """Return on which side the text stands that the rater prefers."""
    return "ab"[place % 3 == 1 or place % 4 == 3]


@lru_cache(maxsize=1)
def _own_pairs() -> Pairs:
    return load_pairs(SHIPPED, "train").select(SHOWN)


@lru_cache(maxsize=1)
def _held_out() -> Pairs:
    pairs = load_pairs(SHIPPED, "heldout")
    step = len(pairs) // TESTED
    return pairs.select(range(0, step * TESTED, step))


def _texts(pairs: Pairs) -> tuple[str, ...]:
    """Return all preferred texts, then all others."""
    sides = pairs.chosen + pairs.rejected
    return tuple(prompt + side for prompt, side in zip(pairs.prompts * 2, sides, strict=True))


@lru_cache(maxsize=2)
def _vectors(base: Policy, texts: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return the last vectors [pairs, D] of the preferred texts, and of the others."""
    first, second = last_vectors(base, base.tokenizer(list(texts))["input_ids"]).chunk(2)
    return first, second


@lru_cache(maxsize=1)
def _shipped_right(reward: RewardModel) -> int:
    first, second = reward.score_texts(list(_texts(_held_out()))).chunk(2)
    return int((first > second).sum())


def _votes_of(request: dict[str, Any]) -> list[str]:
    votes = request.get("votes") or []
    if not isinstance(votes, list) or any(vote not in ("a", "b") for vote in votes):
        raise ConfigError(f"votes is {str(votes)[:40]!r}: give a list of a and b")
    if len(votes) not in (0, len(SHOWN)):
        raise ConfigError(f"there are {len(votes)} votes: give one for each of {len(SHOWN)} pairs")
    return votes
