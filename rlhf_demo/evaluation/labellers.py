"""The labeller of the pairs that a reward model learned from, which is the judge that fits it.

A judge with another taste would disagree with the reward even if nothing is wrong; the reward
itself as judge would always agree.
"""

from typing import Any

from rlhf_demo.config.scorers import HARSHNESS, RULES, SIMULATED, STAR_RATER, second_judge
from rlhf_demo.data.pairs import SHIPPED, is_pairs_run
from rlhf_demo.errors import DemoError
from rlhf_demo.files import is_record
from rlhf_demo.paths import CHECKPOINTS, typed_path
from rlhf_demo.runs.run import Run

SHIPPED_REWARD = "reward-mini"
AUTO, NO_JUDGE = "auto", "none"
"""Values of the option `judge`: the judge that fits the reward, and none."""


def labeller(reward: str) -> str | None:
    """Return the scorer that labelled a reward model's pairs; None if unknown, or if people did.

    Args:
        reward: the reward, as train-ppo takes it.
    """
    if reward == SHIPPED_REWARD:
        return STAR_RATER
    return labeller_of_pairs(_options(reward, "reward").get("data"))


def labeller_of_pairs(data: str | None) -> str | None:
    """Return the scorer that labelled pairs; None if unknown, or if people did.

    Args:
        data: the pairs, as train-reward takes them; None for none.
    """
    if data == SHIPPED:
        return STAR_RATER
    if data and is_pairs_run(data):
        return _options(data, "pairs").get("rater")
    return None


def judge_of(judge: str, reward: str) -> str:
    """Return the name of the scorer that judges a PPO run, or NO_JUDGE.

    Args:
        judge: the run's option. AUTO takes the labeller of the reward's pairs; if the reward itself
            is a simulated judge or the shipped classifier, it takes one that shares no network with
            it.
        reward: the run's option.
    """
    if judge != AUTO:
        return judge
    if reward in (*SIMULATED, HARSHNESS):
        return second_judge(reward)
    known = labeller(reward)
    return known if known in (STAR_RATER, *RULES) else NO_JUDGE


def _options(name: str, kind: str) -> dict[str, str]:
    """Return the options that are texts of the run of this name and kind.

    There are none if there is no such run; a copied one may have anything in its config.json.
    """
    for folder in (typed_path(name), CHECKPOINTS.parent / name):
        try:
            config = Run(folder).config
        except (DemoError, OSError):
            continue
        options: Any = config["options"]
        if config["kind"] != kind or not is_record(options):
            return {}
        return {key: value for key, value in options.items() if isinstance(value, str)}
    return {}
