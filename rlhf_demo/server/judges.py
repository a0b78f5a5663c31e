"""What the page says about a judge: its unit, what it is, and its part in the training.

A win rate misleads readers who do not know that the judge labelled the very pairs that the reward
model learned from. So the page says this next to the win rate.
"""

from typing import NamedTuple, TypedDict

from rlhf_demo.config.scorers import FLUENCY_JUDGE, STAR_RATER, WORD_JUDGE, second_judge
from rlhf_demo.config.stages import STAGES, is_offline
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


class Taught(NamedTuple):
    """What a model learned from; None for what does not exist or is unknown."""

    method: str = ""  # its name for people
    reward: str | None = None  # as train-ppo takes it; None if the method learns from given texts
    labeller: str | None = None  # id of who labelled the reward's pairs, or the model's own pairs


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
    "{judge} labelled the pairs that this training used, so the model was trained to its taste."
)
ONE_NETWORK = (
    " star-rater is built on the shipped base. Reward models and PPO models trained from that base "
    "share its network, so what one of them misses, the others may miss too."
)
CHOOSER = (
    "{judge} chose the best responses, so a win by its judgement only shows that choosing worked."
)
REWARD = (
    "The {method} model was trained to please {judge}, so a win by its judgement only shows that "
    "{method} worked."
)
READS_WITH = (
    "{judge} takes star-rater\u2019s score and subtracts penalties for repetition and for text "
    "that the base finds unlikely, so it uses the same network as star-rater and the base."
)
APART = "{judge} shares no network with the models."
NO_PART = (
    "{judge} shares no network with the models and had no part in their training, but it learned "
    "from the same star ratings as star-rater."
)


def unit(choices: Choices, scorer: str) -> str:
    """Return the unit of a scorer's numbers."""
    rewards = [reward for _, reward in choices.scorers()]
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
        reward = choices.reward(chosen_by)
        taught_by.append(Taught("", reward, labeller(reward)))
    taught = next((one for one in taught_by if one.reward or one.labeller), Taught())
    second = second_judge(chosen)
    return [
        {
            "id": judge,
            "name": judge_name,
            "unit": unit(choices, judge),
            "title": _title(judge, taught=judge == taught.labeller),
            "note": (CHOOSER if judge == chosen_by else _note(choices, judge, taught)).format(
                judge=judge_name, method=taught.method
            ),
        }
        for judge, judge_name in ((chosen, name), (second, second))
    ]


def _title(judge: str, *, taught: bool) -> str:
    if judge == STAR_RATER:
        return "the simulated judge that labelled the pairs" if taught else "a simulated judge"
    if judge == WORD_JUDGE:
        return "a simulated judge of another kind, which only adds up weights of words"
    if judge == FLUENCY_JUDGE:
        return "a simulated judge of sentiment and writing"
    return "a rule: the longer text wins" if judge == RULE else "a model that scores texts"


def _note(choices: Choices, judge: str, taught: Taught) -> str:
    if taught.reward is not None and choices.reward(judge) == taught.reward:
        return REWARD
    if judge == taught.labeller:
        return TAUGHT + (ONE_NETWORK if judge in (STAR_RATER, FLUENCY_JUDGE) else "")
    if judge == FLUENCY_JUDGE:
        return READS_WITH
    if judge == WORD_JUDGE:  # it may have labelled pairs that a visitor uploaded
        return NO_PART if taught.labeller else APART
    return ""


def teachers(choices: Choices, model: str) -> Taught:
    """Return what a model learned from, by its id."""
    if model == SHIPPED_PPO:
        return Taught("PPO", SHIPPED_REWARD, labeller(SHIPPED_REWARD))
    run_id = model.partition("@")[0]
    if all(row["id"] != run_id for row in choices.jobs.overview()):
        return Taught()
    config = choices.jobs.find(run_id).config
    method, options = STAGES[config["kind"]].title, config["options"]
    if is_offline(config["kind"]):  # its option `reward` only shows how it gets on
        return Taught(method, None, labeller_of_pairs(options["data"]))
    reward = options.get("reward")
    return Taught(method, reward, labeller(reward)) if reward else Taught()
