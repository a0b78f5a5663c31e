"""What the curves of a DPO run say, in one sentence, and what to try, in another.

DPO samples nothing to learn from, so score and KL are known only at the steps that measure the
policy. The rules for them are PPO's (runs/ppo_stories.py).
"""

from collections.abc import Sequence
from statistics import fmean

from rlhf_demo.runs.ppo_stories import (
    UNMOVED_KL,
    diversity_falls,
    length_drifts,
    score_fell_back,
)
from rlhf_demo.runs.story import LONG, Options, Row, Story, failed, waiting, warning
from rlhf_demo.runs.trend import FEWEST, number, trend

FAR = 10.0
"""Nats per response at which a PPO run with the default budget would end."""
LAST_PAIRS = 20
"""Steps over which the share of pairs in order is averaged: a single one has eight pairs."""


def measured(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the steps that measured the policy."""
    return [row for row in rows if row.get("objective/score") is not None]


def dpo_story(
    rows: Sequence[Row], options: Options, status: str, message: str = "", awaited: str = ""
) -> Story:
    """Tell how a DPO run stands; arguments as of `ppo_story`."""
    known = measured(rows)
    if story := failed(rows, status, message) or waiting(known, status, awaited):
        return story
    return (
        far_from_the_base(known, options)
        or diversity_falls(known, options)
        or score_fell_back(known, options)
        or length_drifts(known, options)
        or policy_unmoved(known, options)
        or progress(rows, known, options, status)
    )


def far_from_the_base(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that beta no longer holds the policy: DPO has no budget that would end the run."""
    kl = rows[-1]["objective/kl"]
    if kl <= FAR:
        return None
    return warning(
        "far_from_the_base",
        f"The policy is {number(kl)} nats from the base, and DPO has no KL budget that ends a run.",
        f"Read the samples: are they still good English? Next run: a beta above "
        f"{options['beta']:g}.",
    )


def policy_unmoved(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the policy still writes as the reference does."""
    if len(rows) < LONG or trend(rows, "objective/kl").now >= UNMOVED_KL:
        return None
    return warning(
        "policy_unmoved",
        f"After step {rows[-1]['step']} KL is still {number(rows[-1]['objective/kl'])} nats: the "
        "policy still writes like the reference.",
        f"Next run: a learning rate above {options['learning_rate']:g}, or a beta below "
        f"{options['beta']:g}.",
    )


def progress(rows: Sequence[Row], known: Sequence[Row], options: Options, status: str) -> Story:
    """Tell where the pairs, the score and the KL stand in a run that no rule finds fault with."""
    last, total = known[-1], known[0].get("dpo/total_steps", rows[-1]["step"])
    score = trend(known, "objective/score")
    level = "good" if score.rose else "info"
    orders = [row["dpo/accuracy"] for row in rows if "dpo/accuracy" in row][-LAST_PAIRS:]
    pairs = f"{fmean(orders):.0%} of the last pairs are in the judge's order; " if orders else ""
    if len(known) < FEWEST:
        change = f"score {number(last['objective/score'])}, too few measurements to tell a trend"
    else:
        change = f"the score {score.words('SD')}"
        change += f" to {number(score.now)} (base: 0)" if score.rose or score.fell else ""
    where = f"step {rows[-1]['step']} of {total}: {pairs}{change}; "
    where += f"KL is {number(last['objective/kl'])} nats."
    if status == "finished":
        try_ = "Compare it with its reference, and with a PPO model at the same KL."
        return Story("finished", level, f"Finished at {where}", try_)
    if status == "stopped":
        try_ = "Resume it, or compare its model with the reference."
        return Story("stopped", level, f"Stopped at {where}", try_)
    return Story("learning", level, f"At {where}", "Read the samples: do you like them too?")
