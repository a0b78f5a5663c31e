"""Options of PPO."""

from dataclasses import dataclass

from rlhf_demo.config.options import option
from rlhf_demo.config.policy_gradient import PolicyGradientConfig

SCALE_SAMPLES = 256
"""Samples of the base that give the reward's scale: their mean is known to 0.06 deviations."""


@dataclass(frozen=True, kw_only=True)
class PPOConfig(PolicyGradientConfig):
    """Stage 2: train the policy to score higher while it stays close to the reference."""

    value_clip_range: float = option(
        0.2,
        "how far a value may move per rollout before its gradient stops, in standard deviations "
        "of the score",
        low=0.0,
    )
    value_coef: float = option(0.1, "weight of the value loss", low=0.0)
    gamma: float = option(1.0, "discount per token", low=0.0, high=1.0)
    gae_lambda: float = option(
        0.95,
        "how far advantages look ahead: 0 is one token, 1 is to the end of the text",
        low=0.0,
        high=1.0,
    )
