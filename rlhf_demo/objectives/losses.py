"""The losses of PPO, RLOO and GRPO, and their terms, each averaged over real response tokens.

Shapes: [batch, time], as in masks.py. Sources: Schulman et al. 2017 (PPO,
https://arxiv.org/abs/1707.06347), Huang et al. 2023 ("The N implementation details of RLHF with
PPO"), Shao et al. 2024 (GRPO, https://arxiv.org/abs/2402.03300), Schulman 2020 ("Approximating KL
divergence", http://joschu.net/blog/kl-approx.html).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_demo.objectives.masks import check_shapes, masked_mean


@dataclass(frozen=True)
class PPOLoss:
    """The loss of one minibatch, its terms, and what the clip did.

    Attributes:
        total: scalar to minimise; carries the gradient.
        policy, entropy: scalars, the terms before their coefficients; carry gradients.
            Entropy is in nats per token.
        ratio: [batch, time], new over old probability of each token, 1 outside the mask; detached.
        clipped: [batch, time], True where the clip stopped the token's gradient.
        value: scalar as above; None where there is no value head.
        kl: scalar as above, nats per token; None where the rewards pay for the KL, not the loss.
    """

    total: Tensor
    policy: Tensor
    entropy: Tensor
    ratio: Tensor
    clipped: Tensor
    value: Tensor | None = None
    kl: Tensor | None = None

    def weighted(self, weight: Tensor) -> "PPOLoss":
        """Return the loss with its terms times `weight`: a share of a minibatch's tokens."""
        terms = {
            name: getattr(self, name) for name in ("total", "policy", "entropy", "value", "kl")
        }
        return replace(
            self, **{name: weight * term for name, term in terms.items() if term is not None}
        )


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    *,
    clip_range: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return PPO's clipped surrogate objective as a loss (Schulman et al. 2017, equation 7).

    With r the ratio, A the advantage and e the clip range, the mean over real tokens of

        max(-A * r, -A * clip(r, 1 - e, 1 + e))

    Args:
        logprobs: [batch, time], nats, under the current policy; carries the gradient.
        old_logprobs: [batch, time], nats, under the policy that sampled the responses.
        advantages: [batch, time].

    Returns:
        The loss (scalar); the ratio [batch, time]; and where the clip stopped the gradient (bool
        [batch, time]).

    Raises:
        ShapeError: the four tensors differ in shape.
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
    """Return half the mean squared error of the values, with clipping (Huang et al. 2023).

    With V the values and R the returns, the mean over real tokens of

        max((V - R)^2, (clip(V, V_old - e, V_old + e) - R)^2) / 2

    so a value that has moved towards its return by more than e, the value clip range, gets no
    gradient until the next rollout.

    Args:
        values: [batch, time], V, reward units, of the current value head; carries the gradient.
        old_values: [batch, time], V_old, reward units, from when the responses were sampled.
        returns: [batch, time], R, reward units.

    Raises:
        ShapeError: the four tensors differ in shape.
    """
    check_shapes(values=values, old_values=old_values, returns=returns, response_mask=response_mask)
    # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L713-L721
    # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L269-L280
    clipped = old_values + (values - old_values).clamp(-value_clip_range, value_clip_range)
    return 0.5 * masked_mean(
        torch.maximum((values - returns) ** 2, (clipped - returns) ** 2), response_mask
    )


def clipped_loss(
    logprobs: Tensor,
    entropy: Tensor,
    *,
    old_logprobs: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    clip_range: float,
    entropy_coef: float,
) -> PPOLoss:
    """Add up policy loss and entropy bonus: PPO's loss without values, which is RLOO's here.

    All tensors are [batch, time]; the first two carry gradients.
    """
    surrogate, ratio, clipped = policy_loss(
        logprobs, old_logprobs, advantages, response_mask, clip_range=clip_range
    )
    mean_entropy = masked_mean(entropy, response_mask)
    total = surrogate
    if entropy_coef:  # without a bonus the entropy needs no gradient, which saves its backward pass
        total = total - entropy_coef * mean_entropy
    return PPOLoss(total, surrogate, mean_entropy, ratio.detach(), clipped)


def ppo_loss(
    logprobs: Tensor,
    entropy: Tensor,
    values: Tensor,
    *,
    old_values: Tensor,
    returns: Tensor,
    response_mask: Tensor,
    value_clip_range: float,
    value_coef: float,
    **policy: Any,
) -> PPOLoss:
    """Return policy loss + value_coef * value loss - entropy_coef * entropy.

    This is equation 9 of Schulman et al. 2017 with its sign turned, as a loss. All tensors are
    [batch, time]; the first three carry gradients.

    Args:
        policy: the other arguments of clipped_loss.

    Raises:
        ShapeError: two tensors of one term differ in shape.
    """
    loss = clipped_loss(logprobs, entropy, response_mask=response_mask, **policy)
    value = value_loss(
        values, old_values, returns, response_mask, value_clip_range=value_clip_range
    )
    # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L284-L285
    return replace(loss, total=loss.total + value_coef * value, value=value)


def grpo_loss(
    logprobs: Tensor,
    entropy: Tensor,
    *,
    ref_logprobs: Tensor,
    response_mask: Tensor,
    kl_coef: float,
    **policy: Any,
) -> PPOLoss:
    """Return policy loss + kl_coef * KL - entropy_coef * entropy.

    This is equation 3 of Shao et al. 2024 with its sign turned, as a loss; the KL is estimated by
    k3. All tensors are [batch, time]; the first two carry gradients.

    Args:
        ref_logprobs: nats, under the reference.
        kl_coef: reward units per nat of a token.
        policy: the other arguments of clipped_loss.

    Raises:
        ShapeError: two tensors of one term differ in shape.
    """
    loss = clipped_loss(logprobs, entropy, response_mask=response_mask, **policy)
    kl = masked_mean(kl_k3(logprobs, ref_logprobs, response_mask), response_mask)
    # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/grpo_trainer.py#L3120-L3131
    return replace(loss, total=loss.total + kl_coef * kl, kl=kl)


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor) -> Tensor:
    """Estimate KL(policy || reference) from the sampled tokens (k3; Shao et al. 2024, equation 4).

    With r = p_ref / p of the token, this is

        r - log r - 1

    It is never negative, and unbiased if the policy sampled the tokens. As a loss it does not have
    the gradient of the KL: each token's own log-probability gets 1 - r, and the tokens before it
    get nothing.

    Args:
        logprobs: [batch, time], nats, under the current policy; carries the gradient.
        ref_logprobs: [batch, time], nats, under the reference.

    Returns:
        [batch, time], nats, 0 outside the mask.

    Raises:
        ShapeError: the three differ in shape.
    """
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs, response_mask=response_mask)
    # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/grpo_trainer.py#L3069-L3073
    log_r = (ref_logprobs - logprobs) * response_mask
    return torch.exp(log_r) - log_r - 1.0


def gradient_norms(
    loss: PPOLoss,
    value_coef: float,
    weights: Sequence[nn.Parameter],
    add: Callable[[list[Tensor]], None] = lambda gradients: None,
) -> tuple[Tensor, Tensor]:
    """Return the gradient norms of the policy term (entropy bonus included) and the value term.

    The graph is kept, so `loss.total.backward()` still works afterwards.

    Args:
        add: replaces gradients by their sums over all processes of the training.
    """
    assert loss.value is not None  # there is a value head
    value_term = value_coef * loss.value
    norms = []
    for term in (loss.total - value_term, value_term):
        found = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        gradients = [gradient for gradient in found if gradient is not None]
        add(gradients)
        norms.append(torch.nn.utils.get_total_norm(gradients))
    return norms[0], norms[1]


def update_kl(ratio: Tensor, response_mask: Tensor) -> Tensor:
    """Estimate KL(old policy || new policy) from tokens that the old policy sampled.

    The mean of (ratio - 1) - log ratio: k3 of Schulman 2020, unbiased and never below 0.

    Args:
        ratio: [batch, time], new over old probability of each token.

    Returns:
        Scalar, nats per token.
    """
    return masked_mean(ratio - 1.0 - torch.log(ratio), response_mask)
