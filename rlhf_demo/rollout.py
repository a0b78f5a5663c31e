"""Sample responses and write down everything that PPO will need to know about them.

Layout of a batch: prompts are padded on the left, responses on the right, so that the first
response token of every row stands in the same column.

    <pad> <pad> This  film | was   good  <eos> <pad>
    <bos>  I    went  to   | the   shop  and   saw
                 prompt_time ^

Sources: Ziegler et al. 2019; Huang et al. 2023 ("The N implementation details of RLHF with PPO").
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache, TopKLogitsWarper, TopPLogitsWarper

from rlhf_demo.errors import ShapeError
from rlhf_demo.models import Policy, autocast, max_positions
from rlhf_demo.objectives import token_logprobs

READ_AT_ONCE = 32
"""Responses read at once where no gradient is needed: the logits of more overflow the caches."""


@dataclass(frozen=True)
class Rollout:
    """A batch of responses with what was known of them when they were sampled.

    Attributes:
        sequence_ids: [batch, prompt_time + time], padded as drawn above.
        attention_mask: the same shape, True = real token.
        response_mask: [batch, time], True = real response token, the first EOS included.
        old_logprobs, ref_logprobs: [batch, time], nats, 0 outside the mask.
        old_values: [batch, time], reward units, before each token; 0 outside the mask.
        scores: [batch], reward units.
        has_eos: [batch], True = the response ended by itself.
    """

    sequence_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor
    old_logprobs: Tensor
    ref_logprobs: Tensor
    old_values: Tensor
    scores: Tensor
    has_eos: Tensor

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in self.__dataclass_fields__}
        batch, time = shapes["response_mask"]
        same_time = all(
            shapes[name] == (batch, time) for name in ("old_logprobs", "ref_logprobs", "old_values")
        )
        same_batch = shapes["scores"] == shapes["has_eos"] == (batch,)
        if not (same_time and same_batch and shapes["sequence_ids"] == shapes["attention_mask"]):
            raise ShapeError(f"a rollout's tensors do not fit together: {shapes}")

    @property
    def response_ids(self) -> Tensor:
        """[batch, time] token ids."""
        return self.sequence_ids[:, -self.response_mask.shape[1] :]

    def responses(self) -> list[list[int]]:
        """Return each response's real token ids, its EOS included."""
        return [
            ids[real].tolist()
            for ids, real in zip(self.response_ids, self.response_mask, strict=True)
        ]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name, for a saved state."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class TokenOutputs:
    """What a network says about each response token: [batch, time] float32."""

    logprobs: Tensor  # nats
    entropy: Tensor  # nats
    values: Tensor  # reward units


def seeded(
    seed: int, purpose: str, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a random generator that depends on its arguments alone: no state need be saved."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def encode_prompts(
    policy: Policy, prompts: list[str], max_new_tokens: int
) -> tuple[Tensor, Tensor, int]:
    """Tokenise prompts, padded on the left, with room for the response in the model's positions.

    Returns:
        prompt_ids and attention_mask, [batch, prompt_time], and how many prompts lost their
        beginning.
    """
    tokenizer = policy.tokenizer
    room = max_positions(policy.lm) - max_new_tokens
    if room < 1:
        raise ShapeError(
            f"--max-new-tokens is {max_new_tokens}: the model has {max_positions(policy.lm)} "
            "positions for prompt and response together, ask for fewer"
        )
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    encoded = [ids or [start] for ids in tokenizer(prompts, verbose=False)["input_ids"]]
    cut = sum(len(ids) > room for ids in encoded)
    batch = tokenizer.pad(
        {"input_ids": [ids[-room:] for ids in encoded]}, padding_side="left", return_tensors="pt"
    )
    device = policy.lm.device
    return batch["input_ids"].to(device), batch["attention_mask"].bool().to(device), cut


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw one token per row from softmax(logits / temperature).

    The Gumbel trick: argmax(log p + noise) is a draw from p, and two policies given the same noise
    choose the same token wherever they agree. That makes side-by-side texts part only where the
    models do.

    Args:
        logits: [batch, vocabulary].

    Returns:
        token ids, [batch].
    """
    # -log(-log u) is Gumbel noise; torch makes uniform numbers several times faster than
    # exponential ones.
    uniform = torch.empty_like(logits, dtype=torch.float32).uniform_(generator=generator)
    gumbel = uniform.log_().neg_().log_().neg_()
    return (logits.float() / temperature + gumbel).argmax(-1)


def keep_likely(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Rule out all but the likeliest tokens.

    Args:
        logits: [batch, vocabulary].
        temperature: which top-p counts its probabilities at.
        top_k: keep this many of the most probable tokens; 0 keeps all.
        top_p: of those, keep the fewest whose probability together reaches this, at least one; 1.0
            keeps all.

    Returns:
        logits, float32, minus infinity where a token is ruled out.
    """
    logits = logits.float()
    if top_k:
        logits = TopKLogitsWarper(top_k)(None, logits)
    if top_p < 1.0:
        kept = TopPLogitsWarper(top_p)(None, logits / temperature).isfinite()
        logits = logits.masked_fill(~kept, -torch.inf)
    return logits


@torch.no_grad()
def stream(
    policy: Policy,
    prompt_ids: Tensor,
    attention_mask: Tensor,
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
    top_k: int = 0,
    top_p: float = 1.0,
    eos_token_id: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Write responses token by token, keeping keys and values of what was read.

    Args:
        prompt_ids, attention_mask: [batch, prompt_time], padded on the left; True = real token.
        top_k, top_p: which tokens may be drawn, see keep_likely.
        eos_token_id: ends a response; the tokenizer's own when left out, -1 for none.

    Yields:
        token ids [batch], pad where the response has ended, and a mask [batch], True = real token;
        at most max_new_tokens times.
    """
    eos = policy.tokenizer.eos_token_id if eos_token_id is None else eos_token_id
    cache = DynamicCache(config=policy.lm.config)
    alive = torch.ones_like(attention_mask[:, 0])  # [batch], True = still writing
    ids = sequence_ids = prompt_ids
    for _ in range(max_new_tokens):
        hidden = policy.hidden(
            ids, attention_mask, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits = policy.logits(hidden[:, -1])
        if policy.guard:
            policy.guard.hide(logits[:, None], sequence_ids)
        if top_k or top_p < 1.0:
            logits = keep_likely(logits, temperature, top_k, top_p)
        token = draw(logits, temperature, generator)
        token = token.masked_fill(~alive, policy.tokenizer.pad_token_id)
        yield token, alive
        attention_mask = torch.cat([attention_mask, alive[:, None]], dim=1)
        alive = alive & (token != eos)
        if not alive.any():
            return
        ids = token[:, None]
        sequence_ids = torch.cat([sequence_ids, ids], dim=1)


def sample(
    policy: Policy,
    prompt_ids: Tensor,
    attention_mask: Tensor,
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
    eos_token_id: int | None = None,
    on_token: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Write whole responses; see `stream` for what is not said here.

    Args:
        on_token: called after each token; may raise to break off.

    Returns:
        response_ids and response_mask, [batch, time], time <= max_new_tokens; pad outside the mask.
    """
    tokens, masks = [], []
    for token, alive in stream(
        policy,
        prompt_ids,
        attention_mask,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        generator=generator,
        eos_token_id=eos_token_id,
    ):
        tokens.append(token)
        masks.append(alive)
        on_token()
    return torch.stack(tokens, dim=1), torch.stack(masks, dim=1)


def token_outputs(
    policy: Policy,
    sequence_ids: Tensor,
    attention_mask: Tensor,
    response_time: int,
    temperature: float,
) -> TokenOutputs:
    """Read whole sequences once and say, for each response token, what the network thought of it.

    What is thought of token t is read at position t - 1, and only those positions go through the
    vocabulary-sized output layer.

    Args:
        sequence_ids, attention_mask: [batch, prompt_time + time].
    """
    # Nothing is asked of the last token, so it is not read.
    hidden = policy.hidden(sequence_ids[:, :-1], attention_mask[:, :-1], use_cache=False)
    hidden = hidden.last_hidden_state[:, -response_time:]  # [batch, time, width]
    logits = policy.logits(hidden)
    if policy.guard:
        policy.guard.hide(logits, sequence_ids[:, :-1])
    logprobs, entropy = token_logprobs(logits, sequence_ids[:, -response_time:], temperature)
    return TokenOutputs(logprobs, entropy, policy.values(hidden))


def read_in_parts(
    policy: Policy,
    sequence_ids: Tensor,
    attention_mask: Tensor,
    response_time: int,
    temperature: float,
) -> TokenOutputs:
    """Do what token_outputs does a few rows at a time: less memory, and on a CPU less time."""
    parts = [
        token_outputs(policy, ids, mask, response_time, temperature)
        for ids, mask in zip(
            sequence_ids.split(READ_AT_ONCE), attention_mask.split(READ_AT_ONCE), strict=True
        )
    ]
    fields = zip(*(vars(part).values() for part in parts), strict=True)
    return TokenOutputs(*map(torch.cat, fields))


@torch.no_grad()
def collect(
    policy: Policy,
    prompt_ids: Tensor,
    attention_mask: Tensor,
    response_ids: Tensor,
    response_mask: Tensor,
    scores: Tensor,
    temperature: float,
) -> Rollout:
    """Read sampled responses with policy and reference and pack all that PPO needs.

    Policy and reference read the same sequences in the same way, so before the first update their
    log-probabilities are equal to the last bit and the KL is 0. Taking old_logprobs from the
    sampling pass instead would save this reading (a twelfth of four epochs' work) at the price of
    that pass's rounding: 1e-5 nats a response in float32, 0.005 in bfloat16 (bench/rounding.py).
    """
    sequence_ids = torch.cat([prompt_ids, response_ids], dim=1)
    mask = torch.cat([attention_mask, response_mask], dim=1)
    time = response_mask.shape[1]
    now = read_in_parts(policy, sequence_ids, mask, time, temperature)
    with policy.as_reference() as reference:
        ref = read_in_parts(reference, sequence_ids, mask, time, temperature)
    ended = response_ids.gather(1, response_mask.sum(-1, keepdim=True) - 1).squeeze(1)
    return Rollout(
        sequence_ids=sequence_ids,
        attention_mask=mask,
        response_mask=response_mask,
        old_logprobs=now.logprobs * response_mask,
        ref_logprobs=ref.logprobs * response_mask,
        old_values=now.values * response_mask,
        scores=scores.to(sequence_ids.device),
        has_eos=ended == policy.tokenizer.eos_token_id,
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


def generate(
    policy: Policy,
    prompts: list[str],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 64,
    on_token: Callable[[], None] = lambda: None,
    progress: str | None = None,
) -> list[list[int]]:
    """Write one response to each prompt; returns each response's token ids, its EOS included.

    Batch number k draws from a generator seeded by (seed, k), so two models with one vocabulary,
    given the same prompts and seed, meet the same random numbers in the same places. A progress bar
    is shown where it is given a name.
    """
    responses: list[list[int]] = []
    starts = range(0, len(prompts), batch_size)
    for start in tqdm(starts, progress, disable=progress is None, unit="batch"):
        prompt_ids, mask, _ = encode_prompts(
            policy, prompts[start : start + batch_size], max_new_tokens
        )
        with autocast(policy.lm.device, dtype):
            ids, response_mask = sample(
                policy,
                prompt_ids,
                mask,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                generator=seeded(seed, "generate", start // batch_size, policy.lm.device),
                on_token=on_token,
            )
        responses += [row[real].tolist() for row, real in zip(ids, response_mask, strict=True)]
    return responses


def decode(policy: Policy, responses: list[list[int]]) -> list[str]:
    """Turn responses' token ids into texts, without EOS."""
    return [policy.tokenizer.decode(ids, skip_special_tokens=True) for ids in responses]
