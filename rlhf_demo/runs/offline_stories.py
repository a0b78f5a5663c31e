"""What the curves of a DPO or an SFT run say, in one sentence, and what to try, in another.

Both sample nothing to learn from, so score and KL are known only at the steps that measure the
policy. The rules for them are PPO's (runs/ppo_stories.py).
"""

from collections.abc import Sequence
from statistics import fmean

from rlhf_demo.runs.ppo_stories import (
    UNMOVED_KL,
    diversity_falls,
    hold_closer,
    length_drifts,
    score_fell_back,
    score_words,
)
from rlhf_demo.runs.story import LONG, Options, Row, Story, failed, waiting, warning
from rlhf_demo.runs.trend import FEWEST, NOISE, number, trend

FAR = 10.0
"""Nats per response at which a PPO run with the default budget would end."""
LAST_PAIRS = 20
"""Steps over which the share of pairs in order is averaged: a single one has eight pairs."""
LEARNED_BY_HEART = 1.05
"""How many times its lowest value the held-out loss has to be, to be called risen."""


def measured(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the steps that measured the policy."""
    return [row for row in rows if row.get("objective/score") is not None]


def offline_story(
    rows: Sequence[Row], options: Options, status: str, message: str = "", awaited: str = ""
) -> Story:
    """Tell how a DPO or an SFT run stands; arguments as of `ppo_story`."""
    known = measured(rows)
    if story := failed(rows, status, message) or waiting(known, status, awaited):
        return story
    return (
        far_from_the_base(known, options)
        or learned_by_heart(known)
        or diversity_falls(known, options)
        or fell_back(known, options)
        or length_drifts(known, options)
        or policy_unmoved(known, options)
        or progress(rows, known, status)
    )


def far_from_the_base(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the policy has moved far: no KL budget would end the run."""
    kl = rows[-1]["objective/kl"]
    if kl <= FAR:
        return None
    return warning(
        "far_from_the_base",
        f"The policy is {number(kl)} nats from the base, and no KL budget ends this run.",
        f"Read the texts: are they still good English? Next run: {hold_closer(options)}.",
    )


def fell_back(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that DPO's score fell again; SFT imitates texts, whatever they score."""
    return score_fell_back(rows, options) if "beta" in options else None


def learned_by_heart(rows: Sequence[Row]) -> Story | None:
    """Tell that SFT's loss on held-out texts rises again."""
    losses = [row["sft/heldout_loss"] for row in rows if "sft/heldout_loss" in row]
    if len(losses) < FEWEST or losses[-1] < LEARNED_BY_HEART * min(losses):
        return None
    best = rows[losses.index(min(losses))]["step"]
    return warning(
        "learned_by_heart",
        f"The loss on held-out texts was lowest at step {best} ({number(min(losses))} nats per "
        f"token) and is now {number(losses[-1])}: the policy is memorising its training texts.",
        "Next run: more texts, or fewer epochs.",
    )


def policy_unmoved(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the policy still writes as the reference does."""
    if len(rows) < LONG or trend(rows, "objective/kl").now >= UNMOVED_KL:
        return None
    other = f"a beta below {options['beta']:g}" if "beta" in options else "more epochs"
    return warning(
        "policy_unmoved",
        f"After step {rows[-1]['step']} KL is still {number(rows[-1]['objective/kl'])} nats: the "
        "policy still writes like the reference.",
        f"Next run: a learning rate above {options['learning_rate']:g}, or {other}.",
    )


def progress(rows: Sequence[Row], known: Sequence[Row], status: str) -> Story:
    """Tell where the data, the score and the KL stand in a run that no rule finds fault with."""
    last = known[-1]
    total = known[0].get("dpo/total_steps", known[0].get("sft/total_steps", rows[-1]["step"]))
    score = trend(known, "objective/score")
    error = last.get("objective/score_se", 0.0)  # of the texts of one measurement
    level = "good" if score.rose and score.gain > NOISE * error else "info"
    if len(known) < FEWEST:
        change = f"score {number(last['objective/score'])}, too few measurements to tell a trend"
    elif abs(score.gain) <= NOISE * error:
        change = f"averaged over a few measurements, the score moved by {number(score.gain, '+')} "
        change += f"SD, less than {NOISE:g} times its standard error ({number(error)})"
    else:
        change = f"averaged over a few measurements, {score_words(score)}"
    where = f"step {rows[-1]['step']} of {total}: {_learned(rows, known)}{change}; "
    where += f"KL is {number(last['objective/kl'])} nats."
    if status == "finished":
        try_ = "Compare it with its reference, and with a PPO model at the same KL."
        return Story("finished", level, f"Finished at {where}", try_)
    if status == "stopped":
        try_ = "Resume it, or compare its model with the reference."
        return Story("stopped", level, f"Stopped at {where}", try_)
    return Story("learning", level, f"At {where}", "Read the texts: do you like them too?")


def _learned(rows: Sequence[Row], known: Sequence[Row]) -> str:
    """Say how well the policy fits the data."""
    orders = [row["dpo/accuracy"] for row in rows if "dpo/accuracy" in row][-LAST_PAIRS:]
    if orders:
        share = f"{fmean(orders):.0%}"
        return f"in {share} of the last pairs, the preferred text has the higher implicit reward; "
    if "sft/heldout_loss" in known[-1]:
        first, last = (f"{row['sft/heldout_loss']:.3f}" for row in (known[0], known[-1]))
        return f"the loss on held-out texts went from {first} to {last} nats per token; "
    return ""
