"""Options that PPO, RLOO and GRPO share: all three sample, score and update the same way."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option
from rlhf_demo.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PolicyGradientConfig(Options):
    """Options of every stage that trains a policy on its own samples."""

    policy: str = option("gpt2-mini", "model to train: shipped name, run folder, path or Hub id")
    reward: str = option(
        "reward-mini",
        "what scores the responses: a reward model (any model name), 'star-rater', 'longer', "
        "or package.module:function",
    )
    label: str | None = option(
        None, "label whose logit is the score, if the reward is a text classifier"
    )
    judge: str = option(
        "auto",
        "second scorer, to show where reward and judge disagree: a name as for the reward, 'auto' "
        "for the judge that labelled the reward's pairs, or 'none'",
    )
    prompts: str = option(
        "shipped", "'shipped', a text file with one prompt per line, or a JSONL file with 'prompt'"
    )
    total_steps: int = option(40, "steps of rollout and update", low=1, high=100_000)
    batch_size: int = option(64, "responses sampled per step", low=2, high=4096)
    minibatch_size: int = option(16, "responses per optimiser step", low=1, high=4096)
    ppo_epochs: int = option(2, "passes over each rollout", low=1, high=16)
    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "temperature of the policy; it divides the logits everywhere", low=0.05, high=5.0
    )
    learning_rate: float = option(5e-4, "peak learning rate of Adam", low=0.0, high=1.0)
    warmup_steps: int = option(5, "steps of linear warm-up", low=0, high=1_000_000)
    lora_rank: int = option(
        16, "rank of the LoRA adapter that is trained; 0 trains all weights", low=0, high=512
    )
    kl_coef: float = option(
        0.25, "initial KL coefficient, standard deviations of the score per nat", low=0.0, high=10.0
    )
    kl_target: float = option(
        2.5, "KL per response that the coefficient aims at, nats; 0 fixes the coefficient", low=0.0
    )
    kl_budget: float = option(10.0, "KL per response at which the run stops, nats", low=0.0)
    missing_eos_penalty: float = option(
        1.0,
        "subtracted from the score of a response that was cut short, in standard deviations",
        low=0.0,
    )
    clip_range: float = option(
        0.2,
        "how far a token's ratio may move from 1 before its gradient stops; at 10 it hardly ever "
        "does",
        low=0.0,
        high=10.0,
    )
    entropy_coef: float = option(0.0, "weight of the entropy bonus", low=0.0)
    max_grad_norm: float = option(
        1.0, "gradients with a larger norm are scaled down to it", low=0.0
    )
    clean_words: bool = option(
        False, "give rude words no probability, in the policy and in the reference"
    )
    samples_every: int = option(1, "steps between saved token-by-token samples", low=1)
    checkpoint_every: int = option(10, "steps between saved states", low=1)
    seed: int = option(0, "random seed of prompts, sampling and minibatches", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.minibatch_size:
            raise ConfigError(
                f"--batch-size is {self.batch_size}: "
                f"it must be a multiple of --minibatch-size ({self.minibatch_size})"
            )
        if self.kl_target and not self.kl_coef:
            raise ConfigError(
                f"--kl-coef is 0, so it cannot hold KL at --kl-target ({self.kl_target:g}): "
                "set --kl-target to 0 too"
            )

    @property
    def prompts_per_step(self) -> int:
        """How many prompts one rollout answers."""
        return self.batch_size

    @property
    def minibatches(self) -> int:
        """How many optimiser steps one rollout gets."""
        return self.ppo_epochs * self.batch_size // self.minibatch_size


@dataclass(frozen=True, kw_only=True)
class GroupConfig(PolicyGradientConfig):
    """Options of RLOO and GRPO, which compare the responses to one prompt with each other."""

    samples_per_prompt: int = option(
        4, "responses sampled for each prompt and compared with each other", low=2, high=256
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.samples_per_prompt:
            raise ConfigError(
                f"--batch-size is {self.batch_size}: "
                f"it must be a multiple of --samples-per-prompt ({self.samples_per_prompt})"
            )

    @property
    def prompts_per_step(self) -> int:
        """How many prompts one rollout answers, samples_per_prompt times each."""
        return self.batch_size // self.samples_per_prompt
