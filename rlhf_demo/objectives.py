"""The mathematics of PPO for language models, as pure functions of tensors.

Nothing here knows models, text or files; nothing modifies its inputs. Shapes: `batch` responses,
`time` tokens of a response. `response_mask` is True at real response tokens, the first EOS
included; outside it every result is 0, so padding can never change a number.

Sources: Schulman et al. 2017 (PPO, https://arxiv.org/abs/1707.06347), Schulman et al. 2016 (GAE,
https://arxiv.org/abs/1506.02438), Ziegler et al. 2019 (PPO for language,
https://arxiv.org/abs/1909.08593), Stiennon et al. 2020 (https://arxiv.org/abs/2009.01325), Huang et
al. 2023 ("The N implementation details of RLHF with PPO"), Schulman 2020 ("Approximating KL
divergence", http://joschu.net/blog/kl-approx.html).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_demo.errors import ShapeError

KL_ERROR_CLIP = 0.2
"""Ziegler 2019, section 2.2: the proportional error of the controller is cut to this range."""

ROWS_AT_ONCE = 64
"""How many vocabulary-wide rows token_logprobs works on at a time."""

KL_GAIN = 0.2
"""Step of the controller. Ziegler 2019 used 0.1 over thousands of steps; a lesson has dozens."""


def check_shapes(**tensors: Tensor) -> None:
    """Make sure that tensors which belong together agree in shape.

    Raises:
        ShapeError: they do not; names each with its shape.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise ShapeError(f"these must have one shape: {shapes}")


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average x [any shape] where mask is True; 0 where it is True nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)


def token_logprobs(logits: Tensor, token_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Read the chosen tokens' log-probabilities, and the entropy, off the policy's distribution.

    The temperature belongs to the policy: what is sampled is softmax(logits / temperature), so that
    is what is scored. Scoring another distribution than the sampled one is the classic cause of a
    negative KL.

    Args:
        logits: [..., vocabulary], any float type.
        token_ids: [...].

    Returns:
        logprobs and entropy, both [...], nats, float32 (float64 for float64 logits).
    """
    return _TokenLogprobs.apply(logits, token_ids, temperature)


class _TokenLogprobs(torch.autograd.Function):
    """token_logprobs in float32 a few rows at a time, whatever the logits' type and autocast.

    Plain autograd would keep three float32 tensors of the logits' size; on a CPU, moving that
    memory takes longer than the arithmetic. Only the probabilities are kept, in the logits' own
    type. With z the logits, p the probabilities, a the token, H the entropy:

        d log p_a / d z = (1[a] - p) / T          d H / d z = -p (log p + H) / T
    """

    @staticmethod
    def forward(ctx, logits, token_ids, temperature):
        rows, ids = logits.flatten(0, -2), token_ids.flatten()
        kind = torch.promote_types(logits.dtype, torch.float32)
        wanted = ctx.needs_input_grad[0]
        probabilities = torch.empty_like(rows) if wanted else rows.new_empty(0)
        logprobs, entropy = rows.new_empty(2, len(rows), dtype=kind)
        for part in _parts(len(rows)):
            scaled = rows[part].to(kind, copy=True).div_(temperature)
            p = scaled.softmax(-1)
            # log sum exp(scaled), read off the likeliest token: log p = scaled - log_total.
            log_total = scaled.amax(-1) - p.amax(-1).log()
            logprobs[part] = scaled.gather(-1, ids[part, None]).squeeze(-1) - log_total
            if wanted:
                probabilities[part] = p
            entropy[part] = log_total - scaled.mul_(p).sum(-1)  # -sum p log p
        ctx.save_for_backward(probabilities, ids, logprobs, entropy)
        ctx.temperature, ctx.shape = temperature, logits.shape
        ctx.set_materialize_grads(False)
        return logprobs.view_as(token_ids), entropy.view_as(token_ids)

    @staticmethod
    def backward(ctx, grad_logprobs, grad_entropy):
        p, ids, logprobs, entropy = ctx.saved_tensors  # [rows, vocabulary] and three of [rows]
        g = torch.zeros_like(entropy) if grad_logprobs is None else grad_logprobs.flatten()
        g = g / ctx.temperature
        grad = p * -g[:, None].to(p.dtype)
        # 1 - p from the log-probability: of a likely token, p in 8 bits would leave little of it.
        chosen = -torch.expm1(logprobs) * g
        grad[torch.arange(len(ids), device=ids.device), ids] = chosen.to(p.dtype)
        if grad_entropy is not None:
            g = grad_entropy.flatten()[:, None] / ctx.temperature
            for part in _parts(len(p)):
                q = p[part].to(entropy.dtype)
                grad[part] -= g[part] * (torch.xlogy(q, q) + q * entropy[part, None])
        return grad.view(ctx.shape), None, None


def _parts(count: int) -> list[slice]:
    """Cut `count` rows into pieces that stay in the processor's cache."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]


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
    for part in _parts(len(rows)):
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


def gae(
    rewards: Tensor, values: Tensor, response_mask: Tensor, *, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Estimate how much better each token was than the value head expected.

    Generalised advantage estimation (Schulman et al. 2016, equation 16). After the last real token
    there is nothing to come, so its next value is 0.

    Args:
        rewards: [batch, time], reward units.
        values: [batch, time], the value head's guess *before* each token, reward units.
        response_mask: [batch, time], True = real token; real tokens come first.

    Returns:
        advantages and returns, [batch, time], 0 outside the mask, not whitened.

    Raises:
        ShapeError: the three differ in shape.
    """
    check_shapes(rewards=rewards, values=values, response_mask=response_mask)
    rewards, values = rewards * response_mask, values * response_mask
    advantages = torch.zeros_like(rewards)
    next_advantage = next_value = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        # delta_t = r_t + gamma * V(s_t+1) - V(s_t)
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = delta + gamma * gae_lambda * next_advantage
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages * response_mask, (advantages + values) * response_mask


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale x [batch, time] to mean 0 and variance 1 over the mask; 0 outside it."""
    check_shapes(x=x, mask=mask)
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask


def explained_variance(values: Tensor, returns: Tensor, response_mask: Tensor) -> Tensor:
    """Return the share of the returns' variance that the values foretold.

    1 is perfect, 0 no better than the mean.
    """
    error = returns - values
    mean_error, mean_return = masked_mean(error, response_mask), masked_mean(returns, response_mask)
    unexplained = masked_mean((error - mean_error) ** 2, response_mask)
    variance = masked_mean((returns - mean_return) ** 2, response_mask)
    return 1.0 - unexplained / variance.clamp_min(1e-8)


# -- losses ----------------------------------------------------------------------------------------


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
