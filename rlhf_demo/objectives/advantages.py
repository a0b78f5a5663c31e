"""From rewards, and values where there are some, to advantages.

Shapes: [batch, time], as in masks.py. A group is `samples_per_prompt` rows, one after another, that
answer the same prompt.
"""

import torch
from torch import Tensor

from rlhf_demo.errors import ShapeError
from rlhf_demo.objectives.masks import check_shapes

GROUP_EPS = 1e-4
"""Added to a group's standard deviation, as in TRL: equal rewards get advantages of 0."""


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


def leave_one_out(rewards: Tensor, samples_per_prompt: int) -> Tensor:
    """Return how much more each response earned than the others of its group did on average.

    REINFORCE with a leave-one-out baseline (Kool et al. 2019; Ahmadian et al. 2024, RLOO):

        A_i = R_i - mean of R_j over the other responses j of the group

    Args:
        rewards: [batch], R_i of whole responses, reward units.

    Returns:
        advantages, [batch], reward units; each group's sum is 0.

    Raises:
        ShapeError: the batch does not consist of groups of two or more.
    """
    grouped = _groups(rewards, samples_per_prompt)
    # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/rloo_trainer.py#L1547-L1552
    others = (grouped.sum(1, keepdim=True) - grouped) / (samples_per_prompt - 1)
    return (grouped - others).flatten()


def group_standardised(rewards: Tensor, samples_per_prompt: int) -> Tensor:
    """Return how many standard deviations of its group each response earned above the mean.

    Group-relative advantages (Shao et al. 2024, section 4.1.2), with the unbiased deviation:

        A_i = (R_i - mean of the group) / (standard deviation of the group + 1e-4)

    Args:
        rewards: [batch], R_i of whole responses, reward units.

    Returns:
        advantages, [batch], without a unit; each group's sum is 0.

    Raises:
        ShapeError: the batch does not consist of groups of two or more.
    """
    grouped = _groups(rewards, samples_per_prompt)
    # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/grpo_trainer.py#L2685-L2707
    centred = grouped - grouped.mean(1, keepdim=True)
    return (centred / (grouped.std(1, keepdim=True) + GROUP_EPS)).flatten()


def _groups(rewards: Tensor, samples_per_prompt: int) -> Tensor:
    """Return rewards [batch] as [prompts, samples_per_prompt]."""
    if samples_per_prompt < 2 or rewards.dim() != 1 or len(rewards) % samples_per_prompt:
        raise ShapeError(
            f"rewards {list(rewards.shape)} must hold groups of {samples_per_prompt}, "
            "and a group two or more"
        )
    return rewards.view(-1, samples_per_prompt)
