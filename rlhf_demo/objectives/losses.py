"""PPO's losses: policy, value and entropy, each a mean over real response tokens.

Shapes: [batch, time], as in masks.py. Sources: Schulman et al. 2017 (PPO,
https://arxiv.org/abs/1707.06347), Huang et al. 2023 ("The N implementation details of RLHF with
PPO").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_demo.objectives.masks import check_shapes, masked_mean


@dataclass(frozen=True)
class PPOLoss:
    """The loss of one minibatch, its parts, and what the clip did.

    Attributes:
        total: scalar to minimise; carries the gradient.
        policy, value, entropy: scalars, the parts before their coefficients; they carry gradients.
            Entropy is in nats per token.
        ratio: [batch, time], new over old probability of each token, 1 outside the mask; detached.
        clipped: [batch, time], True where the clip stopped the token's gradient.
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    ratio: Tensor
    clipped: Tensor


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    *,
    clip_range: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return PPO's clipped surrogate as a loss, averaged over real tokens.

    This is equation 7 of Schulman et al. 2017.

    Args:
        logprobs: [batch, time], nats, under the policy now; carries the gradient.
        old_logprobs: [batch, time], nats, when the responses were sampled.
        advantages: [batch, time].

    Returns:
        The loss (scalar), the ratio [batch, time], and which tokens the clip cut off (bool
        [batch, time]).
    """
    check_shapes(
        logprobs=logprobs,
        old_logprobs=old_logprobs,
        advantages=advantages,
        response_mask=response_mask,
    )
    # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L723-L727
    # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/experimental/ppo/ppo_trainer.py#L842-L846
    ratio = torch.exp((logprobs - old_logprobs) * response_mask)  # 1 outside the mask
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    loss = masked_mean(torch.maximum(unclipped, clipped), response_mask)
    return loss, ratio, (clipped > unclipped) & response_mask


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    response_mask: Tensor,
    *,
    value_clip_range: float,
) -> Tensor:
    """Return half the squared error of the values, the larger of moved and clipped.

    A value may move by value_clip_range per rollout before its gradient stops (Huang et al. 2023,
    detail on value clipping).

    Args:
        values: [batch, time], reward units, now; carries the gradient.
        old_values: [batch, time], reward units, when the responses were sampled.
        returns: [batch, time], reward units.
    """
    check_shapes(values=values, old_values=old_values, returns=returns, response_mask=response_mask)
    # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L713-L721
    # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L269-L280
    clipped = old_values + (values - old_values).clamp(-value_clip_range, value_clip_range)
    return 0.5 * masked_mean(
        torch.maximum((values - returns) ** 2, (clipped - returns) ** 2), response_mask
    )


def ppo_loss(
    logprobs: Tensor,
    entropy: Tensor,
    values: Tensor,
    *,
    old_logprobs: Tensor,
    old_values: Tensor,
    advantages: Tensor,
    returns: Tensor,
    response_mask: Tensor,
    clip_range: float,
    value_clip_range: float,
    value_coef: float,
    entropy_coef: float,
) -> PPOLoss:
    """Add up policy loss, value loss and entropy bonus (Schulman et al. 2017, equation 9).

    All tensors are [batch, time]; the first three carry gradients.
    """
    surrogate, ratio, clipped = policy_loss(
        logprobs, old_logprobs, advantages, response_mask, clip_range=clip_range
    )
    value = value_loss(
        values, old_values, returns, response_mask, value_clip_range=value_clip_range
    )
    mean_entropy = masked_mean(entropy, response_mask)
    # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L284-L285
    total = surrogate + value_coef * value
    if entropy_coef:  # without a bonus the entropy needs no gradient, which saves its backward pass
        total = total - entropy_coef * mean_entropy
    return PPOLoss(total, surrogate, value, mean_entropy, ratio.detach(), clipped)


def gradient_norms(
    loss: PPOLoss, value_coef: float, weights: Sequence[nn.Parameter]
) -> tuple[Tensor, Tensor]:
    """Return the norms of the two gradients that an update adds up: the policy's and the value's.

    The loss can be differentiated again after it.
    """
    value = value_coef * loss.value
    norms = []
    for part in (loss.total - value, value):
        found = torch.autograd.grad(part, weights, retain_graph=True, allow_unused=True)
        norms.append(torch.nn.utils.get_total_norm([grad for grad in found if grad is not None]))
    return norms[0], norms[1]


def update_kl(ratio: Tensor, response_mask: Tensor) -> Tensor:
    """Estimate, from tokens that the old policy drew, its KL from the new one.

    The mean of (ratio - 1) - log ratio, which is k3 of Schulman 2020 with the old policy as the
    one that sampled: unbiased, and never below 0.

    Args:
        ratio: [batch, time], new over old probability of each token.

    Returns:
        scalar, nats per token.
    """
    return masked_mean(ratio - 1.0 - torch.log(ratio), response_mask)
