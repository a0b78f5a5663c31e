"""From rewards and values to advantages.

Shapes: [batch, time], as in masks.py.
"""

import torch
from torch import Tensor

from rlhf_demo.objectives.masks import check_shapes


def gae(
    rewards: Tensor, values: Tensor, response_mask: Tensor, *, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Estimate how much better each token was than the value head expected.

    Generalised advantage estimation (Schulman et al. 2016, equation 16), from the last token back:

        delta_t = r_t + gamma * V_t+1 - V_t            A_t = delta_t + gamma * lambda * A_t+1

    A response ends at its last real token, so the value and the advantage after it are 0.

    Args:
        rewards: [batch, time], r_t, reward units.
        values: [batch, time], V_t, the value head's estimate *before* token t, reward units.
        response_mask: [batch, time], True = real token; real tokens come first.

    Returns:
        advantages A_t and returns A_t + V_t, [batch, time], 0 outside the mask, not whitened.

    Raises:
        ShapeError: the three differ in shape.
    """
    check_shapes(rewards=rewards, values=values, response_mask=response_mask)
    rewards, values = rewards * response_mask, values * response_mask
    # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L674-L684
    # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L220-L231
    advantages = torch.zeros_like(rewards)
    next_advantage = next_value = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = delta + gamma * gae_lambda * next_advantage
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages * response_mask, (advantages + values) * response_mask
