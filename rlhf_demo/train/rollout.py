"""A rollout: sampled responses, and everything that an update needs to know about them (1 to 3).

Layout of a batch: prompts are padded on the left and responses on the right, so that the first
response token of every row is in the same column.

    <pad> <pad> This  film | was   good  <eos> <pad>
    <bos>  I    went  to   | the   shop  and   saw
                 prompt_time ^

Sources: Ziegler et al. 2019; Huang et al. 2023 ("The N implementation details of RLHF with PPO").
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rlhf_demo.errors import ShapeError, TrainingDiverged
from rlhf_demo.models.device import autocast
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import as_rows, by_length, response_logits, response_tokens, trimmed
from rlhf_demo.models.sampling import (
    Part,
    Sampled,
    decode,
    encode_prompts,
    real_tokens,
    sample,
    seeded,
)
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.models.token_text import special_id
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.rewards import exact_kl


@dataclass(frozen=True)
class Rollout:
    """A batch of responses, as the policy that sampled them and the reference saw them.

    Attributes:
        sequence_ids: [batch, prompt_time + time], padded as drawn above.
        attention_mask: [batch, prompt_time + time], True = real token.
        response_mask: [batch, time], True = real response token, the first EOS included.
        old_logprobs, ref_logprobs: [batch, time], nats, 0 outside the mask.
        kl: [batch, time], exact KL from the reference at each token, nats, 0 outside the mask.
        scores: [batch], in the scorer's own units.
        has_eos: [batch], True = the response ends with EOS, False = it was cut short.
        old_values: [batch, time], reward units, before each token; 0 outside the mask. None if the
            policy has no value head.

    Raises:
        ShapeError: the tensors do not have these shapes.
    """

    sequence_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor
    old_logprobs: Tensor
    ref_logprobs: Tensor
    kl: Tensor
    scores: Tensor
    has_eos: Tensor
    old_values: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors().items()}
        batch, time = shapes["response_mask"]
        by_token = {"old_logprobs", "ref_logprobs", "kl", "old_values"} & shapes.keys()
        same_time = all(shapes[name] == (batch, time) for name in by_token)
        same_batch = shapes["scores"] == shapes["has_eos"] == (batch,)
        if not (same_time and same_batch and shapes["sequence_ids"] == shapes["attention_mask"]):
            raise ShapeError(f"a rollout's tensors do not fit together: {shapes}")

    @property
    def response_ids(self) -> Tensor:
        """[batch, time] token ids."""
        return self.sequence_ids[:, -self.response_mask.shape[1] :]

    @property
    def baseline(self) -> Tensor:
        """The values, for a method like PPO that gives its policy a value head."""
        assert self.old_values is not None
        return self.old_values

    def select(self, rows: Tensor | slice) -> "Rollout":
        """Return these rows, without columns that are padding in all of them."""
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
            old_values=None if self.old_values is None else self.old_values[rows, :time],
            scores=self.scores[rows],
            has_eos=self.has_eos[rows],
        )

    def responses(self) -> list[list[int]]:
        """Return each response's real token ids, its EOS included."""
        return real_tokens(self.response_ids, self.response_mask)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name; old_values is missing where there are none."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}


class SamplingOptions(Protocol):
    """Options of a stage that samples responses."""

    @property
    def max_new_tokens(self) -> int:
        """Longest response, tokens."""
        ...

    @property
    def temperature(self) -> float:
        """It divides the logits."""
        ...

    @property
    def seed(self) -> int:
        """Of all random numbers."""
        ...


def sample_rollout(
    policy: Policy,
    scorer: Scorer,
    prompts: list[str],
    options: SamplingOptions,
    *,
    purpose: str,
    number: int,
    step: int,
    dtype: torch.dtype,
    check_stop: Callable[[], None],
    part: Part | None = None,
) -> tuple[Rollout, dict[str, float]]:
    """Sample one response to each prompt, score it, and read it with the reference (1 to 3).

    Args:
        purpose, number: what the random numbers depend on, together with the seed.
        step: of the training, for the error.
        dtype: of matrix products.
        check_stop: raises StopRequested; called between tokens and before the reading.
        part: which rows of the step's batch these prompts are; None if they are all of it.

    Returns:
        The rollout, and the seconds that sampling and scoring took.

    Raises:
        TrainingDiverged: a score is not finite.
    """
    device, started = policy.lm.device, time.perf_counter()
    with autocast(device, dtype):
        # 1. Sample responses from the current policy.
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L560-L576
        prompt_ids, attention_mask, _ = encode_prompts(policy, prompts, options.max_new_tokens)
        sampled = sample(
            policy,
            prompt_ids,
            attention_mask,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            generator=seeded(options.seed, purpose, number, device),
            part=part,
            on_token=check_stop,
            keep_logits=True,
        )
        sampling_ended = time.perf_counter()

        # 2. Score each response as text: the reward model may have another tokenizer.
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L609-L614
        scores = scorer(prompts, decode(policy, sampled.responses()))
        if part is None:  # the processes that share a batch check all of its scores
            require_finite(step, "objective/score", scores)
        check_stop()

        # 3. Read the responses with the reference.
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L580-L584
        rollout = collect(policy, prompt_ids, attention_mask, sampled, scores, options.temperature)
    scoring = time.perf_counter() - sampling_ended
    return rollout, {"sampling": sampling_ended - started, "scoring": scoring}


def require_finite(step: int, metric: str, x: Tensor) -> None:
    """Raise TrainingDiverged if x holds a NaN or an infinity."""
    finite = x.isfinite()
    if not finite.all():
        raise TrainingDiverged(step, metric, float(x.detach()[~finite].flatten()[0]))


@torch.no_grad()
def collect(
    policy: Policy,
    prompt_ids: Tensor,
    attention_mask: Tensor,
    sampled: Sampled,
    scores: Tensor,
    temperature: float,
) -> Rollout:
    """Read sampled responses with the reference, and put everything an update needs together.

    The policy's log-probabilities, logits and values come from the sampling pass, which saves
    another forward pass. Sampling goes token by token through a cache and the reference reads whole
    texts, so the two differ by rounding: before the first update, k1 of a response is 0 to within
    some 1e-6 nats (bench/rounding.py).

    Args:
        prompt_ids, attention_mask: [batch, prompt_time], padded left.
        sampled: the responses, sampled with keep_logits=True.
        scores: [batch], in the scorer's own units.
    """
    sequence_ids = torch.cat([prompt_ids, sampled.response_ids], dim=1)
    response_mask = sampled.response_mask
    mask = torch.cat([attention_mask, response_mask], dim=1)
    eos = special_id(policy.tokenizer, "eos")
    ref_logprobs, kl = torch.zeros(2, *response_mask.shape, device=sequence_ids.device)
    with policy.as_reference() as reference:
        for rows in by_length(response_mask):
            ids, attended, real = trimmed(sequence_ids[rows], mask[rows], response_mask[rows])
            time = real.shape[1]
            ref_logits, _ = response_logits(reference, ids, attended, real)
            # One row at a time: picking from whole columns would copy the logits twice.
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
        has_eos=sampled.response_ids.gather(1, last).squeeze(1) == eos,
    )
