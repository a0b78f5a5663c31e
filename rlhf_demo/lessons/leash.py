"""What the KL penalty is for: a reward that is pushed too far, and the best policy on a leash."""

from functools import lru_cache
from operator import itemgetter
from typing import Any

from rlhf_demo.evaluation.overoptimisation import (
    Attempt,
    Study,
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
    logits = forward(models.network("base"), models.tensors(text)[0]).out[-1]
    top = logits.topk(SHOWN)
    tokens = models.names(top.indices.tolist())
    scores = models.reward.score_texts([f"{text}{token}." for token in tokens])
    return {
        "text": text,
        "study": _study(),
        "tokens": tokens,
        "reference": rounded(top.values.softmax(-1)),
        "scores": rounded(scores, 3),
    }


def outcome(models: Models) -> Outcome:
    """Return what the judge's score does in the shipped runs, and the figures of its curve."""
    attempts = _attempts()
    judge, drawn = bins(Way.PPO, attempts, "judge"), study(attempts)["ppo"]
    turned = turn(judge)
    end, top = drawn["judge"]["line"][-1], max(drawn["judge"]["line"], key=itemgetter(1))
    result = (
        f"On the curves, at {_nats(end)}, the reward model\u2019s score ends "
        f"{_gain(drawn['proxy']['line'][-1])} above the base\u2019s mean. The judge\u2019s is "
        f"highest at {_nats(top)} ({_gain(top)}) and ends at {_gain(end)}. The unit is a standard "
        "deviation of the base\u2019s scores: a typical difference between two of its texts."
    )
    if turned is None:
        return {"answer": 0, "result": result}
    return {"answer": 2 if turned.top is judge[0] else 1, "result": result}


@lru_cache(maxsize=1)
def _study() -> Study:
    """Return the shipped curves, which do not change."""
    return study(_attempts())


def _attempts() -> list[Attempt]:
    """Return the shipped attempts with the most pairs."""
    attempts = shipped_attempts()
    most = max(attempt["pairs"] for attempt in attempts)
    return [attempt for attempt in attempts if attempt["pairs"] == most]


def _gain(point: tuple[float, float]) -> str:
    return f"{point[1]:+.1f}".replace("-", "\u2212")


def _nats(point: tuple[float, float]) -> str:
    return f"{point[0] ** 2:.1f} nats"
