"""What the figures of a reward model's run say, in one sentence, and what to try, in another.

Rules as in runs/ppo_stories.py, over the rows of metrics.jsonl and the report.
"""

from collections.abc import Sequence
from statistics import fmean

from rlhf_demo.files import Row
from rlhf_demo.runs.reports import RewardReport
from rlhf_demo.runs.story import LONG, Story, failed, waiting, warning
from rlhf_demo.runs.trend import FEWEST

GAP = 0.1  # training less held-out accuracy: from here pairs are memorised
TOO_SURE = 0.05  # probability as stated less share right: from here it is overconfident


def reward_story(
    rows: Sequence[Row], report: RewardReport | None, status: str, message: str = ""
) -> Story:
    """Tell how a reward model's run stands.

    Args:
        rows: what metrics.jsonl holds so far.
        report: what reliability.held_out_report found; None until the run has finished.
        status: queued, running, finished, failed or stopped.
        message: the status in words; it tells a diverged run from another failure.
    """
    trained = [row for row in rows if "reward/loss" in row]
    if story := failed(trained, status, message) or (not report and waiting(trained, status)):
        return story
    judged = (rule(trained, report) for rule in REWARD_RULES)
    return next(filter(None, judged), None) or reward_progress(trained, report, status)


def guessing(rows: Sequence[Row], report: RewardReport | None) -> Story | None:
    """Tell that the finished model may be no better than a coin."""
    if not report or report["accuracy_low"] > 0.5:
        return None
    return warning(
        "guessing",
        f"The reward model gets {share_right(report)}: that may be guessing (50%).",
        "Give it more pairs, or pairs whose two responses differ more.",
    )


def worse_than_guessing(rows: Sequence[Row], report: RewardReport | None) -> Story | None:
    """Tell that the finished model is wrong more often than a coin."""
    if not report or report["accuracy_high"] >= 0.5:
        return None
    return warning(
        "worse_than_guessing",
        f"The reward model gets {share_right(report)}: that is worse than guessing (50%).",
        "Check whether chosen and rejected are swapped in your data.",
    )


def length_does_as_well(rows: Sequence[Row], report: RewardReport | None) -> Story | None:
    """Tell that picking always the longer, or always the shorter, may be as good as the model."""
    if not report or report["accuracy_low"] > report["baseline_length"]:
        return None
    return warning(
        "length_does_as_well",
        f"The reward model gets {share_right(report)}; {by_length(report)}, so length "
        "alone may explain that.",
        "Give it pairs of similar length, so that length does not decide.",
    )


def learned_by_heart(rows: Sequence[Row], report: RewardReport | None) -> Story | None:
    """Tell that it knows its training pairs far better than others, at the last look at those."""
    looks = [index for index, row in enumerate(rows) if "heldout/accuracy" in row]
    if not looks or looks[-1] < LONG:
        return None
    held_out = rows[looks[-1]]["heldout/accuracy"]
    training = lately(rows[: looks[-1] + 1])
    if training - held_out <= GAP or (report and training <= report["accuracy_high"]):
        return None
    return warning(
        "learned_by_heart",
        f"The reward model gets {training:.0%} of its training pairs right but {held_out:.0%} of "
        "the held-out ones: it is memorising the pairs.",
        "Next run: fewer epochs, a lower learning rate or more pairs.",
    )


def overconfident(rows: Sequence[Row], report: RewardReport | None) -> Story | None:
    """Tell that the finished model is surer of its choices than it is right."""
    if not report:
        return None
    stated = report["stated"]
    if stated - report["accuracy"] <= TOO_SURE or stated <= report["accuracy_high"]:
        return None
    return warning(
        "overconfident",
        f"The reward model is {stated:.0%} sure of its choices on average, "
        f"but gets {share_right(report)}.",
        "Trust the order of its scores more than their size. Next run: fewer epochs.",
    )


REWARD_RULES = (worse_than_guessing, guessing, length_does_as_well, learned_by_heart, overconfident)


def reward_progress(rows: Sequence[Row], report: RewardReport | None, status: str) -> Story:
    """Tell how many pairs the model gets right in a run that no rule finds fault with."""
    if report:
        return Story(
            "finished",
            "good",
            f"The reward model gets {share_right(report)}; {by_length(report)}.",
            "Train a policy with it, then read what it rewards.",
        )
    stopped = status == "stopped"
    opening = f"{'Stopped at step' if stopped else 'Step'} {rows[-1]['step']}"
    looks = [row["heldout/accuracy"] for row in rows if "heldout/accuracy" in row]
    right = f"{lately(rows):.0%} of the training pairs right (guessing: 50%)"
    words = f"the reward model recently got {right}"
    if len(rows) < FEWEST:
        words = "too few pairs seen to tell learning from guessing"
    elif looks:
        words += f", and {looks[-1]:.0%} of the held-out pairs at the last evaluation"
    key = "stopped" if stopped else "early" if len(rows) < FEWEST else "learning"
    try_ = "Resume it: its report comes at the end." if stopped else "Wait for its report."
    return Story(key, "info", f"{opening}: {words}.", try_)


# -- in words --------------------------------------------------------------------------------------


def share_right(report: RewardReport) -> str:
    """Say what share of the held-out pairs is right, with its 95% interval in percent."""
    interval = f"[{100 * report['accuracy_low']:.0f}, {100 * report['accuracy_high']:.0f}]"
    return f"{report['accuracy']:.0%} of {tested_on(report)} right {interval}"


def tested_on(report: RewardReport) -> str:
    """Name what a reward model was tested on; several people may have voted on one pair."""
    votes, pairs = report["pairs"], f"{report['different_pairs']:,} held-out pairs"
    return f"{votes:,} votes on {pairs}" if votes > report["different_pairs"] else pairs


def by_length(report: RewardReport) -> str:
    """Say how far a rule of thumb comes that looks at nothing but length."""
    side, share = report["baseline_side"], report["baseline_length"]
    return f"just picking the {side} response gets {share:.0%}"


def lately(rows: Sequence[Row]) -> float:
    """Return the training accuracy of the last 20 steps: one step has a few pairs only."""
    return fmean([row["reward/accuracy"] for row in rows[-20:]])
