"""The kinds of run: one row each, read by the command line, the jobs and the page.

CONTRIBUTING.md shows what a new row needs.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.options import Options
from rlhf_demo.config.overoptimise import OveroptimiseConfig
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS, Preset
from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.config.rater import RaterConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.config.sft import SFTConfig


class Task(TypedDict):
    """What a run trains, and with which options."""

    kind: str
    options: dict[str, Any]  # the fields of the stage's config


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of run.

    Attributes:
        kind: its name in config.json and in a run's id.
        command: its command on the command line.
        config: its options.
        help: what the command does, in a line.
        title: the page's name for such a run.
        tab: name of the page's tab that starts it and shows its board; None: no tab does.
        makes: what later stages get from it: a model that writes (`policy`), a model that scores
            (`reward`), or preference pairs.
        entry: `module:function` that trains, called with (config, run, resume=...).
        summary: `module:function` that describes a run's result, called with (run); empty if
            there is nothing to describe.
        headline: the metrics that lists of runs show.
        presets: named sets of options; the first one is the default.
        on_page: the page may start it; the other stages need data that the page does not have.
        processes: `accelerate launch` may start it in several processes.
    """

    kind: str
    command: str
    config: type[Options]
    help: str
    title: str
    tab: str | None = None
    makes: Literal["policy", "reward", "pairs"]
    entry: str
    summary: str = ""
    headline: tuple[str, ...] = ()
    presets: dict[str, Preset] = field(default_factory=dict[str, Preset])
    on_page: bool = False
    processes: bool = False


STAGES: dict[str, Stage] = {
    stage.kind: stage
    for stage in (
        Stage(
            kind="base",
            command="train-base",
            config=BaseConfig,
            help="pretrain a base model on text, or continue training one",
            title="Base model",
            makes="policy",
            entry="rlhf_demo.train.pretrain:train_base",
            summary="rlhf_demo.train.pretrain:summary",
            headline=("base/held_out_perplexity",),
        ),
        Stage(
            kind="rater",
            command="train-rater",
            config=RaterConfig,
            help="train the rater on star ratings",
            title="Simulated rater",
            makes="reward",
            entry="rlhf_demo.train.rater:train_rater",
            summary="rlhf_demo.train.rater:summary",
            headline=("rater/accuracy",),
        ),
        Stage(
            kind="pairs",
            command="make-pairs",
            config=PairsConfig,
            help="sample pairs of responses and let a judge choose",
            title="Preference pairs",
            makes="pairs",
            entry="rlhf_demo.train.pairs:make_pairs",
            summary="rlhf_demo.train.pairs:summary",
            on_page=True,
        ),
        Stage(
            kind="reward",
            command="train-reward",
            config=RewardConfig,
            help="fit a reward model to preference pairs",
            title="Reward model",
            tab="reward model",
            makes="reward",
            entry="rlhf_demo.train.reward:train_reward",
            summary="rlhf_demo.train.reward:summary",
            headline=("heldout/loss", "heldout/accuracy"),
            on_page=True,
        ),
        Stage(
            kind="ppo",
            command="train-ppo",
            config=PPOConfig,
            help="train a policy against a reward with PPO",
            title="PPO",
            tab="ppo",
            makes="policy",
            entry="rlhf_demo.train.ppo:train_ppo",
            summary="rlhf_demo.train.ppo:summary",
            headline=("objective/score", "objective/kl"),
            presets=PPO_PRESETS,
            on_page=True,
            processes=True,
        ),
        Stage(
            kind="rloo",
            command="train-rloo",
            config=RLOOConfig,
            help="train a policy against a reward with RLOO, without a value head",
            title="RLOO",
            tab="ppo",
            makes="policy",
            entry="rlhf_demo.train.rloo:train_rloo",
            summary="rlhf_demo.train.ppo:summary",
            headline=("objective/score", "objective/kl"),
            presets=PPO_PRESETS,
            on_page=True,
            processes=True,
        ),
        Stage(
            kind="grpo",
            command="train-grpo",
            config=GRPOConfig,
            help="train a policy against a reward with GRPO, without a value head",
            title="GRPO",
            tab="ppo",
            makes="policy",
            entry="rlhf_demo.train.grpo:train_grpo",
            summary="rlhf_demo.train.ppo:summary",
            headline=("objective/score", "objective/kl"),
            presets=PPO_PRESETS,
            on_page=True,
            processes=True,
        ),
        Stage(
            kind="dpo",
            command="train-dpo",
            config=DPOConfig,
            help="train a policy on preference pairs with DPO, without a reward model",
            title="DPO",
            tab="ppo",
            makes="policy",
            entry="rlhf_demo.train.dpo:train_dpo",
            summary="rlhf_demo.train.ppo:summary",
            headline=("objective/score", "objective/kl"),
            on_page=True,
        ),
        Stage(
            kind="sft",
            command="train-sft",
            config=SFTConfig,
            help="train a policy to imitate texts that people wrote or a judge preferred (SFT)",
            title="SFT",
            tab="ppo",
            makes="policy",
            entry="rlhf_demo.train.sft:train_sft",
            summary="rlhf_demo.train.ppo:summary",
            headline=("objective/score", "objective/kl"),
            on_page=True,
        ),
        Stage(
            kind="overoptimise",
            command="overoptimise",
            config=OveroptimiseConfig,
            help="push a reward model's score too far, and see what a judge makes of it",
            title="Too much of a good thing",
            tab="compare",
            makes="policy",
            entry="rlhf_demo.train.overoptimise:overoptimise",
            summary="rlhf_demo.train.overoptimise:summary",
            headline=("objective/score", "judge/score", "objective/kl"),
            on_page=True,
        ),
    )
}
"""Kind of run -> its row, in the order of the loop."""


def is_offline(kind: str) -> bool:
    """Say whether a stage trains a policy on given texts, as DPO and SFT do."""
    return issubclass(STAGES[kind].config, OfflineConfig)


def on_board(tab: str | None) -> dict[str, Stage]:
    """Return the stages that one tab starts, lists and shows, by kind."""
    return {kind: stage for kind, stage in STAGES.items() if stage.tab == tab}
