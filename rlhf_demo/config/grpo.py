"""Options of GRPO."""

from dataclasses import dataclass

from rlhf_demo.config.options import option
from rlhf_demo.config.policy_gradient import GroupConfig


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(GroupConfig):
    """Stage 2 by GRPO: the rewards are standardised among the responses to one prompt."""

    kl_coef: float = option(
        0.25,
        "initial weight of the mean KL per token in the loss, standard deviations of the score "
        "per nat",
        low=0.0,
        high=10.0,
    )
