"""Log-probabilities of chosen tokens, and the entropy, without float32 copies of the logits."""

import torch
from torch import Tensor

ROWS_AT_ONCE = 64
"""Rows of [vocabulary] numbers that token_logprobs and exact_kl work on at a time."""


def token_logprobs(logits: Tensor, token_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return each chosen token's log-probability and the entropy of the distribution at its place.

    The temperature belongs to the policy: tokens are drawn from softmax(logits / temperature), so
    their log-probabilities come from that distribution too. Using another one is the classic cause
    of a negative KL.

    Args:
        logits: [..., vocabulary], any float type.
        token_ids: [...], the chosen tokens.

    Returns:
        logprobs and entropy, both [...], nats, float32 (float64 for float64 logits).
    """
    return _TokenLogprobs.apply(logits, token_ids, temperature)


class _TokenLogprobs(torch.autograd.Function):
    """token_logprobs in float32, a few rows at a time, whatever the logits' dtype and autocast.

    Plain autograd would keep three float32 tensors of the logits' size; on a CPU, moving that
    memory takes longer than the arithmetic. We keep only the probabilities, in the logits' own
    dtype. With z the logits, T the temperature, p the probabilities, a the chosen token, and H the
    entropy:

        d log p_a / d z = (1[a] - p) / T          d H / d z = -p (log p + H) / T
    """

    @staticmethod
    def forward(ctx, logits, token_ids, temperature):
        rows, ids = logits.flatten(0, -2), token_ids.flatten()
        dtype = torch.promote_types(logits.dtype, torch.float32)
        needs_grad = ctx.needs_input_grad[0]
        probabilities = torch.empty_like(rows) if needs_grad else rows.new_empty(0)
        logprobs, entropy = rows.new_empty(2, len(rows), dtype=dtype)
        for chunk in chunks(len(rows)):
            scaled = rows[chunk].to(dtype, copy=True).div_(temperature)
            p = scaled.softmax(-1)
            # log p = scaled - logsumexp(scaled); the likeliest token gives the latter exactly.
            logsumexp = scaled.amax(-1) - p.amax(-1).log()
            logprobs[chunk] = scaled.gather(-1, ids[chunk, None]).squeeze(-1) - logsumexp
            if needs_grad:
                probabilities[chunk] = p
            entropy[chunk] = logsumexp - scaled.mul_(p).sum(-1)  # -sum p log p
        ctx.save_for_backward(probabilities, ids, logprobs, entropy)
        ctx.temperature, ctx.shape = temperature, logits.shape
        ctx.set_materialize_grads(False)
        return logprobs.view_as(token_ids), entropy.view_as(token_ids)

    @staticmethod
    def backward(ctx, *grad_outputs):
        grad_logprobs, grad_entropy = grad_outputs
        p, ids, logprobs, entropy = ctx.saved_tensors  # [rows, vocabulary] and three of [rows]
        g = torch.zeros_like(entropy) if grad_logprobs is None else grad_logprobs.flatten()
        g = g / ctx.temperature
        grad = p * -g[:, None].to(p.dtype)
        # 1 - p comes from the log-probability: if p is close to 1, bfloat16 would round it away.
        chosen = -torch.expm1(logprobs) * g
        grad[torch.arange(len(ids), device=ids.device), ids] = chosen.to(p.dtype)
        if grad_entropy is not None:
            g = grad_entropy.flatten()[:, None] / ctx.temperature
            for chunk in chunks(len(p)):
                q = p[chunk].to(entropy.dtype)
                grad[chunk] -= g[chunk] * (torch.xlogy(q, q) + q * entropy[chunk, None])
        return grad.view(ctx.shape), None, None


def chunks(count: int) -> list[slice]:
    """Cut `count` rows into slices that fit the processor's cache."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]
