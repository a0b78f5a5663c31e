"""Two models write on from one prompt, token by token, with the same random numbers.

Wherever both find the same tokens about equally likely they choose the same one, so the texts part
only where the models do. What each token was worth is read off when both have finished.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.evaluation.text_stats import read_beside
from rlhf_demo.models.device import autocast
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.sampling import decode, encode_prompts, seeded, stream
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.models.token_text import cut_into_pieces, decode_prefix


@dataclass(frozen=True)
class Side:
    """How far one model has come; lists have one entry a token, figures have 4 decimals.

    Attributes:
        token: pieces of text which joined are the response; an end token's is empty.
        done: the model writes no more.
        ended: it wrote its end token, its last; else it was cut short.
        prompt_cut: the prompt lost its beginning, being too long for the model.
        logprob: nats, under the model itself at the temperature, with nothing ruled out by top-k or
            top-p. This and what follows is None until both sides are done.
        kl: of the model from the base before the token, nats, never below 0: over the whole
            vocabulary, at the temperature. None where the base has other tokens.
        log_ratio: logprob less the base's, nats; below 0 where the base likes the token better.
            None where the base has other tokens.
        value: the value head's estimate before the token, reward units; None without a trained one.
        score_if_ended: of prompt and response, had the response ended after the token; None without
            a scorer.
        score: of prompt and response; None without a scorer.
    """

    token: list[str]
    done: bool
    ended: bool
    prompt_cut: bool
    logprob: list[float] | None = None
    kl: list[float] | None = None
    log_ratio: list[float] | None = None
    value: list[float] | None = None
    score_if_ended: list[float] | None = None
    score: float | None = None


@dataclass(frozen=True)
class DuelState:
    """Both sides at one moment.

    Attributes:
        left, right: the sides.
        parting: index of the first token that differs; None where none does so far, or where the
            two have different vocabularies.
        finished: the figures are there; nothing follows.
    """

    left: Side
    right: Side
    parting: int | None
    finished: bool

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return asdict(self)


def duel(
    left: Policy,
    right: Policy,
    base: Policy,
    prompt: str,
    options: DuelOptions,
    *,
    dtype: torch.dtype = torch.float32,
    scorer: Scorer | None = None,
) -> Iterator[DuelState]:
    """Let two models answer a prompt, in turns of one token each.

    The random numbers are those that `generate` gives this prompt alone: same seed, same text.

    Args:
        left, right: may be one and the same; neither is changed.
        base: what KL is counted against.
        prompt: what both write on from.
        options: how they sample.
        dtype: number format of matrix products.
        scorer: gives the scores.

    Yields:
        A state after each turn, and a last one with the figures.

    Raises:
        ShapeError: a model has too few positions for so many new tokens.
    """
    writers = [_Writer(policy, prompt, options, dtype) for policy in (left, right)]
    comparable = _same_vocabulary(left, right)
    while not all(writer.done for writer in writers):
        for writer in writers:
            if not writer.done:
                writer.step()
        yield DuelState(
            *(writer.side() for writer in writers),
            parting=_parting(*writers) if comparable else None,
            finished=False,
        )
    yield DuelState(
        *(writer.side(**writer.figures(base, scorer)) for writer in writers),
        parting=_parting(*writers) if comparable else None,
        finished=True,
    )


class _Writer:
    """One side while it writes."""

    def __init__(
        self, policy: Policy, prompt: str, options: DuelOptions, dtype: torch.dtype
    ) -> None:
        self.policy, self.prompt, self.options, self.dtype = policy, prompt, options, dtype
        self.prompt_ids, self.attention_mask, cut = encode_prompts(
            policy, [prompt], options.max_new_tokens
        )
        self.prompt_cut = cut > 0
        self.ids: list[int] = []
        self.prefixes: list[str] = []  # what the first 1, 2, ... tokens decode to
        self._stream = stream(
            policy,
            self.prompt_ids,
            self.attention_mask,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            generator=seeded(options.seed, "generate", 0, policy.lm.device),
            top_k=options.top_k,
            top_p=options.top_p,
        )

    @property
    def ended(self) -> bool:
        return self.ids[-1:] == [self.policy.tokenizer.eos_token_id]

    @property
    def done(self) -> bool:
        return self.ended or len(self.ids) == self.options.max_new_tokens

    def step(self) -> None:
        """Write one token."""
        with autocast(self.policy.lm.device, self.dtype):
            drawn = next(self._stream)
        self.ids.append(int(drawn.token_ids))
        if self.done:
            self.prefixes += decode(self.policy, [self.ids])
        else:
            self.prefixes.append(decode_prefix(self.policy.tokenizer, self.ids))

    def side(self, **figures: Any) -> Side:
        return Side(
            token=cut_into_pieces(self.prefixes),
            done=self.done,
            ended=self.ended,
            prompt_cut=self.prompt_cut,
            **figures,
        )

    @torch.no_grad()
    def figures(self, base: Policy, scorer: Scorer | None) -> dict[str, Any]:
        """Read the response once with each model and return Side's figures."""
        temperature = self.options.temperature
        ids = torch.tensor([self.ids], device=self.prompt_ids.device)  # [1, time]
        mask = torch.ones_like(ids, dtype=torch.bool)
        with autocast(self.policy.lm.device, self.dtype):
            read = token_outputs(
                self.policy,
                torch.cat([self.prompt_ids, ids], dim=1),
                torch.cat([self.attention_mask, mask], dim=1),
                mask,
                temperature,
            )
            figures = {
                "logprob": _rounded(read.logprobs[0]),
                "value": None if read.values is None else _rounded(read.values[0]),
            }
            if _same_vocabulary(self.policy, base):
                beside = read_beside(self.policy, base, [self.prompt], [self.ids], temperature)[0]
                figures["kl"] = _rounded(beside.kl)
                figures["log_ratio"] = _rounded(beside.log_ratio)
        if scorer:
            count = len(self.prefixes)
            scores = _rounded(scorer([self.prompt] * count, self.prefixes))
            figures |= {"score_if_ended": scores, "score": scores[-1]}
        return figures


def _same_vocabulary(one: Policy, other: Policy) -> bool:
    return one is other or one.tokenizer.get_vocab() == other.tokenizer.get_vocab()


def _parting(left: _Writer, right: _Writer) -> int | None:
    """Return where the texts part; a text cannot end before the other without an end token."""
    pairs = enumerate(zip(left.ids, right.ids, strict=False))
    return next((place for place, (a, b) in pairs if a != b), None)


def _rounded(x: torch.Tensor) -> list[float]:
    return [round(number, 4) for number in x.tolist()]
