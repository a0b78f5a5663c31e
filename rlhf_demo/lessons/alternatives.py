"""The alternatives to PPO: all methods at the same distance from the base, out of the record."""

from functools import lru_cache
from typing import Any

from rlhf_demo.config.scorers import FLUENCY_JUDGE
from rlhf_demo.evaluation.frontier import Level, arms_of, level_of, listed, nats, title
from rlhf_demo.lessons.looks import AlternativesLook, Outcome
from rlhf_demo.lessons.request import Models
from rlhf_demo.runs.frontier import BEST_OF_N, FrontierRun, read_frontier

ASKED = 2.0
"""Nats from the base, of the question."""
SHOWN = (1.0, 2.0, 3.0)
PLACES = {"ppo": 0, "rloo": 1, "grpo": 1, "dpo": 2, "sft": 2, BEST_OF_N: 3}
"""The answer that names each method."""
NOBODY = 4
"""The answer that no method is shown to differ from the one with the most wins."""


def look(models: Models, request: dict[str, Any]) -> AlternativesLook:
    """Return how often each method wins at several distances from the base."""
    return _shown()


@lru_cache(maxsize=1)
def _shown() -> AlternativesLook:
    runs = _runs()
    return {
        "judge": FLUENCY_JUDGE,
        "arms": [(arm, title(arm)) for arm in arms_of(runs)],
        "levels": [level_of(runs, FLUENCY_JUDGE, kl) for kl in SHOWN],
    }


@lru_cache(maxsize=1)
def _runs() -> list[FrontierRun]:
    """Return the runs of the shipped record, which does not change."""
    return read_frontier()["runs"]


def outcome(models: Models) -> Outcome:
    """Return which method wins most at the distance of the question, or that several tie."""
    level = level_of(_runs(), FLUENCY_JUDGE, ASKED)
    arms = sorted(level["wins"], key=lambda arm: -level["wins"][arm]["mean"])
    shares = ", ".join(f"{title(arm)} {100 * level['wins'][arm]['mean']:.0f}%" for arm in arms)
    best = arms[0]
    tied = [title(arm) for arm in arms[1:] if is_tied(level, arm, best)]
    answer = NOBODY if len(tied) == len(arms) - 1 else PLACES[best]
    unsure = f" Not shown to differ from {title(best)}: {listed(tied)}." if tied else ""
    return {"answer": answer, "result": f"Wins at {nats(ASKED)}: {shares}.{unsure}"}


def is_tied(level: Level, arm: str, other: str) -> bool:
    """Say whether two methods are not shown to differ."""
    return any(one["tie"] for one in level["meetings"] if {arm, other} == set(one["arms"]))
