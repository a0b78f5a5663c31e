"""A judge that also reads how a text is written: it must sound pleased, and read well.

    score = star rating - unlikely * max(0, likely_enough - m) - repeated * r

`star rating` is star-rater's score. m is the mean log-probability of the response's tokens and of
its end under the base, a language model that PPO does not change. Nine in ten texts of the base
have an m above `likely_enough`. Above it a text gains nothing by being likelier, so a dull text is
not rewarded; but a good text of words that the base hardly knows falls below it and loses. r is the
share of the response that repeats itself, because a loop is likely once it has begun.
`bench/fluency_judge.py` fits the constants to readings.

The base and star-rater are parts of the network that PPO trains an adapter on, so this judge shares
their blind spots, and a KL penalty keeps a policy's texts likely in just the sense of m. The word
judge shares nothing with them.

Source: Welleck et al. 2020, https://arxiv.org/abs/1908.04319, section 6.1 (share of repeated
n-grams).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rlhf_demo.config.scorers import FLUENCY_JUDGE
from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json
from rlhf_demo.models.loading import max_positions
from rlhf_demo.models.pauses import pause
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import READ_AT_ONCE, pad_responses, token_outputs
from rlhf_demo.models.token_text import special_id
from rlhf_demo.models.word_judge import words_of
from rlhf_demo.paths import CHECKPOINTS

CONSTANTS = CHECKPOINTS / FLUENCY_JUDGE / "constants.json"
SHORT_WORD = 3
"""Letters. Good texts repeat short words too, such as "the" and "was"."""


@dataclass(frozen=True)
class Constants:
    """What a text loses for how it is written.

    Attributes:
        likely_enough: mean log-probability of a token, nats, below which a text loses.
        unlikely: log-odds lost for each nat below it.
        repeated: log-odds lost by a text that only repeats itself.
    """

    likely_enough: float
    unlikely: float
    repeated: float

    @classmethod
    def read(cls, path: Path = CONSTANTS) -> "Constants":
        """Read them from a file.

        Raises:
            CheckpointError: the file is missing or holds something else.
        """
        try:
            numbers = read_json(path)
            return cls(**{name: float(numbers[name]) for name in cls.__dataclass_fields__})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path} cannot be used ({error}): restore it") from error

    def penalty(self, logprobs: Tensor, repetitions: Tensor) -> Tensor:
        """Return what texts lose, in log-odds, from their mean log-probabilities and repetitions,
        all [batch].
        """
        too_unlikely = (self.likely_enough - logprobs).clamp_min(0)
        return self.unlikely * too_unlikely + self.repeated * repetitions


class FluencyJudge:
    """Scores prompt + response by star rating, likelihood and repetition, in log-odds."""

    def __init__(
        self,
        star_rater: Callable[[list[str], list[str]], Tensor],
        base: Policy,
        constants: Constants | None = None,
    ) -> None:
        """Make the judge from the two models that it reads with.

        Args:
            star_rater: scores responses to prompts, in log-odds.
            constants: the shipped ones where they are left out.
        """
        self.star_rater, self.base = star_rater, base
        self.constants = constants or Constants.read()

    def __call__(self, prompts: list[str], responses: list[str]) -> Tensor:
        """Score responses to prompts: float32 [batch], log-odds."""
        repetitions = torch.tensor([repetition(response) for response in responses])
        lost = self.constants.penalty(mean_logprobs(self.base, prompts, responses), repetitions)
        return self.star_rater(prompts, responses) - lost


@torch.no_grad()
def mean_logprobs(policy: Policy, prompts: list[str], responses: list[str]) -> Tensor:
    """Return the mean log-probability of each response's tokens and end, nats: float32 [batch].

    The end counts, so that an empty text or one that breaks off is unlikely. A response longer than
    half of the model's positions is read as far as that.
    """
    most = max_positions(policy.lm) // 2
    # A response is read as it was written, token after token behind the prompt's own.
    read = [policy.tokenizer(text, add_special_tokens=False, verbose=False) for text in responses]
    ids = [[*row["input_ids"], special_id(policy.tokenizer, "eos")][:most] for row in read]
    means = []
    for start in range(0, len(prompts), READ_AT_ONCE):
        pause()
        part = slice(start, start + READ_AT_ONCE)
        rows = pad_responses(policy, prompts[part], ids[part])
        logprobs = token_outputs(policy, *rows, temperature=1.0).logprobs
        means.append((logprobs.sum(-1) / rows[2].sum(-1)).cpu())
    return torch.cat(means) if means else torch.zeros(0)


def repetition(text: str) -> float:
    """Return the share of a text that repeats itself, 0..1.

    It is the larger of two shares: of the long words that stood in the text before, and of the
    triples of neighbouring words that did, which finds loops of short words as well.
    """
    words = words_of(text)
    long_words = [word for word in words if len(word) > SHORT_WORD]
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return max(repeated_share(long_words), repeated_share(triples))


def repeated_share(things: Sequence[Hashable]) -> float:
    """Return the share of things that stand in the sequence before; 0 of an empty one."""
    return 1 - len(set(things)) / len(things) if things else 0.0
