"""Whose taste a model learns: votes with wrong answers, and what RLHF is used for."""

from typing import Any

from rlhf_demo.explain.noise import agreement, ceiling
from rlhf_demo.lessons.looks import Outcome, UsesLook
from rlhf_demo.lessons.request import Models

ERROR_RATE = 0.2
"""Of the question."""
CHOICES = (0.96, 0.80, 0.68, 0.60)
"""What the answers say, in their order."""
SHOWN = [percent / 100 for percent in range(0, 51, 5)]


def look(models: Models, request: dict[str, Any]) -> UsesLook:
    """Return agreement and ceiling for several error rates."""
    return {
        "error_rates": SHOWN,
        "agreement": [round(agreement(rate), 4) for rate in SHOWN],
        "ceiling": [round(ceiling(rate), 4) for rate in SHOWN],
    }


def outcome(models: Models) -> Outcome:
    """Return how often two voters of the question agree."""
    share = agreement(ERROR_RATE)
    nearest = min(range(len(CHOICES)), key=lambda place: abs(CHOICES[place] - share))
    result = (
        f"Both are right on {(1 - ERROR_RATE) ** 2:.0%} of the pairs and both are wrong on "
        f"{ERROR_RATE**2:.0%}, so they agree on {share:.0%}. A model that is always right agrees "
        f"with {ceiling(ERROR_RATE):.0%} of their votes."
    )
    return {"answer": nearest, "result": result}
