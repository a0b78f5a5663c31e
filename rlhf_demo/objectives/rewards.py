"""From scores and a KL penalty to one reward for each token, and the control of that penalty.

Shapes: [batch, time], as in masks.py.
"""

import torch
from torch import Tensor

from rlhf_demo.objectives.logprobs import chunks
from rlhf_demo.objectives.masks import check_shapes

KL_ERROR_CLIP = 0.2
"""Ziegler 2019, section 2.2: the proportional error of the controller is cut to this range."""

KL_GAIN = 0.2
"""Step of the controller. Ziegler 2019 used 0.1 over thousands of steps; a class has dozens."""


# -- KL against the reference ----------------------------------------------------------------------


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor) -> Tensor:
    """Estimate the KL of policy from reference per token: log p - log p_ref at sampled tokens.

    Unbiased where the policy sampled the tokens, and negative for tokens that the reference likes
    better (Schulman 2020, k1).

    Returns:
        [batch, time], nats, 0 outside the mask.
    """
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs, response_mask=response_mask)
    return (logprobs - ref_logprobs) * response_mask


@torch.no_grad()
def exact_kl(logits: Tensor, ref_logits: Tensor, temperature: float) -> Tensor:
    """Return the KL of policy from reference over the whole vocabulary, token by token.

    sum over v of p(v) * (log p(v) - log p_ref(v)), which is what k1 estimates with one draw. Summed
    over the tokens of a sampled response it has the same mean as k1 and less variance, and no term
    is below 0.

    Args:
        logits, ref_logits: [..., vocabulary], any float type, read at the same places.

    Returns:
        [...], nats, float32 (float64 for float64 logits).
    """
    check_shapes(logits=logits, ref_logits=ref_logits)
    rows, ref_rows = logits.flatten(0, -2), ref_logits.flatten(0, -2)
    kind = torch.promote_types(logits.dtype, torch.float32)
    kl = rows.new_empty(len(rows), dtype=kind)
    for part in chunks(len(rows)):
        log_p = rows[part].to(kind, copy=True).div_(temperature).log_softmax(-1)
        log_ref = ref_rows[part].to(kind, copy=True).div_(temperature).log_softmax(-1)
        kl[part] = (log_p.exp() * log_p.sub_(log_ref)).sum(-1)
    return kl.clamp_min_(0.0).view(logits.shape[:-1])  # rounding alone could leave -1e-8


def adapt_kl_coef(kl_coef: float, kl: float, kl_target: float) -> float:
    """Move the KL coefficient so that the KL per response comes to its target.

    This is the controller of Ziegler 2019, section 2.2.

    Args:
        kl: mean KL of the step's responses, nats per response.
        kl_target: the same unit.

    Returns:
        The next step's coefficient, reward units per nat.
    """
    error = min(max(kl / kl_target - 1.0, -KL_ERROR_CLIP), KL_ERROR_CLIP)
    return kl_coef * (1.0 + KL_GAIN * error)


# -- rewards and advantages ------------------------------------------------------------------------


def token_rewards(scores: Tensor, kl: Tensor, response_mask: Tensor, kl_coef: float) -> Tensor:
    """Spread a response's reward over its tokens: each pays its KL, the last earns the score.

    Ziegler 2019, equation 2: R = score - kl_coef * KL, the KL paid token by token.

    Args:
        scores: [batch], reward units.
        kl: [batch, time], nats, 0 outside the mask.

    Returns:
        rewards, [batch, time], reward units, 0 outside the mask.
    """
    check_shapes(kl=kl, response_mask=response_mask)
    last = (
        response_mask.sum(-1, keepdim=True) - 1
    )  # [batch, 1]; every response has at least one token
    return (-kl_coef * kl * response_mask).scatter_add(-1, last, scores[:, None].to(kl.dtype))
