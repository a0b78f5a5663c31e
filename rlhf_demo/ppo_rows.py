"""What a PPO step writes down: one row of metrics, and some responses token by token.

metrics.py explains the names. Nothing here trains; tensors are [batch, time] as in objectives.py.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.evaluate import distinct_n
from rlhf_demo.models import Policy
from rlhf_demo.objectives import explained_variance, kl_k3
from rlhf_demo.rollout import Rollout, token_outputs
from rlhf_demo.sampling import decode

SAMPLES_KEPT = 8
"""How many responses of a step are kept token by token."""


@dataclass(frozen=True)
class StepTensors:
    """What was computed from a rollout before the update: [batch, time] each."""

    kl: Tensor  # nats
    rewards: Tensor  # reward units
    advantages: Tensor  # whitened
    returns: Tensor  # reward units


def metrics_row(
    step: int, rollout: Rollout, tensors: StepTensors, updates: list[dict[str, float]]
) -> dict[str, Any]:
    """Sum up one step.

    Args:
        updates: what each minibatch reported, by the names of PPOStats and `gradient_norm`.

    Raises:
        TrainingDiverged: a figure is not finite.
    """
    mask, responses = rollout.response_mask, rollout.responses()
    mean = {name: sum(update[name] for update in updates) / len(updates) for name in updates[0]}
    k3 = kl_k3(rollout.old_logprobs, rollout.ref_logprobs, mask)
    row = {
        "step": step,
        "objective/score": float(rollout.scores.mean()),
        "objective/kl": float(tensors.kl.sum(-1).mean()),
        "objective/kl_k3": float(k3.sum(-1).mean()),
        "objective/reward": float(tensors.rewards.sum(-1).mean()),
        "objective/distinct_2": distinct_n(responses, 2),
        "policy/loss": mean["policy_loss"],
        "policy/entropy": mean["entropy"],
        "policy/ratio": mean["ratio"],
        "policy/clip_fraction": mean["clip_fraction"],
        "policy/approx_kl": mean["approx_kl"],
        "policy/gradient_norm": mean["gradient_norm"],
        "value/loss": mean["value_loss"],
        "value/explained_variance": float(
            explained_variance(rollout.old_values, tensors.returns, mask)
        ),
        "response/length": sum(map(len, responses)) / len(responses),
        "response/eos_rate": float(rollout.has_eos.float().mean()),
    }
    for name, value in row.items():
        if not math.isfinite(value):
            raise TrainingDiverged(step, name, value)
    return row


@torch.no_grad()
def sample_rows(
    step: int,
    policy: Policy,
    prompts: list[str],
    rollout: Rollout,
    tensors: StepTensors,
    *,
    temperature: float,
    clip_range: float,
) -> list[dict[str, Any]]:
    """Describe the step's first responses token by token; `policy` is the one after the update."""
    kept = slice(0, SAMPLES_KEPT)
    first = rollout.part(kept)
    after = token_outputs(
        policy, first.sequence_ids, first.attention_mask, first.response_mask, temperature
    )
    columns = {
        "logprob": rollout.old_logprobs,
        "ref_logprob": rollout.ref_logprobs,
        "kl": tensors.kl,
        "reward": tensors.rewards,
        "value": rollout.old_values,
        "advantage": tensors.advantages,
        "return": tensors.returns,
        "ratio": torch.exp(after.logprobs - first.old_logprobs),
    }
    responses = rollout.responses()[kept]
    rows = []
    for index, (response, text) in enumerate(
        zip(responses, decode(policy, responses), strict=True)
    ):
        numbers = {
            name: [round(x, 4) for x in column[index, : len(response)].tolist()]
            for name, column in columns.items()
        }
        rows.append(
            {
                "step": step,
                "prompt": prompts[index],
                "response": text,
                "score": float(rollout.scores[index]),
                "token": [policy.tokenizer.decode([token]) for token in response],
                **numbers,
                "clipped": [
                    ratio > 1.0 + clip_range if advantage > 0 else ratio < 1.0 - clip_range
                    for ratio, advantage in zip(numbers["ratio"], numbers["advantage"], strict=True)
                ],
            }
        )
    return rows
