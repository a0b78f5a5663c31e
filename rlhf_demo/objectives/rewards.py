"""From scores and a KL penalty to one reward per token, and the controller of that penalty.

Shapes: [batch, time], as in masks.py.
"""

import torch
from torch import Tensor

from rlhf_demo.objectives.logprobs import chunks
from rlhf_demo.objectives.masks import check_shapes

KL_ERROR_CLIP = 0.2
"""The controller clips its proportional error to ± this (Ziegler et al. 2019, section 2.2)."""

KL_GAIN = 0.2
"""K of the controller. Ziegler et al. 2019 used 0.1 over thousands of steps; a run here has dozens.
"""


# -- KL against the reference ----------------------------------------------------------------------


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor) -> Tensor:
    """Estimate KL(policy || reference) from sampled tokens: log p - log p_ref at each.

    This is k1 of Schulman 2020. It is unbiased if the policy sampled the tokens, and negative at
    tokens that the reference finds likelier.

    Args:
        logprobs, ref_logprobs: [batch, time], nats.

    Returns:
        [batch, time], nats, 0 outside the mask.

    Raises:
        ShapeError: the three tensors differ in shape.
    """
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs, response_mask=response_mask)
    return (logprobs - ref_logprobs) * response_mask


@torch.no_grad()
def exact_kl(logits: Tensor, ref_logits: Tensor, temperature: float) -> Tensor:
    """Return KL(policy || reference) over the whole vocabulary at each token.

        sum over v of p(v) * (log p(v) - log p_ref(v))

    k1 estimates this sum from one draw. Summed over the tokens of sampled responses, both have the
    same mean; this one has less variance, and none of its terms is below 0.

    Args:
        logits, ref_logits: [..., vocabulary], any float type, at the same positions.

    Returns:
        [...], nats, float32 (float64 for float64 logits).

    Raises:
        ShapeError: the two tensors differ in shape.
    """
    check_shapes(logits=logits, ref_logits=ref_logits)
    rows, ref_rows = logits.flatten(0, -2), ref_logits.flatten(0, -2)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    kl = rows.new_empty(len(rows), dtype=dtype)
    for chunk in chunks(len(rows)):
        log_p = rows[chunk].to(dtype, copy=True).div_(temperature).log_softmax(-1)
        log_ref = ref_rows[chunk].to(dtype, copy=True).div_(temperature).log_softmax(-1)
        kl[chunk] = (log_p.exp() * log_p.sub_(log_ref)).sum(-1)
    return kl.clamp_min_(0.0).view(logits.shape[:-1])  # rounding can leave -1e-8


def adapt_kl_coef(kl_coef: float, kl: float, kl_target: float) -> float:
    """Move the KL coefficient so that the KL per response approaches its target.

    This is the proportional controller of Ziegler et al. 2019, section 2.2:

        e = clip(KL / target - 1, -0.2, 0.2)            kl_coef * (1 + K * e)

    Args:
        kl_coef: the coefficient of the step that has just ended, reward units per nat.
        kl: mean KL of the step's responses, nats per response.
        kl_target: the same unit.

    Returns:
        The next step's coefficient, reward units per nat.
    """
    error = min(max(kl / kl_target - 1.0, -KL_ERROR_CLIP), KL_ERROR_CLIP)
    return kl_coef * (1.0 + KL_GAIN * error)


# -- the reward of each token ----------------------------------------------------------------------


def token_rewards(scores: Tensor, kl: Tensor, response_mask: Tensor, kl_coef: float) -> Tensor:
    """Spread a response's reward over its tokens: each pays for its KL, the last earns the score.

    Ziegler et al. 2019, equation 2: R = score - kl_coef * KL, with the KL paid token by token.

    Args:
        scores: [batch], reward units.
        kl: [batch, time], nats.

    Returns:
        rewards, [batch, time], reward units, 0 outside the mask.

    Raises:
        ShapeError: kl and mask differ in shape.
    """
    check_shapes(kl=kl, response_mask=response_mask)
    # [batch, 1]; every response has at least one token.
    last = response_mask.sum(-1, keepdim=True) - 1
    return (-kl_coef * kl * response_mask).scatter_add(-1, last, scores[:, None].to(kl.dtype))
