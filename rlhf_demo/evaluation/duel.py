"""Two models continue one prompt, token by token, with the same random numbers.

Where both give the tokens about the same probabilities, they choose the same token, so the texts
differ only where the models do. The numbers for each token are computed when both have finished.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.evaluation.text_stats import read_with_base
from rlhf_demo.models.device import autocast
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.sampling import decode, encode_prompts, seeded, stream
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.models.token_text import cut_into_pieces, decode_prefix


@dataclass(frozen=True)
class Side:
    """One model's response so far; lists have one entry a token, rounded to 4 decimals.

    From `logprob` on, everything is None until both sides are done.

    Attributes:
        token: pieces of text; joined, they are the response. The piece of EOS is empty.
        done: the model writes no more.
        ended: the response ends with EOS; if it is done without, it was cut short.
        prompt_cut: the prompt was too long for the model and lost its beginning.
        logprob: nats, under the model itself at the temperature, without top-k and top-p.
        kl: exact KL of the model from the base at the token, nats, at the temperature, never below
            0. None if the base has another vocabulary.
        log_ratio: logprob minus the base's, nats; below 0 if the base finds the token likelier.
            None if the base has another vocabulary.
        value: the value head's estimate before the token, reward units; None without a trained one.
        score_if_ended: score of prompt and response up to the token; None without a scorer.
        score: score of prompt and response; None without a scorer.
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
        parting: index of the first token that differs; None if none does so far, or if the two
            have different vocabularies.
        finished: this is the last state, and has all numbers.
    """

    left: Side
    right: Side
    parting: int | None
    finished: bool

    def to_dict(self) -> Any:
        """Return everything as values for JSON."""
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
    """Let two models answer a prompt, one token each at a time.

    The random numbers are those of `generate` for this prompt alone, so the same seed gives the
    same text.

    Args:
        left, right: may be the same model; neither is changed.
        base: the reference of KL and log-ratio.
        prompt: the text that both continue.
        options: of the sampling.
        dtype: number format of matrix products.
        scorer: gives the scores; None gives none.

    Yields:
        A state after each token, and a last one with all numbers.

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
    """A side that is being written."""

    def __init__(
        self, policy: Policy, prompt: str, options: DuelOptions, dtype: torch.dtype
    ) -> None:
        self.policy, self.prompt, self.options, self.dtype = policy, prompt, options, dtype
        self.prompt_ids, self.attention_mask, cut = encode_prompts(
            policy, [prompt], options.max_new_tokens
        )
        self.prompt_cut = cut > 0
        self.ids: list[int] = []
        self.prefixes: list[str] = []  # the first 1, 2, ... tokens decoded
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
        """Read the response once with the model and once with the base; return Side's numbers."""
        temperature = self.options.temperature
        ids = torch.tensor([self.ids], device=self.prompt_ids.device)  # [1, time]
        mask = torch.ones_like(ids, dtype=torch.bool)
        with autocast(self.policy.lm.device, self.dtype):
            outputs = token_outputs(
                self.policy,
                torch.cat([self.prompt_ids, ids], dim=1),
                torch.cat([self.attention_mask, mask], dim=1),
                mask,
                temperature,
            )
            figures = {
                "logprob": _rounded(outputs.logprobs[0]),
                "value": None if outputs.values is None else _rounded(outputs.values[0]),
            }
            if _same_vocabulary(self.policy, base):
                (reading,) = read_with_base(
                    self.policy, base, [self.prompt], [self.ids], temperature
                )
                figures["kl"] = _rounded(reading.kl)
                figures["log_ratio"] = _rounded(reading.log_ratio)
        if scorer:
            count = len(self.prefixes)
            scores = _rounded(scorer([self.prompt] * count, self.prefixes))
            figures |= {"score_if_ended": scores, "score": scores[-1]}
        return figures


def _same_vocabulary(one: Policy, other: Policy) -> bool:
    return one is other or one.tokenizer.get_vocab() == other.tokenizer.get_vocab()


def _parting(left: _Writer, right: _Writer) -> int | None:
    """Return the index of the first token that differs.

    A text that ends before the other does so with EOS, which differs too.
    """
    pairs = enumerate(zip(left.ids, right.ids, strict=False))
    return next((index for index, (a, b) in pairs if a != b), None)


def _rounded(x: torch.Tensor) -> list[float]:
    return [round(number, 4) for number in x.tolist()]
