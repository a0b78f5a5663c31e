"""Log-probabilities of chosen tokens, and the entropy, without a copy of the logits."""

import torch
from torch import Tensor

ROWS_AT_ONCE = 64
"""How many vocabulary-wide rows token_logprobs works on at a time."""


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
        for part in chunks(len(rows)):
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
            for part in chunks(len(p)):
                q = p[part].to(entropy.dtype)
                grad[part] -= g[part] * (torch.xlogy(q, q) + q * entropy[part, None])
        return grad.view(ctx.shape), None, None


def chunks(count: int) -> list[slice]:
    """Cut `count` rows into pieces that stay in the processor's cache."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]
