"""What a PPO step gets by its number alone: its learning rate and its prompts."""

import torch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.models.sampling import seeded


def learning_rate(config: PPOConfig, step: int) -> float:
    """Rise over warmup_steps, then fall in a line towards 0 (annealed: Huang et al. 2023).

    Args:
        step: from 1.
    """
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    falling = max(config.total_steps - config.warmup_steps, 1)
    return config.learning_rate * (1.0 - (step - 1 - config.warmup_steps) / falling)


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
