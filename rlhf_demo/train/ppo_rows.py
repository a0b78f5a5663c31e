"""The rows that a PPO step writes: one of metrics, and some responses token by token.

metrics.py explains the names. Nothing here trains. Tensors are [batch, time] as in objectives/.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.evaluation.text_stats import distinct_n, standard_error
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.sampling import decode
from rlhf_demo.models.token_text import token_texts
from rlhf_demo.objectives.losses import update_kl
from rlhf_demo.objectives.masks import explained_variance, masked_mean
from rlhf_demo.train.rollout import Rollout

SAMPLES_KEPT = 8
"""The first so many responses of a step are written token by token."""

BIGRAMS_EACH = 4
"""distinct-2 counts the first batch_size * BIGRAMS_EACH bigrams of a step. It falls as more are
counted, so every step counts equally many. The base writes 7 a response, so this takes about half
of the responses.
"""


@dataclass(frozen=True)
class StepTensors:
    """What a step computes from its rollout before it updates the policy.

    Attributes:
        scores: [batch], standardised by the base's scores, which makes them reward units.
        log_ratio: [batch, time], log p - log p_ref (k1), nats.
        rewards: [batch, time], reward units.
        advantages: [batch, time], as the loss takes them; PPO's are whitened.
        returns: [batch, time], the targets of the value head, reward units; None without one.
        realised: [batch, time], discounted sum of the rewards from each token on, reward units;
            None without a value head.
        spread: mean and variance of the advantages before they were whitened, reward units and
            their square; None if they were not.
    """

    scores: Tensor
    log_ratio: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor | None = None
    realised: Tensor | None = None
    spread: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Movement:
    """How far one step's updates moved the probability of each token.

    Attributes:
        ratio: [epochs, batch, time], new over old probability when the token was visited: when its
            minibatch was read in that epoch.
        clipped: [epochs, batch, time], True where the clip stopped the token's gradient.
        ratio_after: [first responses, time], new over old probability after the last update.
        mask_after: [first responses, time], True = real token.
        entropy_after: [first responses, time], nats, after the last update.
        values_after: [first responses, time], reward units, after the last update; None without a
            value head.
    """

    ratio: Tensor
    clipped: Tensor
    ratio_after: Tensor
    mask_after: Tensor
    entropy_after: Tensor
    values_after: Tensor | None = None


def empty_visits(epochs: int, response_mask: Tensor) -> dict[str, Tensor]:
    """Return Movement's first two tensors as they are before any token was visited."""
    shape, device = (epochs, *response_mask.shape), response_mask.device
    return {
        "ratio": torch.ones(shape, device=device),
        "clipped": torch.zeros(shape, dtype=torch.bool, device=device),
    }


def metrics_row(
    step: int,
    rollout: Rollout,
    tensors: StepTensors,
    moved: Movement,
    updates: list[dict[str, float]],
    *,
    clip_range: float,
    max_grad_norm: float,
) -> dict[str, Any]:
    """Return the metrics of one step.

    Args:
        updates: the metrics of each minibatch; some metrics are in only some of them.

    Raises:
        TrainingDiverged: a metric is not finite.
    """
    mask, responses, batch = rollout.response_mask, rollout.responses(), len(rollout.scores)
    names = {name for update in updates for name in update}
    means = {name: fmean([u[name] for u in updates if name in u]) for name in names}
    clipped_by_epoch = [float(masked_mean(c.float(), mask)) for c in moved.clipped]
    after = moved.ratio_after[moved.mask_after]
    row = {
        "step": step,
        "objective/score": float(tensors.scores.mean()),
        "objective/score_se": standard_error(tensors.scores),
        "objective/kl": float(rollout.kl.sum(-1).mean()),
        "objective/kl_k1": float(tensors.log_ratio.sum(-1).mean()),
        "objective/reward": float(tensors.rewards.sum(-1).mean()),
        "objective/distinct_2": distinct_n(responses, 2, BIGRAMS_EACH * batch),
        "policy/clip_fraction": fmean(clipped_by_epoch),
        "policy/clip_fraction_by_epoch": clipped_by_epoch,
        "policy/update_kl": float(update_kl(moved.ratio_after, moved.mask_after)),
        "policy/update_kl_by_epoch": [float(update_kl(ratio, mask)) for ratio in moved.ratio],
        "policy/outside_clip": float(((after - 1.0).abs() > clip_range).float().mean()),
        "policy/ratio_p01": float(after.quantile(0.01)),
        "policy/ratio_p99": float(after.quantile(0.99)),
        "policy/gradient_cut": fmean(
            [update["policy/gradient_norm"] > max_grad_norm for update in updates]
        ),
        "response/length": sum(map(len, responses)) / batch,
        "response/eos_rate": float(rollout.has_eos.float().mean()),
    } | means
    if tensors.realised is not None:
        explained = explained_variance(rollout.baseline, tensors.realised, mask)
        row["value/explained_variance"] = float(explained)
    if tensors.spread is not None:
        mean, variance = tensors.spread
        row["policy/advantage_mean"] = float(mean)
        row["policy/advantage_deviation"] = float(variance.sqrt())
    require_finite_row(step, row)
    return row


def require_finite_row(step: int, row: dict[str, Any]) -> None:
    """Raise TrainingDiverged if a number of the row, or of a list in it, is not finite."""
    for name, value in row.items():
        for number in value if isinstance(value, list) else [value]:
            if not math.isfinite(number):
                raise TrainingDiverged(step, name, number)


def judge_row(scores: Tensor, judged: Tensor) -> dict[str, float]:
    """Return the judge's mean score, and how often it orders two responses as the reward does.

    Args:
        scores: [batch], the reward's, in any units; at least two responses.
        judged: [batch], the judge's, standardised, of the same responses.
    """
    agreement, agreement_se = pair_agreement(scores, judged)
    return {
        "judge/score": float(judged.mean()),
        "judge/score_se": standard_error(judged),
        "judge/agreement": agreement,
        "judge/agreement_se": agreement_se,
    }


def pair_agreement(scores: Tensor, others: Tensor) -> tuple[float, float]:
    """Return the share of pairs of responses that two scorers order alike, and its standard error.

    A tie counts as a half, so chance gives 0.5. The error is the jackknife over responses (Efron
    and Stein 1981), since each response is in many pairs: without response i, whose signs sum to
    r, the share is 1/2 + (signs.sum() - 2 r) / (2 (n - 1) (n - 2)).

    Args:
        scores, others: [batch], at least two responses. For exactly two the error is given as 0,
            because none can be left out.
    """
    signs = (scores[:, None] - scores[None]).sign() * (others[:, None] - others[None]).sign()
    pairs = len(scores) * (len(scores) - 1)
    error = signs.sum(1).std() / (math.sqrt(len(scores)) * max(len(scores) - 2, 1))
    return float(0.5 + signs.sum() / (2 * pairs)), float(error)  # the diagonal is 0


def token_columns(
    rollout: Rollout, tensors: StepTensors, moved: Movement
) -> dict[str, Tensor | None]:
    """Return what a step knows of each token, by the name it has in samples.jsonl."""
    return {
        "logprob": rollout.old_logprobs,
        "ref_logprob": rollout.ref_logprobs,
        "kl": rollout.kl,
        "log_ratio": tensors.log_ratio,
        "reward": tensors.rewards,
        "value": rollout.old_values,
        "advantage": tensors.advantages,
        "return": tensors.returns,
        "ratio": moved.ratio_after,
        "entropy_after": moved.entropy_after,
        "value_after": moved.values_after,
    }


def sample_rows(
    step: int,
    policy: Policy,
    prompts: list[str],
    rollout: Rollout,
    columns: Mapping[str, Tensor | None],
    clipped: Tensor | None = None,
) -> list[dict[str, Any]]:
    """Return the step's first SAMPLES_KEPT responses, token by token.

    Args:
        columns: of `token_columns`, each [responses, time]; a method without one leaves it out.
        clipped: [batch, time], True where the clip stopped the token's gradient.
    """
    responses = rollout.responses()[:SAMPLES_KEPT]
    rows = []
    for index, (response, text) in enumerate(
        zip(responses, decode(policy, responses), strict=True)
    ):
        row: dict[str, Any] = {
            "step": step,
            "prompt": prompts[index],
            "response": text,
            "score": float(rollout.scores[index]),
            "token": token_texts(policy.tokenizer, response),
        }
        for name, column in columns.items():
            if column is not None:
                row[name] = [round(x, 4) for x in column[index, : len(response)].tolist()]
        if clipped is not None:
            row["clipped"] = clipped[index, : len(response)].tolist()
        rows.append(row)
    return rows
