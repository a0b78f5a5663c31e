"""Options for pushing a policy past what its reward model knows."""

from dataclasses import dataclass

from rlhf_demo.config.evaluation import MOST_BEST_OF
from rlhf_demo.config.options import DEVICES, DTYPES, Options, option
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.scorers import FLUENCY_JUDGE
from rlhf_demo.errors import ConfigError

SIZES = (100, 400, 1241)
"""Training pairs of the three proxies: a few, some, and all of the shipped ones."""
PROXY = "proxy"
"""Folder of the proxy's training inside the run's folder."""


@dataclass(frozen=True, kw_only=True)
class OveroptimiseConfig(Options):
    """Too much of a good thing: train a reward model on some pairs, then maximise its score by
    best-of-N and by PPO without a KL penalty, while another judge scores the same texts.
    """

    policy: str = option(
        "gpt2-mini",
        "model that writes, learns, and gets the reward model's head: shipped name, run folder, "
        "path or Hub id",
    )
    data: str = option(
        "shipped", "preference pairs for the reward model, as train-reward takes them"
    )
    train_pairs: int = option(
        SIZES[0], "maximum number of training pairs of the reward model", low=8, high=1_000_000
    )
    judge: str = option(
        FLUENCY_JUDGE,
        "scorer whose score is compared with the reward model's: 'fluency-judge', 'star-rater', "
        "'word-judge', 'longer', a model, or package.module:function",
    )
    prompts: str = option(
        "shipped", "'shipped', a text file with one prompt per line, or a JSONL file with 'prompt'"
    )
    best_of: int = option(
        MOST_BEST_OF, "responses to each prompt, for best-of-N", low=2, high=MOST_BEST_OF
    )
    best_of_prompts: int = option(32, "prompts of best-of-N", low=2, high=10_000)
    total_steps: int = option(30, "steps of PPO", low=1, high=100_000)
    checkpoint_every: int = option(10, "steps of PPO between saved states", low=1)
    seed: int = option(0, "random seed of everything", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.judge in ("auto", "none"):
            raise ConfigError(f"--judge is {self.judge!r}: name the judge to compare with")

    @property
    def proxy(self) -> RewardConfig:
        """Options of the reward model's training."""
        return RewardConfig(
            model=self.policy,
            data=self.data,
            train_pairs=self.train_pairs,
            seed=self.seed,
            dtype=self.dtype,
            device=self.device,
        )

    @property
    def ppo(self) -> PPOConfig:
        """Options of PPO: the preset without a KL penalty."""
        return PPOConfig(
            **PPO_PRESETS["no-kl"].options,
            policy=self.policy,
            reward=PROXY,
            judge=self.judge,
            prompts=self.prompts,
            total_steps=self.total_steps,
            checkpoint_every=self.checkpoint_every,
            seed=self.seed,
            dtype=self.dtype,
            device=self.device,
        )
