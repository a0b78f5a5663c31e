"""One forward pass over whole texts: log-probability, entropy and value of each response token.

Layout of a batch: prompts are padded on the left and responses on the right, so that the first
response token of every row is in the same column.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_demo.models.loading import rows_at_once
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.sampling import encode_prompts
from rlhf_demo.objectives.logprobs import token_logprobs

READ_AT_ONCE = 16
"""Responses read at once when no gradient is needed: the logits of more overflow the caches."""
MOST_LOGITS = 2**25
"""Logits kept at once: 16 responses of 40 tokens in GPT-2's vocabulary."""


@dataclass(frozen=True)
class TokenOutputs:
    """What a policy computes for each response token: [batch, time] float32, 0 outside the mask."""

    logprobs: Tensor  # nats
    entropy: Tensor  # nats
    values: Tensor | None  # reward units; None without a value head


def read_at_once(policy: Policy, prompts: list[str], longest: int) -> int:
    """Return how many responses of at most `longest` tokens to read at once, with their prompts."""
    if not prompts:
        return READ_AT_ONCE
    prompt_ids, *_ = encode_prompts(policy, prompts, longest)
    fit = rows_at_once(policy.lm, prompt_ids.shape[1] + longest)
    logits = longest * policy.lm.config.vocab_size
    return min(READ_AT_ONCE, fit, max(1, MOST_LOGITS // logits))


def trimmed(
    sequence_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut off the columns that are padding in every row, before the prompts and after the texts.

    Args:
        sequence_ids, attention_mask: [batch, prompt_time + time].
        response_mask: [batch, time].

    Returns:
        The three tensors with fewer columns.
    """
    spare = response_mask.shape[1] - int(response_mask.sum(-1).max())
    first = int(attention_mask.any(0).int().argmax())
    columns = slice(first, sequence_ids.shape[1] - spare)
    kept = response_mask[:, : response_mask.shape[1] - spare]
    return sequence_ids[:, columns], attention_mask[:, columns], kept


def token_outputs(
    policy: Policy,
    sequence_ids: Tensor,
    attention_mask: Tensor,
    response_mask: Tensor,
    temperature: float,
) -> TokenOutputs:
    """One forward pass: log-probability, entropy and value of each response token.

    Logits for token t come from position t - 1. Only those positions of real tokens go through the
    output layer: it is vocabulary-wide, and padding can be most of a batch.
    """
    logits, hidden = response_logits(policy, sequence_ids, attention_mask, response_mask)
    tokens = response_tokens(sequence_ids, response_mask)
    logprobs, entropy = token_logprobs(logits, tokens, temperature)
    values = policy.values(hidden)
    return TokenOutputs(
        as_rows(logprobs, response_mask),
        as_rows(entropy, response_mask),
        None if values is None else as_rows(values, response_mask),
    )


def response_logits(
    policy: Policy, sequence_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Read whole sequences once; the logits of a token come from the position before it.

    Returns:
        logits: [tokens, vocabulary] of the real response tokens, row by row. If the policy keeps
            its words clean, coarse words are ruled out.
        hidden: [tokens, width], the trunk's output at the same positions.
    """
    # Nothing follows the last token, so it is not read.
    hidden = policy.hidden(sequence_ids[:, :-1], attention_mask[:, :-1], use_cache=False)
    hidden = hidden.last_hidden_state[:, -response_mask.shape[1] :][response_mask]
    logits = policy.logits(hidden)
    if policy.guard:
        policy.guard.hide(logits, _texts_so_far(sequence_ids, response_mask))
    return logits, hidden


def response_tokens(sequence_ids: Tensor, response_mask: Tensor) -> Tensor:
    """Return the ids of the real response tokens, [tokens], row by row."""
    return sequence_ids[:, -response_mask.shape[1] :][response_mask]


def as_rows(by_token: Tensor, response_mask: Tensor) -> Tensor:
    """Put numbers [tokens], one per real token, into their rows [batch, time]; 0 elsewhere."""
    blank = torch.zeros(response_mask.shape, device=by_token.device)
    return blank.masked_scatter(response_mask, by_token)


def _texts_so_far(sequence_ids: Tensor, response_mask: Tensor) -> list[list[int]]:
    """Return the ids before each real response token, row by row."""
    prompt_time = sequence_ids.shape[1] - response_mask.shape[1]
    rows = sequence_ids.tolist()
    return [rows[row][: prompt_time + t] for row, t in response_mask.nonzero().tolist()]


def by_length(response_mask: Tensor) -> tuple[Tensor, ...]:
    """Group row numbers into batches of READ_AT_ONCE responses of similar length.

    That saves padding and memory.
    """
    return response_mask.sum(-1).argsort(stable=True).split(READ_AT_ONCE)


def pad_responses(
    policy: Policy, prompts: list[str], responses: list[list[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay prompts and finished responses out as one batch.

    Returns:
        sequence_ids and attention_mask [batch, prompt_time + time], response_mask [batch, time].
    """
    time = max(len(ids) for ids in responses)
    prompt_ids, mask, _ = encode_prompts(policy, prompts, time)
    lengths = torch.tensor([len(ids) for ids in responses], device=mask.device)
    response_mask = torch.arange(time, device=mask.device) < lengths[:, None]
    pad = policy.tokenizer.pad_token_id
    response_ids = torch.tensor(
        [ids + [pad] * (time - len(ids)) for ids in responses], device=mask.device
    )
    return (
        torch.cat([prompt_ids, response_ids], dim=1),
        torch.cat([mask, response_mask], dim=1),
        response_mask,
    )
