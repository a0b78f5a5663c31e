"""What follows from a step's number alone: its learning rate, and its prompts in PPO."""

import math
from typing import Protocol

import torch

from rlhf_demo.config.policy_gradient import PolicyGradientConfig
from rlhf_demo.models.sampling import seeded


class Scheduled(Protocol):
    """Options of a stage with a learning-rate schedule."""

    @property
    def learning_rate(self) -> float:
        """The peak, which is reached at the end of the warm-up."""
        ...

    @property
    def warmup_steps(self) -> int:
        """Steps over which the rate rises."""
        ...

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        ...


def linear_rate(config: Scheduled, step: int) -> float:
    """Return the rate of a step: a linear rise over warmup_steps, then a linear fall towards 0.

    Huang et al. 2023 anneal PPO's rate so.

    Args:
        step: counted from 1.
    """
    if step <= config.warmup_steps:
        return _warm_up(config, step)
    decay_steps = max(config.total_steps - config.warmup_steps, 1)
    return config.learning_rate * (1.0 - (step - 1 - config.warmup_steps) / decay_steps)


def cosine_rate(config: Scheduled, step: int, last: float = 0.0) -> float:
    """Return the rate of a step: a linear rise over warmup_steps, then half a cosine.

    Args:
        step: counted from 1.
        last: the rate of the last step as a fraction of the peak.
    """
    if step <= config.warmup_steps:
        return _warm_up(config, step)
    decay_steps = max(config.total_steps - config.warmup_steps, 1)
    progress = (step - config.warmup_steps) / decay_steps
    return config.learning_rate * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress)))


def _warm_up(config: Scheduled, step: int) -> float:
    return config.learning_rate * step / config.warmup_steps


def step_prompts(config: PolicyGradientConfig, prompts: list[str], step: int) -> list[str]:
    """Return one prompt for each response of a step: prompts_per_step, each repeated in a row.

    The steps run through all prompts, which are reshuffled each epoch.
    """
    chosen: list[str] = []
    order: list[int] = []
    count = config.prompts_per_step
    for position in range((step - 1) * count, step * count):
        epoch, index = divmod(position, len(prompts))
        if index == 0 or not order:
            generator = seeded(config.seed, "prompts", epoch)
            order = torch.randperm(len(prompts), generator=generator).tolist()
        chosen.append(prompts[order[index]])
    return [prompt for prompt in chosen for _ in range(config.batch_size // count)]
