"""Options of RLOO."""

from dataclasses import dataclass

from rlhf_demo.config.policy_gradient import GroupConfig


@dataclass(frozen=True, kw_only=True)
class RLOOConfig(GroupConfig):
    """Stage 2 by RLOO: the baseline is the mean of the other responses to the same prompt."""
