"""What a step gets by its number alone: its learning rate, and PPO's prompts."""

import math
from typing import Protocol

import torch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.models.sampling import seeded


class Scheduled(Protocol):
    """Options of a stage whose learning rate follows a schedule."""

    @property
    def learning_rate(self) -> float:
        """The highest rate."""

    @property
    def warmup_steps(self) -> int:
        """Steps in which the rate rises."""

    @property
    def total_steps(self) -> int:
        """Steps in all."""


def linear_rate(config: Scheduled, step: int) -> float:
    """Rise over warmup_steps, then fall in a line towards 0 (annealed: Huang et al. 2023).

    Args:
        step: from 1.
    """
    if step <= config.warmup_steps:
        return _warm_up(config, step)
    falling = max(config.total_steps - config.warmup_steps, 1)
    return config.learning_rate * (1.0 - (step - 1 - config.warmup_steps) / falling)


def cosine_rate(config: Scheduled, step: int, last: float = 0.0) -> float:
    """Rise over warmup_steps, then fall along half a cosine.

    Args:
        step: from 1.
        last: the rate of the last step, as a share of the highest.
    """
    if step <= config.warmup_steps:
        return _warm_up(config, step)
    done = (step - config.warmup_steps) / max(config.total_steps - config.warmup_steps, 1)
    return config.learning_rate * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * done)))


def _warm_up(config: Scheduled, step: int) -> float:
    return config.learning_rate * step / config.warmup_steps


def step_prompts(config: PPOConfig, prompts: list[str], step: int) -> list[str]:
    """Return the step's prompts: all prompts in random order, then all again in another one."""
    chosen: list[str] = []
    for position in range((step - 1) * config.batch_size, step * config.batch_size):
        lap, place = divmod(position, len(prompts))
        if place == 0 or not chosen:
            order = torch.randperm(
                len(prompts), generator=seeded(config.seed, "prompts", lap)
            ).tolist()
        chosen.append(prompts[order[place]])
    return chosen
