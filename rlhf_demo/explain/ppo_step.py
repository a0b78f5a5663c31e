"""One response of a PPO step: every number from its sampled tokens to their gradients.

A run keeps some responses of a step token by token, in samples.jsonl. `trace` computes each term of
the loss again from such a row, the step's row of metrics.jsonl and the run's options, with the
functions of objectives/ that trained the run. Tests hold the results equal to what the run wrote.

Tensors are [1, time] as in objectives/, with float64 numbers; the records have four decimals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlhf_demo.errors import DataError
from rlhf_demo.files import Row, is_figure
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import PPOLoss, clipped_loss, policy_loss, ppo_loss, value_loss
from rlhf_demo.objectives.masks import masked_mean, moments, standardise
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
        if not is_figure(value):
            raise DataError(
                f"this run recorded no {name}, which its loss needs: choose another run"
            )
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
    if not isinstance(values, list) or len(values) != count or not all(map(is_figure, values)):
        raise DataError(f"this response's {name} is missing or damaged: choose another response")
    return torch.tensor([values], dtype=torch.float64)


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
    whitening = whitening_of(rows, metrics, logged)
    response = response_of(rows[index], logged)
    return trace_response(response, whitening, replace(logged, **changed or {}))


def whitening_of(
    rows: Sequence[Row], metrics: Row, settings: StepSettings
) -> tuple[float, float] | None:
    """Return mean and deviation of the step's advantages before they were whitened.

    Older runs did not note them. But whitened = (raw - mean) / deviation is a line, and two tokens
    give a line: here it is fitted to all tokens that were kept.

    Args:
        rows: the step's of samples.jsonl.
        settings: as the run had them.

    Returns:
        Both in reward units; None if the kept tokens have almost the same advantage.

    Raises:
        DataError: the run did not note them, and a figure that every run has is damaged.
    """
    noted: list[Any] = [metrics.get(f"policy/advantage_{name}") for name in ("mean", "deviation")]
    if all(map(is_figure, noted)):
        return noted[0], noted[1]
    responses = [response_of(row, settings) for row in rows]
    earned = [_earned(each, settings) for each in responses]
    mask = _together([each.mask for each in responses])
    raw, _ = gae(
        _together([each["reward"] for each in earned]),
        _together([each["value"] for each in earned]),
        mask,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
    )
    whitened = _together([each.advantage for each in responses])
    (mean_raw, _), (mean, variance) = moments(raw, mask), moments(whitened, mask)
    if variance < LEAST_VARIANCE:
        return None
    deviation = float(masked_mean((raw - mean_raw) * (whitened - mean), mask) / variance)
    return float(mean_raw) - deviation * float(mean), deviation


def _together(columns: Sequence[Tensor]) -> Tensor:
    """Put columns [1, time] of several responses below each other, with zeros after their ends."""
    return pad_sequence([column[0] for column in columns], batch_first=True)


def _earned(response: Response, settings: StepSettings) -> dict[str, Tensor]:
    """Return everything from the KL to the values."""
    log_ratio = kl_k1(response.logprob, response.ref_logprob, response.mask)
    earned = torch.tensor([response.earned], dtype=torch.float64)
    return {
        "log_ratio": log_ratio,
        "reward": token_rewards(earned, log_ratio, response.mask, settings.kl_coef),
        "value": response.value if settings.with_values else torch.zeros_like(response.value),
    }


def _estimated(response: Response, settings: StepSettings) -> dict[str, Tensor]:
    """Return everything from the KL to the returns."""
    earned = _earned(response, settings)
    given = earned["reward"], earned["value"], response.mask
    gamma = settings.gamma
    advantages, returns = gae(*given, gamma=gamma, gae_lambda=settings.gae_lambda)
    # With lambda 0, an advantage is its own delta, which needs only its token and the next one.
    delta, _ = gae(*map(_with_next, given), gamma=gamma, gae_lambda=0.0)
    return {
        "logprob": response.logprob,
        "ref_logprob": response.ref_logprob,
        **earned,
        "delta": delta[:, 0].unsqueeze(0),
        "raw_advantage": advantages,
        "return": returns,
    }


def _with_next(column: Tensor) -> Tensor:
    """Return each token's number and the next one's, [time, 2]; 0 comes after the last."""
    return torch.cat([column, torch.zeros_like(column[:, :1])], 1)[0].unfold(0, 2, 1)


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
    """Return ratio, policy term and gradient of each token, and where the clip stops it."""
    after = response.logprob_after.clone().requires_grad_()
    loss = partial(policy_loss, clip_range=settings.clip_range)
    terms, ratios, stopped = _each_token(loss, after, response.logprob, advantage, response.mask)
    gradients = torch.autograd.grad(terms.sum(), after)[0]  # a term depends on its own token alone
    columns: dict[str, Tensor | None] = {
        "ratio": ratios.detach(),
        "policy_term": terms.detach(),
        "gradient": gradients,
    }
    return columns, stopped


def _value_terms(columns: Mapping[str, Tensor | None], settings: StepSettings) -> Tensor:
    after, before, returns = (columns[name] for name in ("value_after", "value", "return"))
    assert after is not None and before is not None and returns is not None
    loss = partial(value_loss, value_clip_range=settings.value_clip_range)
    return _each_token(loss, after, before, returns, torch.ones_like(after, dtype=torch.bool))


def _total(
    response: Response, columns: Mapping[str, Tensor | None], settings: StepSettings
) -> Tensor | None:
    """Return each token's whole loss, or None if one of its terms is not known."""
    advantage, entropy = columns["advantage"], columns["entropy_after"]
    values, returns = columns["value_after"], columns["return"]
    if entropy is None and not settings.entropy_coef:
        entropy = torch.zeros_like(response.logprob)  # the loss does not read it
    if entropy is None or advantage is None or (values is None and settings.with_values):
        return None
    now = response.logprob_after, entropy
    then = {
        "old_logprobs": response.logprob,
        "advantages": advantage,
        "response_mask": response.mask,
    }
    loss: Callable[..., PPOLoss] = partial(
        clipped_loss, clip_range=settings.clip_range, entropy_coef=settings.entropy_coef
    )
    if values is not None:
        assert returns is not None
        now, then = (*now, values), then | {"old_values": response.value, "returns": returns}
        loss = partial(
            ppo_loss,
            value_clip_range=settings.value_clip_range,
            value_coef=settings.value_coef,
            **loss.keywords,
        )
    return _each_token(lambda *now, **then: loss(*now, **then).total, *now, **then)


def _each_token(loss: Callable[..., Any], *columns: Tensor, **named: Tensor) -> Any:
    """Compute a loss of columns [1, time] for each token alone; its results are [1, time] too.

    The losses average over tokens. Of one token alone, the mean is the token's own term.
    """

    def of_token(*numbers: Tensor) -> Any:
        first, rest = numbers[: len(columns)], numbers[len(columns) :]
        return loss(*first, **dict(zip(named, rest, strict=True)))

    return torch.vmap(torch.vmap(of_token))(*columns, *named.values())
