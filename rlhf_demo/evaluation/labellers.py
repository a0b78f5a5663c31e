"""Who labelled the pairs that a reward learned from, and so who can judge what it rewards.

A judge that knows nothing of the reward's taste would show it parting from the reward where nothing
is amiss; a judge that is the reward itself would always agree.
"""

from pathlib import Path
from typing import Any

from rlhf_demo.config.scorers import RULES, STAR_RATER, WORD_JUDGE, second_judge
from rlhf_demo.data.pairs import SHIPPED, is_pairs_run
from rlhf_demo.errors import DemoError
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Run

SHIPPED_REWARD = "reward-mini"
AUTO, NOBODY = "auto", "none"
"""What stands for a judge: the one that fits the reward, and none."""


def labeller(reward: str) -> str | None:
    """Return the rater whose pairs a reward model learned from; None where it is not known, or
    where people voted.

    Args:
        reward: as train-ppo takes it.
    """
    if reward == SHIPPED_REWARD:
        return STAR_RATER
    data = _options(reward, "reward").get("data")
    if data == SHIPPED:
        return STAR_RATER
    if data and is_pairs_run(data):
        return _options(data, "pairs").get("rater")
    return None


def judge_of(judge: str, reward: str) -> str:
    """Return who judges a PPO run: a scorer's name, or NOBODY.

    Args:
        judge: the run's option; AUTO takes whoever labelled the reward's pairs, and for the two
            shipped raters as rewards the other one.
        reward: the run's option.
    """
    if judge != AUTO:
        return judge
    if reward in (STAR_RATER, WORD_JUDGE):
        return second_judge(reward)
    known = labeller(reward)
    return known if known in (STAR_RATER, *RULES) else NOBODY


def _options(name: str, kind: str) -> dict[str, Any]:
    """Return the options of a run of this kind; none where the name is another thing's."""
    for folder in (Path(name).expanduser(), CHECKPOINTS.parent / name):
        try:
            config = Run(folder).config
        except (DemoError, OSError):
            continue
        return config["options"] if config["kind"] == kind else {}
    return {}
