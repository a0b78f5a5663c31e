"""Scorers, which give each response a number, and a simulated voter that chooses by it.

A scorer is any callable (prompts, responses) -> scores: float32 [batch], higher is better. Nothing
else about it matters to the loop, so a reward model, a rule and a Python function can all be the
reward, the judge or the simulated voter. People's votes are in the package `votes`.
"""

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.config.scorers import (
    BASE,
    FLUENCY_JUDGE,
    RULES,
    STAR_RATER,
    WORD_JUDGE,
    is_function,
)
from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.fluency_judge import FluencyJudge
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.models.word_judge import WordJudge

Scorer = Callable[[list[str], list[str]], Tensor]
"""(prompts, responses) -> float32 [batch] on the CPU, one finite score per response."""


def load_scorer(
    name: str,
    *,
    device: torch.device,
    label: str | None = None,
    dtype: torch.dtype = torch.float32,
    allow_python: bool = False,
) -> Scorer:
    """Return the scorer of this name.

    Args:
        name: `longer`, `word-judge`, `fluency-judge`, a reward model or text classifier
            (`star-rater`, a run folder, a path, a Hub id), or a Python function as
            `package.module:function`.
        device: for a model.
        label: the label whose logit is the score, if a classifier has several.
        dtype: number format of a model's matrix products.
        allow_python: allow a Python function, which is then imported and run. For the command line
            only: on the page, anyone who can type a name could run any code.

    Raises:
        ConfigError: the name is a function and none is allowed, the function cannot be imported, or
            the label does not fit.
        CheckpointError: the model cannot be found or has no classification head.
    """
    if label is not None and (name in RULES or is_function(name)):
        raise ConfigError(f"--label is {label!r}, but {name} has no labels: leave it out")
    if name == FLUENCY_JUDGE:
        star_rater = load_reward_model(STAR_RATER, device=device, dtype=dtype)
        return FluencyJudge(star_rater, load_policy(BASE, device=device))
    if name in RULES:
        return WordJudge() if name == WORD_JUDGE else length_scores
    if is_function(name):
        if not allow_python:
            raise ConfigError(
                f"{name} is a Python function, which only the command line runs: choose a model"
            )
        return PythonScorer(name)
    return load_reward_model(name, device=device, label=label, dtype=dtype)


def scorer_of(
    name: str, *, device: str, dtype: str, label: str | None, allow_python: bool
) -> Scorer:
    """Load the scorer that a command's options name; see `load_scorer`."""
    chosen = pick_device(device)
    return load_scorer(
        name,
        device=chosen,
        label=label,
        dtype=pick_dtype(chosen, dtype),
        allow_python=allow_python,
    )


# -- scorers --------------------------------------------------------------------------------------


def length_scores(prompts: list[str], responses: list[str]) -> Tensor:
    """Score each response by its number of characters: float32 [batch]."""
    return torch.tensor([len(response) for response in responses], dtype=torch.float32)


class PythonScorer:
    """A scorer that calls the user's function, and checks what it returns on every call."""

    def __init__(self, name: str) -> None:
        """Import `package.module:function`; modules in the working directory count too.

        Raises:
            ConfigError: the module cannot be imported or has no such function.
        """
        self.name = name
        module_name, function_name = name.split(":")
        if "" not in sys.path:
            sys.path.insert(0, "")  # as `python -m` does; an installed command does not
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # the user's module may fail in any way
            raise ConfigError(
                f"{name}: importing {module_name} failed with {_in_words(error)}; "
                "fix it, or check the name"
            ) from error
        function = vars(module).get(function_name)
        if not callable(function):
            raise ConfigError(
                f"{name}: {module_name} has no function {function_name!r}; check the name"
            )
        self.function = function

    def __call__(self, prompts: list[str], responses: list[str]) -> Tensor:
        """Score responses to prompts: float32 [batch].

        Raises:
            DataError: the function failed, or returned something other than one finite number for
                each response.
        """
        try:
            result = self.function(list(prompts), list(responses))
        except Exception as error:  # the user's function may fail in any way
            raise DataError(
                f"{self.name} failed with {_in_words(error)}; fix the function"
            ) from error
        return self._checked(result, len(responses))

    def _checked(self, result: Any, count: int) -> Tensor:
        wanted = f"return a list, array or tensor of {count} finite numbers, one for each response"
        try:
            scores = torch.as_tensor(result, dtype=torch.float32).detach().cpu()
        except (TypeError, ValueError, RuntimeError):
            raise DataError(
                f"{self.name} returned {type(result).__name__} {_short(result)}: {wanted}"
            ) from None
        if scores.shape != (count,):
            raise DataError(f"{self.name} returned numbers of shape {list(scores.shape)}: {wanted}")
        finite = scores.isfinite()
        if not finite.all():
            index = int((~finite).nonzero()[0])
            raise DataError(f"{self.name} returned {scores[index]} for response {index}: {wanted}")
        return scores


def _in_words(error: Exception) -> str:
    """Describe an error and the line it came from: `ValueError: bad (line 3 of rewards.py)`."""
    frames = traceback.extract_tb(error.__traceback__)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{text} (line {frames[-1].lineno} of {Path(frames[-1].filename).name})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# -- the simulated voter --------------------------------------------------------------------------


class SimulatedVoter:
    """Prefers the response with the higher score, and errs with a given probability.

    People err too: in Stiennon et al. 2020, section 3.3, labellers agreed with researchers 77% of
    the time (https://arxiv.org/abs/2009.01325).
    """

    def __init__(self, scorer: Scorer, *, error_rate: float = 0.0, seed: int = 0) -> None:
        """Make a voter.

        Args:
            scorer: called once with all left and once with all right responses.
            error_rate: probability, 0..1, that a preference is flipped; a tie stays a tie.
            seed: of the errors. Every pair takes one draw, so errors do not depend on the scores.

        Raises:
            ConfigError: error_rate is not a probability.
        """
        if not 0.0 <= error_rate <= 1.0:
            raise ConfigError(f"error rate is {error_rate}: give a probability from 0 to 1")
        self.scorer, self.error_rate = scorer, error_rate
        self._generator = torch.Generator().manual_seed(seed)

    def prefer(
        self, prompts: list[str], left: Sequence[str], right: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Choose between two responses to each prompt.

        Returns:
            preferences: int64 [batch], +1 = left, -1 = right, 0 = equal scores, with errors.
            margins: float32 [batch], score of left - score of right, in the scorer's units,
                without errors.
        """
        margins = self.scorer(prompts, list(left)) - self.scorer(prompts, list(right))
        errors = torch.rand(len(prompts), generator=self._generator) < self.error_rate
        preferences = margins.sign().long()
        return torch.where(errors, -preferences, preferences), margins
