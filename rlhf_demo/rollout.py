"""Read sampled responses and write down everything that PPO will need to know about them.

Layout of a batch: prompts are padded on the left, responses on the right, so that the first
response token of every row stands in the same column.

    <pad> <pad> This  film | was   good  <eos> <pad>
    <bos>  I    went  to   | the   shop  and   saw
                 prompt_time ^

Sources: Ziegler et al. 2019; Huang et al. 2023 ("The N implementation details of RLHF with PPO").
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_demo.errors import ShapeError
from rlhf_demo.models import Policy
from rlhf_demo.objectives import exact_kl, token_logprobs
from rlhf_demo.sampling import Sampled, encode_prompts, real_tokens

READ_AT_ONCE = 16
"""Responses read at once where no gradient is needed: the logits of more overflow the caches."""


@dataclass(frozen=True)
class Rollout:
    """A batch of responses with what was known of them when they were sampled.

    Attributes:
        sequence_ids: [batch, prompt_time + time], padded as drawn above.
        attention_mask: the same shape, True = real token.
        response_mask: [batch, time], True = real response token, the first EOS included.
        old_logprobs, ref_logprobs: [batch, time], nats, 0 outside the mask.
        kl: [batch, time], exact KL from the reference before each token, nats, 0 outside the mask.
        old_values: [batch, time], reward units, before each token; 0 outside the mask.
        scores: [batch], in the scorer's own units.
        has_eos: [batch], True = the response ended by itself.
    """

    sequence_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor
    old_logprobs: Tensor
    ref_logprobs: Tensor
    kl: Tensor
    old_values: Tensor
    scores: Tensor
    has_eos: Tensor

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in self.__dataclass_fields__}
        batch, time = shapes["response_mask"]
        by_token = ("old_logprobs", "ref_logprobs", "kl", "old_values")
        same_time = all(shapes[name] == (batch, time) for name in by_token)
        same_batch = shapes["scores"] == shapes["has_eos"] == (batch,)
        if not (same_time and same_batch and shapes["sequence_ids"] == shapes["attention_mask"]):
            raise ShapeError(f"a rollout's tensors do not fit together: {shapes}")

    @property
    def response_ids(self) -> Tensor:
        """[batch, time] token ids."""
        return self.sequence_ids[:, -self.response_mask.shape[1] :]

    def part(self, rows: Tensor | slice) -> "Rollout":
        """Return some of the responses, without the columns that hold nothing but padding."""
        sequence_ids, attention_mask, response_mask = trimmed(
            self.sequence_ids[rows], self.attention_mask[rows], self.response_mask[rows]
        )
        time = response_mask.shape[1]
        return Rollout(
            sequence_ids=sequence_ids,
            attention_mask=attention_mask,
            response_mask=response_mask,
            old_logprobs=self.old_logprobs[rows, :time],
            ref_logprobs=self.ref_logprobs[rows, :time],
            kl=self.kl[rows, :time],
            old_values=self.old_values[rows, :time],
            scores=self.scores[rows],
            has_eos=self.has_eos[rows],
        )

    def responses(self) -> list[list[int]]:
        """Return each response's real token ids, its EOS included."""
        return real_tokens(self.response_ids, self.response_mask)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name, for a saved state."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class TokenOutputs:
    """What a network says about each response token: [batch, time] float32, 0 outside the mask."""

    logprobs: Tensor  # nats
    entropy: Tensor  # nats
    values: Tensor  # reward units


def trimmed(
    sequence_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut off the columns that hold padding in every row, before the prompts and after the texts.

    Args:
        sequence_ids, attention_mask: [batch, prompt_time + time].
        response_mask: [batch, time].
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
    """Read whole sequences once and say, for each response token, what the network thought of it.

    What is thought of token t is read at position t - 1, and only those positions of real tokens go
    through the output layer: it is vocabulary-wide, and padding can be most of a batch.
    """
    logits, hidden = response_logits(policy, sequence_ids, attention_mask, response_mask)
    tokens = response_tokens(sequence_ids, response_mask)
    outputs = (*token_logprobs(logits, tokens, temperature), policy.values(hidden))
    return TokenOutputs(*(as_rows(x, response_mask) for x in outputs))


def response_logits(
    policy: Policy, sequence_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Read whole sequences once; what is said of a token is read at the position before it.

    Returns:
        logits [tokens, vocabulary] of the real response tokens, row by row, with coarse words ruled
        out where the policy does so, and the trunk's output that they came from, [tokens, width].
    """
    # Nothing is asked of the last token, so it is not read.
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
    """Put a figure a token [tokens] back into its place [batch, time]; 0 outside the mask."""
    blank = torch.zeros(response_mask.shape, device=by_token.device)
    return blank.masked_scatter(response_mask, by_token)


def _texts_so_far(sequence_ids: Tensor, response_mask: Tensor) -> list[list[int]]:
    """Return what stands before each real response token, row by row."""
    prompt_time = sequence_ids.shape[1] - response_mask.shape[1]
    rows = sequence_ids.tolist()
    return [rows[row][: prompt_time + place] for row, place in response_mask.nonzero().tolist()]


def by_length(response_mask: Tensor) -> tuple[Tensor, ...]:
    """Return which rows to read at once, texts of like length together: less padding and memory."""
    return response_mask.sum(-1).argsort(stable=True).split(READ_AT_ONCE)


@torch.no_grad()
def collect(
    policy: Policy,
    prompt_ids: Tensor,
    attention_mask: Tensor,
    sampled: Sampled,
    scores: Tensor,
    temperature: float,
) -> Rollout:
    """Read sampled responses with the reference and pack all that PPO needs.

    The policy's own log-probabilities, logits and values are those of the sampling pass; reading
    them again would cost one more forward pass. Sampling goes token by token through a
    cache and the reference reads whole texts, so before the first update the two differ by
    rounding: k1 of a response is then 0 to some 1e-6 nats (bench/rounding.py).

    Args:
        sampled: with the logits kept.
        scores: [batch].
    """
    sequence_ids = torch.cat([prompt_ids, sampled.response_ids], dim=1)
    response_mask = sampled.response_mask
    mask = torch.cat([attention_mask, response_mask], dim=1)
    ref_logprobs, kl = torch.zeros(2, *response_mask.shape, device=sequence_ids.device)
    with policy.as_reference() as reference:
        for rows in by_length(response_mask):
            ids, attended, real = trimmed(sequence_ids[rows], mask[rows], response_mask[rows])
            time = real.shape[1]
            ref_logits, _ = response_logits(reference, ids, attended, real)
            # One by one, row by row: picking from whole columns would copy the logits twice.
            where = rows.tolist()
            logits = torch.stack(
                [sampled.logits[t][where[row]] for row, t in real.nonzero().tolist()]
            )
            ref, _ = token_logprobs(ref_logits, response_tokens(ids, real), temperature)
            ref_logprobs[rows, :time] = as_rows(ref, real)
            kl[rows, :time] = as_rows(exact_kl(logits, ref_logits, temperature), real)
    last = response_mask.sum(-1, keepdim=True) - 1  # [batch, 1]
    return Rollout(
        sequence_ids=sequence_ids,
        attention_mask=mask,
        response_mask=response_mask,
        old_logprobs=sampled.logprobs,
        ref_logprobs=ref_logprobs,
        kl=kl,
        old_values=sampled.values,
        scores=scores.to(sequence_ids.device),
        has_eos=sampled.response_ids.gather(1, last).squeeze(1) == policy.tokenizer.eos_token_id,
    )


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
