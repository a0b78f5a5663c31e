"""Sample responses token by token, with a key-value cache.

Given the same seed, two models with the same vocabulary use the same random numbers for the same
tokens. Every generator is made from (seed, purpose, step), so no generator state has to be saved.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache, TopKLogitsWarper, TopPLogitsWarper

from rlhf_demo.errors import ShapeError
from rlhf_demo.models.device import autocast
from rlhf_demo.models.loading import max_positions, rows_at_once
from rlhf_demo.models.pauses import pause
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.token_text import decoded, special_id
from rlhf_demo.objectives.logprobs import token_logprobs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawn:
    """The next token of each response, with the policy's outputs for it.

    Where alive is False, logprobs, values and logits mean nothing.

    Attributes:
        token_ids: [batch], pad if the response has ended.
        alive: [batch], True = real token.
        logprobs: [batch], nats, under softmax(logits / temperature), without top_k and top_p.
        values: [batch], reward units, before the token. None without a value head.
        logits: [batch, vocabulary], from which the token was drawn, without top_k and top_p.
    """

    token_ids: Tensor
    alive: Tensor
    logprobs: Tensor
    values: Tensor | None
    logits: Tensor


@dataclass(frozen=True)
class Sampled:
    """Whole responses, with the policy's outputs for each token when it was drawn.

    Attributes:
        response_ids: [batch, time], pad outside the mask.
        response_mask: [batch, time], True = real response token, the first EOS included.
        logprobs: [batch, time], nats, 0 outside the mask.
        values: [batch, time], reward units, before each token; 0 outside the mask. None without a
            value head.
        logits: one [batch, vocabulary] for each time; they mean nothing outside the mask. Empty
            unless sampled with keep_logits.
    """

    response_ids: Tensor
    response_mask: Tensor
    logprobs: Tensor
    values: Tensor | None
    logits: list[Tensor]

    def responses(self) -> list[list[int]]:
        """Return each response's real token ids, its EOS included."""
        return real_tokens(self.response_ids, self.response_mask)


def real_tokens(ids: Tensor, mask: Tensor) -> list[list[int]]:
    """Return each row's ids [batch, time] where its mask is True."""
    return [row[real].tolist() for row, real in zip(ids, mask, strict=True)]


def seeded(
    seed: int, purpose: str, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a random generator that depends on its arguments alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def encode_prompts(
    policy: Policy, prompts: list[str], max_new_tokens: int
) -> tuple[Tensor, Tensor, int]:
    """Tokenise prompts, padded on the left, and leave room for the responses.

    Returns:
        prompt_ids and attention_mask, [batch, prompt_time], and the number of cut prompts.

    Raises:
        ShapeError: the model has no more than max_new_tokens positions.
    """
    rows, cut = prompt_tokens(policy, prompts, max_new_tokens)
    batch = policy.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
    device = policy.lm.device
    return batch["input_ids"].to(device), batch["attention_mask"].bool().to(device), cut


def prompt_tokens(
    policy: Policy, prompts: list[str], max_new_tokens: int
) -> tuple[list[list[int]], int]:
    """Tokenise prompts; an empty one is the token that begins a text.

    A prompt that leaves too little room for the response loses its beginning, which is logged.

    Returns:
        The ids of each prompt, and the number of cut prompts.

    Raises:
        ShapeError: the model has no more than max_new_tokens positions.
    """
    tokenizer = policy.tokenizer
    room = max_positions(policy.lm) - max_new_tokens
    if room < 1:
        raise ShapeError(
            f"--max-new-tokens is {max_new_tokens}, but the model has "
            f"{max_positions(policy.lm)} positions for prompt and response together: "
            "use a smaller number"
        )
    start = special_id(tokenizer, "eos" if tokenizer.bos_token_id is None else "bos")
    encoded = [ids or [start] for ids in tokenizer(prompts, verbose=False)["input_ids"]]
    cut = sum(len(ids) > room for ids in encoded)
    if cut:
        log.warning("%d prompts are too long for the model and lost their beginning", cut)
    return [ids[-room:] for ids in encoded], cut


@dataclass(frozen=True)
class Part:
    """Rows of a batch, whose other rows are sampled elsewhere.

    Random numbers are drawn for the whole batch, so that each row gets the same ones wherever it is
    sampled.
    """

    rows: slice
    of: int


def draw(
    logits: Tensor, temperature: float, generator: torch.Generator, part: Part | None = None
) -> Tensor:
    """Draw one token per row from softmax(logits / temperature).

    The Gumbel-max trick: argmax(log p + Gumbel noise) is a draw from p. Two policies with the same
    noise choose the same token wherever they agree, so texts side by side differ only where the
    models do.

    Args:
        logits: [batch, vocabulary].
        part: which rows of a larger batch these are.

    Returns:
        token ids, [batch].
    """
    # -log(-log u) is Gumbel noise; torch makes uniform numbers several times faster than
    # exponential ones. Every operation works in place, because moving memory takes most of the
    # time at this size.
    rows = len(logits) if part is None else part.of
    uniform = logits.new_empty(rows, logits.shape[1], dtype=torch.float32)
    uniform = uniform.uniform_(generator=generator)[part.rows if part else slice(None)]
    negative_gumbel = uniform.log_().neg_().log_()
    scaled = logits.to(torch.float32, copy=True).div_(temperature)
    return scaled.sub_(negative_gumbel).argmax(-1)


def keep_likely(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Rule out all but the likeliest tokens (top-k and top-p).

    Args:
        logits: [batch, vocabulary].
        temperature: of the probabilities that top_p adds up.
        top_k: keep this many of the likeliest tokens; 0 keeps all.
        top_p: of those, keep the smallest set whose probabilities add up to this, at least one
            token; 1.0 keeps all.

    Returns:
        logits, float32, minus infinity where a token is ruled out.
    """
    logits, unread = logits.float(), torch.LongTensor()  # neither looks at the tokens before
    if top_k:
        logits = TopKLogitsWarper(top_k)(unread, logits)
    if top_p < 1.0:
        kept = TopPLogitsWarper(top_p)(unread, logits / temperature).isfinite()
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
    part: Part | None = None,
) -> Iterator[Drawn]:
    """Sample responses token by token, with a key-value cache.

    Args:
        prompt_ids, attention_mask: [batch, prompt_time], padded on the left; True = real token.
        top_k, top_p: which tokens may be drawn, see keep_likely.
        eos_token_id: the token that ends a response; None for the tokenizer's, -1 for no end.
        part: which rows of a larger batch these prompts are; None if they are all of it.

    Yields:
        The next token of each response, at most max_new_tokens times.
    """
    eos = policy.tokenizer.eos_token_id if eos_token_id is None else eos_token_id
    cache = DynamicCache(config=policy.lm.config)
    alive = torch.ones_like(attention_mask[:, 0])  # [batch], True = still writing
    ids = sequence_ids = prompt_ids
    for _ in range(max_new_tokens):
        pause()
        hidden = policy.hidden(
            ids, attention_mask, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = policy.logits(hidden)
        if policy.guard:
            policy.guard.hide(logits, sequence_ids.tolist())
        likely = logits
        if top_k or top_p < 1.0:
            likely = keep_likely(logits, temperature, top_k, top_p)
        token = draw(likely, temperature, generator, part)
        token = token.masked_fill(~alive, special_id(policy.tokenizer, "pad"))
        logprobs, _ = token_logprobs(logits, token, temperature)
        yield Drawn(token, alive, logprobs, policy.values(hidden), logits)
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
    part: Part | None = None,
    on_token: Callable[[], None] = lambda: None,
    keep_logits: bool = False,
) -> Sampled:
    """Sample whole responses. The other arguments are those of `stream`.

    Args:
        on_token: called after each token; may raise to stop.
        keep_logits: keep the logits of every token: batch * time * vocabulary numbers.

    Returns:
        The responses; `time` is the length of the longest, at most max_new_tokens.
    """
    columns, values, logits = [], [], []
    for drawn in stream(
        policy,
        prompt_ids,
        attention_mask,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        generator=generator,
        eos_token_id=eos_token_id,
        part=part,
    ):
        columns.append((drawn.token_ids, drawn.alive, drawn.logprobs))
        values += [] if drawn.values is None else [drawn.values]
        logits += [drawn.logits] if keep_logits else []
        on_token()
    ids, mask, logprobs = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
    return Sampled(
        response_ids=ids,
        response_mask=mask,
        logprobs=logprobs.masked_fill(~mask, 0.0),
        values=torch.stack(values, dim=1).masked_fill(~mask, 0.0) if values else None,
        logits=logits,
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
    purpose: str = "generate",
) -> list[list[int]]:
    """Sample one response to each prompt, in batches.

    Batch k draws from a generator seeded by (seed, purpose, k). So two models with the same
    vocabulary, given the same prompts, seed and purpose, use the same random numbers for the same
    tokens.

    Args:
        batch_size: the most prompts of a batch; it has fewer where they are very long.
        on_token: called after each token of a batch; may raise to stop.
        progress: title of a progress bar; None shows none.

    Returns:
        The token ids of each response, its EOS included.
    """
    responses: list[list[int]] = []
    if not prompts:
        return responses
    longest = encode_prompts(policy, prompts, max_new_tokens)[0].shape[1]
    batch_size = min(batch_size, rows_at_once(policy.lm, longest + max_new_tokens))
    starts = range(0, len(prompts), batch_size)
    for start in tqdm(starts, progress, disable=progress is None, unit="batch"):
        batch = prompts[start : start + batch_size]
        prompt_ids, mask, _ = encode_prompts(policy, batch, max_new_tokens)
        with autocast(policy.lm.device, dtype):
            sampled = sample(
                policy,
                prompt_ids,
                mask,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                generator=seeded(seed, purpose, start // batch_size, policy.lm.device),
                on_token=on_token,
            )
        responses += sampled.responses()
    return responses


def decode(policy: Policy, responses: list[list[int]]) -> list[str]:
    """Return the texts of token ids, without EOS."""
    return [decoded(policy.tokenizer, ids, special=False) for ids in responses]
