"""One response of a PPO step: every number from its sampled tokens to their gradients.

A run keeps some responses of a step token by token, in samples.jsonl. `trace` computes each term of
the loss again from such a row, the step's row of metrics.jsonl and the run's options, with the
functions of objectives/ that trained the run. Tests hold the results equal to what the run wrote.

Tensors are [1, time] as in objectives/, with float64 numbers; the records have four decimals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.errors import DataError
from rlhf_demo.files import Row
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import clipped_loss, policy_loss, ppo_loss, value_loss
from rlhf_demo.objectives.masks import moments, standardise
from rlhf_demo.objectives.rewards import kl_k1, token_rewards

LEAST_VARIANCE = 1e-3
"""Of whitened advantages: if they differ less, what they were before whitening cannot be told."""


@dataclass(frozen=True)
class Quantity:
    """A row of the microscope.

    Attributes:
        function: computes it. What the trainer noted has the function that measured it.
        sources: (name, tokens ahead) of the cells that it is computed from.
    """

    function: Callable[..., Any]
    sources: tuple[tuple[str, int], ...] = ()


QUANTITIES = {
    "logprob": Quantity(token_logprobs),
    "ref_logprob": Quantity(token_logprobs),
    "log_ratio": Quantity(kl_k1, (("logprob", 0), ("ref_logprob", 0))),
    "reward": Quantity(token_rewards, (("log_ratio", 0),)),
    "value": Quantity(token_outputs),
    "delta": Quantity(gae, (("reward", 0), ("value", 0), ("value", 1))),
    "raw_advantage": Quantity(gae, (("delta", 0), ("raw_advantage", 1))),
    "return": Quantity(gae, (("raw_advantage", 0), ("value", 0))),
    "advantage": Quantity(standardise, (("raw_advantage", 0),)),
    "logprob_after": Quantity(token_logprobs),
    "ratio": Quantity(policy_loss, (("logprob_after", 0), ("logprob", 0))),
    "policy_term": Quantity(policy_loss, (("ratio", 0), ("advantage", 0))),
    "gradient": Quantity(policy_loss, (("ratio", 0), ("advantage", 0))),
    "value_after": Quantity(token_outputs),
    "value_term": Quantity(value_loss, (("value_after", 0), ("value", 0), ("return", 0))),
    "entropy_after": Quantity(token_logprobs),
    "total": Quantity(ppo_loss, (("policy_term", 0), ("value_term", 0), ("entropy_after", 0))),
}
"""All rows, in the order of computation."""


@dataclass(frozen=True)
class StepSettings:
    """What a step's loss depends on besides the response.

    Attributes:
        kl_coef: of that step: the controller changes it from step to step.
        with_values: False: as if the value head always said 0, and had no loss.
    """

    kl_coef: float
    gamma: float
    gae_lambda: float
    clip_range: float
    value_clip_range: float
    value_coef: float
    entropy_coef: float
    with_values: bool = True


@dataclass(frozen=True)
class Response:
    """A kept response; tensors are [1, time].

    Attributes:
        logprob, ref_logprob: nats.
        value: reward units; 0 for all tokens before the first update.
        earned: what the last token earns on top of its KL: the standardised score, minus the
            penalty if the response did not end by itself.
        advantage: as the run whitened it.
        logprob_after: nats, after the step's updates; -inf where the ratio was noted as 0.
        value_after, entropy_after: after the step's updates; None in older runs.
    """

    tokens: list[str]
    logprob: Tensor
    ref_logprob: Tensor
    value: Tensor
    earned: float
    advantage: Tensor
    logprob_after: Tensor
    value_after: Tensor | None
    entropy_after: Tensor | None

    @property
    def mask(self) -> Tensor:
        """All tokens are real ones."""
        return torch.ones_like(self.logprob, dtype=torch.bool)


@dataclass(frozen=True)
class Trace:
    """Every term of the loss, for each token of a response.

    Attributes:
        columns: by the names of QUANTITIES, [1, time]; None where the run did not note enough.
        stopped: [1, time], True where the clip would stop a further update of the token; None where
            the advantage is not known.
        whitening: mean and deviation of the step's advantages; None if they cannot be told.
        earned: see Response.
    """

    columns: dict[str, Tensor | None]
    stopped: Tensor | None
    whitening: tuple[float, float] | None
    earned: float


# -- what the run noted ----------------------------------------------------------------------------


def settings_of(metrics: Row, options: Mapping[str, Any]) -> StepSettings:
    """Return the settings of a step.

    Args:
        metrics: the step's row of metrics.jsonl.
        options: the run's.

    Raises:
        DataError: one is missing or not a number.
    """
    names = (
        "gamma",
        "gae_lambda",
        "clip_range",
        "value_clip_range",
        "value_coef",
        "entropy_coef",
    )
    given: dict[str, Any] = {name: options.get(name) for name in names}
    given["kl_coef"] = metrics.get("objective/kl_coef")
    for name, value in given.items():
        if not _is_number(value):
            raise DataError(f"this run notes no {name}, which its loss needs: choose another run")
    return StepSettings(**given)


def response_of(row: Row, settings: StepSettings) -> Response:
    """Return a row of samples.jsonl as tensors.

    Args:
        settings: as the run had them.

    Raises:
        DataError: a column is missing or damaged.
    """
    tokens = row.get("token")
    if not isinstance(tokens, list) or not tokens:
        raise DataError("this response has no tokens: choose another one")
    count = len(tokens)
    logprob, ref_logprob = _column(row, "logprob", count), _column(row, "ref_logprob", count)
    # Ratios have four decimals, so one of 0 says only that it was smaller.
    ratio = _column(row, "ratio", count).clamp_min(0.0)
    last = (logprob - ref_logprob)[0, -1]
    return Response(
        tokens=[str(token) for token in tokens],
        logprob=logprob,
        ref_logprob=ref_logprob,
        value=_column(row, "value", count),
        earned=float(_column(row, "reward", count)[0, -1] + settings.kl_coef * last),
        advantage=_column(row, "advantage", count),
        logprob_after=logprob + ratio.log(),
        value_after=_column(row, "value_after", count) if "value_after" in row else None,
        entropy_after=_column(row, "entropy_after", count) if "entropy_after" in row else None,
    )


def _column(row: Row, name: str, count: int) -> Tensor:
    values = row.get(name)
    if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
        raise DataError(f"this response's {name} is missing or damaged: choose another response")
    return torch.tensor([values], dtype=torch.float64)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# -- the terms, in the order of computation --------------------------------------------------------


def trace(
    rows: Sequence[Row],
    index: int,
    metrics: Row,
    options: Mapping[str, Any],
    changed: Mapping[str, Any] | None = None,
) -> Trace:
    """Compute every term of the loss for each token of a response.

    Args:
        rows: the step's rows of samples.jsonl.
        index: which of them.
        metrics: the step's row of metrics.jsonl.
        options: the run's.
        changed: fields of StepSettings to change. The sampled tokens, the ratios, and mean and
            deviation of the step's advantages stay as they were.

    Raises:
        DataError: a figure that every run has is missing or damaged.
    """
    logged = settings_of(metrics, options)
    responses = [response_of(row, logged) for row in rows]
    whitening = whitening_of(responses, metrics, logged)
    return trace_response(responses[index], whitening, replace(logged, **changed or {}))


def whitening_of(
    responses: Sequence[Response], metrics: Row, settings: StepSettings
) -> tuple[float, float] | None:
    """Return mean and deviation of the step's advantages before they were whitened.

    Older runs did not note them. But whitened = (raw - mean) / deviation is a line, and two tokens
    give a line: here it is fitted to all tokens that were kept.

    Args:
        responses: of the step.
        settings: as the run had them.

    Returns:
        Both in reward units; None if the kept tokens have almost the same advantage.
    """
    noted: list[Any] = [metrics.get(f"policy/advantage_{name}") for name in ("mean", "deviation")]
    if all(map(_is_number, noted)):
        return noted[0], noted[1]
    raw = torch.cat([_estimated(each, settings)["raw_advantage"] for each in responses], 1)
    whitened = torch.cat([each.advantage for each in responses], 1)
    mask = torch.ones_like(raw, dtype=torch.bool)
    (mean_raw, _), (mean, variance) = moments(raw, mask), moments(whitened, mask)
    if variance < LEAST_VARIANCE:
        return None
    deviation = float(((raw - mean_raw) * (whitened - mean)).mean() / variance)
    return float(mean_raw) - deviation * float(mean), deviation


def _estimated(response: Response, settings: StepSettings) -> dict[str, Tensor]:
    """Return everything from the KL to the returns."""
    mask, gamma = response.mask, settings.gamma
    log_ratio = kl_k1(response.logprob, response.ref_logprob, mask)
    earned = torch.tensor([response.earned], dtype=torch.float64)
    rewards = token_rewards(earned, log_ratio, mask, settings.kl_coef)
    values = response.value if settings.with_values else torch.zeros_like(response.value)
    advantages, returns = gae(rewards, values, mask, gamma=gamma, gae_lambda=settings.gae_lambda)
    # With lambda 0, an advantage is its own delta.
    delta, _ = gae(rewards, values, mask, gamma=gamma, gae_lambda=0.0)
    return {
        "logprob": response.logprob,
        "ref_logprob": response.ref_logprob,
        "log_ratio": log_ratio,
        "reward": rewards,
        "value": values,
        "delta": delta,
        "raw_advantage": advantages,
        "return": returns,
    }


def trace_response(
    response: Response, whitening: tuple[float, float] | None, settings: StepSettings
) -> Trace:
    """Compute every term of the loss for each token; see `trace`."""
    columns: dict[str, Tensor | None] = {**_estimated(response, settings)}
    advantage = stopped = None
    if whitening is not None:
        mean, deviation = (torch.tensor(number, dtype=torch.float64) for number in whitening)
        raw = columns["raw_advantage"]
        assert raw is not None
        advantage = standardise(raw, mean, deviation**2)
    columns |= {
        "advantage": advantage,
        "logprob_after": response.logprob_after,
        "ratio": torch.exp(response.logprob_after - response.logprob),
        "policy_term": None,
        "gradient": None,
        "value_after": response.value_after if settings.with_values else None,
        "value_term": None,
        "entropy_after": response.entropy_after,
        "total": None,
    }
    if advantage is not None:
        terms, stopped = _policy_terms(response, advantage, settings)
        columns |= terms
        columns["total"] = _total(response, columns, settings)
    if columns["value_after"] is not None:
        columns["value_term"] = _value_terms(columns, settings)
    return Trace(columns, stopped, whitening, response.earned)


def _policy_terms(
    response: Response, advantage: Tensor, settings: StepSettings
) -> tuple[dict[str, Tensor | None], Tensor]:
    """Return ratio, policy term and gradient of each token, and where the clip stops it.

    policy_loss averages over tokens. Of one token alone, the mean is the token's own term.
    """
    terms, gradients, ratios, stops = [], [], [], []
    for at in _one_by_one(advantage):
        after = response.logprob_after[:, at].clone().requires_grad_()
        term, ratio, stopped = policy_loss(
            after,
            response.logprob[:, at],
            advantage[:, at],
            response.mask[:, at],
            clip_range=settings.clip_range,
        )
        gradients.append(torch.autograd.grad(term, after)[0])
        terms.append(term.detach().view(1, 1))
        ratios.append(ratio.detach())
        stops.append(stopped)
    columns: dict[str, Tensor | None] = {
        "ratio": torch.cat(ratios, 1),
        "policy_term": torch.cat(terms, 1),
        "gradient": torch.cat(gradients, 1),
    }
    return columns, torch.cat(stops, 1)


def _value_terms(columns: Mapping[str, Tensor | None], settings: StepSettings) -> Tensor:
    after, before, returns = (columns[name] for name in ("value_after", "value", "return"))
    assert after is not None and before is not None and returns is not None
    terms = [
        value_loss(
            after[:, at],
            before[:, at],
            returns[:, at],
            torch.ones_like(after[:, at], dtype=torch.bool),
            value_clip_range=settings.value_clip_range,
        ).view(1, 1)
        for at in _one_by_one(after)
    ]
    return torch.cat(terms, 1)


def _total(
    response: Response, columns: Mapping[str, Tensor | None], settings: StepSettings
) -> Tensor | None:
    """Return each token's whole loss, or None if one of its terms is not known."""
    advantage, entropy = columns["advantage"], columns["entropy_after"]
    values = columns["value_after"]
    if entropy is None and not settings.entropy_coef:
        entropy = torch.zeros_like(response.logprob)  # the loss does not read it
    if entropy is None or advantage is None or (values is None and settings.with_values):
        return None
    totals = []
    for at in _one_by_one(advantage):
        common = {
            "old_logprobs": response.logprob[:, at],
            "advantages": advantage[:, at],
            "response_mask": response.mask[:, at],
            "clip_range": settings.clip_range,
            "entropy_coef": settings.entropy_coef,
        }
        now = response.logprob_after[:, at], entropy[:, at]
        if values is None:
            loss = clipped_loss(*now, **common)
        else:
            returns = columns["return"]
            assert returns is not None
            loss = ppo_loss(
                *now,
                values[:, at],
                old_values=response.value[:, at],
                returns=returns[:, at],
                value_clip_range=settings.value_clip_range,
                value_coef=settings.value_coef,
                **common,
            )
        totals.append(loss.total.view(1, 1))
    return torch.cat(totals, 1)


def _one_by_one(column: Tensor) -> list[slice]:
    return [slice(t, t + 1) for t in range(column.shape[1])]
