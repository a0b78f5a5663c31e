"""What the KL penalty is for: a reward that is pushed too far, and the best policy on a leash."""

from typing import Any

import torch

from rlhf_demo.evaluation.overoptimisation import (
    Attempt,
    Bin,
    Way,
    bins,
    shipped_attempts,
    study,
    turn,
)
from rlhf_demo.explain.gpt2 import forward
from rlhf_demo.lessons.looks import LeashLook, Outcome
from rlhf_demo.lessons.request import Models, rounded, text_of

TEXT = "The acting was"
SHOWN = 12
"""Tokens to choose from, the most likely ones of the base."""


def look(models: Models, request: dict[str, Any]) -> LeashLook:
    """Return the shipped curves, and what the base and the reward model say of the next tokens.

    Args:
        request: `text`.

    Raises:
        DemoError: the text cannot be used.
    """
    text = text_of(request, TEXT, models)
    logits = forward(models.network("base"), torch.tensor(models.ids(text))).out[-1]
    top = logits.topk(SHOWN)
    tokens = [models.pieces([token])[0] for token in top.indices.tolist()]
    scores = models.reward.score_texts([f"{text}{token}." for token in tokens])
    return {
        "text": text,
        "study": study(_attempts()),
        "tokens": tokens,
        "reference": rounded(top.values.softmax(-1)),
        "scores": rounded(scores, 3),
    }


def outcome(models: Models) -> Outcome:
    """Return what the judge's score does in the shipped runs."""
    attempts = _attempts()
    proxy, judge = (bins(Way.PPO, attempts, scorer) for scorer in ("proxy", "judge"))
    turned = turn(judge)
    ended = f"The reward model\u2019s score ends {_gain(proxy[-1])} above the base\u2019s"
    if turned is None:
        return {"answer": 0, "result": f"{ended}, the judge\u2019s {_gain(judge[-1])}."}
    first = turned.top is judge[0]
    result = (
        f"{ended}, at {proxy[-1].distance ** 2:.0f} nats. The judge\u2019s is highest at "
        f"{turned.top.distance**2:.1f} nats ({_gain(turned.top)}) and ends at "
        f"{_gain(turned.last)}, in standard deviations of the base\u2019s scores."
    )
    return {"answer": 2 if first else 1, "result": result}


def _attempts() -> list[Attempt]:
    """Return the shipped attempts with the most pairs."""
    attempts = shipped_attempts()
    most = max(attempt["pairs"] for attempt in attempts)
    return [attempt for attempt in attempts if attempt["pairs"] == most]


def _gain(one: Bin) -> str:
    return f"{one.gain:+.1f}".replace("-", "\u2212")
