"""Experiments with a question to answer before the curve: what each changes, and what decides."""

from dataclasses import dataclass, field
from typing import Any, Literal

from rlhf_demo.config.presets import PPO_PRESETS


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One change of the default PPO run, and a question about how the changed run ends.

    A metric of the finished run decides between the answers, which are in ascending order. A value
    on a bound belongs to the upper answer.

    Attributes:
        title: its name on the page.
        change: what differs from the default run, in a sentence.
        kind: the stage of the run.
        options: what differs in the run's options.
        reward: what differs in the options of the reward model that is trained first; None: the
            shipped reward model or a rule scores.
        question: what the student answers before the run.
        metric: the metric that decides, see metrics.py.
        compared: the metric as a multiple of the default run's (`times`), as a difference from it
            (`minus`), or on its own (`alone`).
        bounds: between the three answers.
        answers: in the order of the metric, the lowest first.
    """

    title: str
    change: str
    kind: Literal["ppo", "rloo"] = "ppo"
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    reward: dict[str, Any] | None = None
    question: str
    metric: str
    compared: Literal["times", "minus", "alone"]
    bounds: tuple[float, float]
    answers: tuple[str, str, str]


DEFAULT_RUN, DEFAULT_REWARD = "ppo-quick", "reward-shipped"
"""The shipped examples that every experiment is compared with: all options are the defaults."""
FEW_PAIRS = 100


def _of_reward_model(title: str, change: str, reward: dict[str, Any]) -> Experiment:
    """Return an experiment whose reward model is trained otherwise than the default one."""
    return Experiment(
        title=title,
        change=change,
        reward=reward,
        question="PPO maximises this reward model\u2019s score. A simulated judge, star-rater, "
        "scores some of the same texts. In the default run, the judge\u2019s score rises too. How "
        "much of that rise will this run reach at the end?",
        metric="judge/score",
        compared="times",
        bounds=(0.5, 0.9),
        answers=("less than half", "half to nine tenths", "nine tenths or more"),
    )


def _label_noise(share: float) -> Experiment:
    return _of_reward_model(
        f"{share:.0%} label noise",
        f"In {share:.0%} of the reward model\u2019s training pairs, the chosen and the rejected "
        "text are swapped.",
        {"label_noise": share},
    )


EXPERIMENTS: dict[str, Experiment] = {
    "no-kl": Experiment(
        title="KL penalty 0",
        change="Moving away from the base costs nothing, and the run stops only at 200 nats, not "
        "at 10.",
        options=PPO_PRESETS["no-kl"].options,
        question="How high will the KL from the base be at the end?",
        metric="objective/kl",
        compared="times",
        bounds=(2.0, 10.0),
        answers=("less than twice the default run\u2019s", "2 to 10 times", "10 times or more"),
    ),
    "flipped-20": _label_noise(0.2),
    "flipped-40": _label_noise(0.4),
    "length-rule": Experiment(
        title="Length as reward",
        change="The score of a text is its number of characters. No reward model reads it.",
        options={"reward": "longer", "judge": "star-rater"},
        question="What will a simulated judge, star-rater, think of the texts at the end? It "
        "scores how much the writer liked the film.",
        metric="judge/score",
        compared="alone",
        bounds=(-0.3, 0.3),
        answers=(
            "it scores them lower than the base\u2019s texts",
            "about the same, within 0.3 standard deviations",
            "it scores them higher than the base\u2019s texts",
        ),
    ),
    "clip-10": Experiment(
        title="Clip range 10",
        change="In the default run the clip stops the push once a token\u2019s probability has "
        "changed by a fifth in a step. Here it stops a rise only once the probability is "
        "11 times as high, and never stops a fall.",
        options={"clip_range": 10.0},
        question="Where will the score end?",
        metric="objective/score",
        compared="minus",
        bounds=(-0.2, 0.2),
        answers=(
            "lower than in the default run",
            "about the same, within 0.2 standard deviations",
            "higher than in the default run",
        ),
    ),
    "pairs-100": _of_reward_model(
        f"{FEW_PAIRS} pairs",
        f"The reward model learns from {FEW_PAIRS} pairs instead of 1,241.",
        {"train_pairs": FEW_PAIRS},
    ),
    "rloo": Experiment(
        title="RLOO instead of PPO",
        change="There is no value head: each text is compared with three others for the same "
        "prompt. A step samples as many texts as PPO\u2019s, for a quarter as many prompts.",
        kind="rloo",
        question="Where will the score end?",
        metric="objective/score",
        compared="minus",
        bounds=(-0.2, 0.2),
        answers=(
            "lower than PPO\u2019s",
            "about the same, within 0.2 standard deviations",
            "higher than PPO\u2019s",
        ),
    ),
}
"""Id -> experiment, in the order of the page."""
