"""What the page says about a judge: its unit, what it is, and its part in the training.

A win rate misleads readers who do not know that the judge labelled the very pairs that the reward
model learned from. So the page says this next to the win rate.
"""

from typing import TypedDict

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.scorers import FLUENCY_JUDGE, STAR_RATER, WORD_JUDGE, second_judge
from rlhf_demo.config.stages import STAGES
from rlhf_demo.evaluation.labellers import SHIPPED_REWARD, labeller, labeller_of_pairs
from rlhf_demo.server.choices import RULE, Choices


class Named(TypedDict):
    """A model or scorer: its id in the lists, and its name for people."""

    id: str
    name: str


class NamedScorer(Named):
    """A scorer with the unit of its scores."""

    unit: str


class Judge(NamedScorer):
    """What the page says about a judge."""

    title: str  # the judge in a few words
    note: str  # its part in the training; empty if unknown


SHIPPED_PPO = "gpt2-mini-ppo"
LOG_ODDS = "log-odds that the writer liked the film"
UNITS = {
    STAR_RATER: LOG_ODDS,
    WORD_JUDGE: LOG_ODDS,
    FLUENCY_JUDGE: f"{LOG_ODDS}, less penalties",
    RULE: "characters",
}
REWARD_UNIT = "standard deviations of the base\u2019s scores"
"""The unit of a reward model trained here; its mean on the base's texts is 0."""

TAUGHT = (
    "{judge} labelled the pairs that the training learned from, so here it judges its own taste."
)
ONE_NETWORK = (
    " star-rater is built on the shipped base. Reward models and PPO models trained from that base "
    "share its network, so what one of them misses, the others may miss too."
)
CHOOSER = (
    "{judge} chose the best responses, so a win by its judgement only shows that choosing worked."
)
REWARD = "PPO was trained to please {judge}, so a win by its judgement only shows that PPO worked."
READS_WITH = (
    "{judge} takes star-rater\u2019s score and subtracts for text that the base finds unlikely and "
    "for repetition, so it shares their network."
)
APART = "{judge} shares no network with the models."
NO_PART = (
    "{judge} shares no network with the models and had no part in their training, but it learned "
    "from the same star ratings as star-rater."
)


def unit(choices: Choices, scorer: str) -> str:
    """Return the unit of a scorer's numbers."""
    rewards = [reward for _, reward in choices.rewards()]
    return UNITS.get(scorer, REWARD_UNIT if scorer in rewards else "logits")


def judges(
    choices: Choices,
    left: str,
    right: str,
    chosen: str,
    name: str,
    *,
    chosen_by: str | None = None,
) -> list[Judge]:
    """Describe the judge that was chosen, and the second judge next to it.

    Args:
        left, right: ids of the models that are judged.
        chosen: id of the judge.
        name: its name on the page.
        chosen_by: id of the scorer that chose the best of several responses; None if none did.
    """
    taught_by = [teachers(choices, model) for model in (right, left)]
    if chosen_by:
        taught_by.append(_with_labeller(choices.reward(chosen_by)))
    reward, teacher = next((pair for pair in taught_by if any(pair)), (None, None))
    second = second_judge(chosen)
    return [
        {
            "id": judge,
            "name": judge_name,
            "unit": unit(choices, judge),
            "title": _title(judge, taught=judge == teacher),
            "note": (
                CHOOSER if judge == chosen_by else _note(choices, judge, reward, teacher)
            ).format(judge=judge_name),
        }
        for judge, judge_name in ((chosen, name), (second, second))
    ]


def _title(judge: str, *, taught: bool) -> str:
    if judge == STAR_RATER:
        return "the simulated judge that labelled the pairs" if taught else "a simulated judge"
    if judge == WORD_JUDGE:
        return "a simulated judge of another kind, which only counts words"
    if judge == FLUENCY_JUDGE:
        return "a simulated judge of sentiment and writing"
    return "a rule: the longer text wins" if judge == RULE else "a model that scores texts"


def _note(choices: Choices, judge: str, reward: str | None, labeller: str | None) -> str:
    if reward is not None and choices.reward(judge) == reward:
        return REWARD
    if judge == labeller:
        return TAUGHT + (ONE_NETWORK if judge in (STAR_RATER, FLUENCY_JUDGE) else "")
    if judge == FLUENCY_JUDGE:
        return READS_WITH
    if judge == WORD_JUDGE:  # it may have labelled pairs that a visitor uploaded
        return NO_PART if labeller else APART
    return ""


def teachers(choices: Choices, model: str) -> tuple[str | None, str | None]:
    """Return the reward that a model was trained on, and who labelled the pairs behind it.

    DPO and supervised fine-tuning learn from the pairs themselves, and only measure a reward.

    Returns:
        The reward as train-ppo takes it, and the labeller's id; None for what does not exist or is
        unknown.
    """
    run_id = model.partition("@")[0]
    if model == SHIPPED_PPO:
        reward = SHIPPED_REWARD
    elif any(row["id"] == run_id for row in choices.jobs.overview()):
        config = choices.jobs.find(run_id).config
        if issubclass(STAGES[config["kind"]].config, OfflineConfig):
            return None, labeller_of_pairs(config["options"]["data"])
        reward = config["options"]["reward"]
    else:
        return None, None
    return _with_labeller(reward)


def _with_labeller(reward: str) -> tuple[str, str | None]:
    return reward, labeller(reward)
