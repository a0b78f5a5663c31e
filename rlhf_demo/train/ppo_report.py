"""What a PPO run ended with: KL and score of the model that it saved, on prompts it never saw.

A step's own figures will not do: they are those of the policy before the step's updates, on
training prompts.
"""

from typing import Any

import torch

from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.text_stats import standard_error
from rlhf_demo.models.reward_scale import RewardScale
from rlhf_demo.train.rollout import Rollout

REPORT_PROMPTS = 256


def report_prompts(source: str, trained: list[str]) -> tuple[list[str], bool]:
    """Return the prompts to report on, and whether they were kept out of the training.

    A source that holds no others leaves the training prompts.

    Args:
        source: as load_prompts takes it.
        trained: the prompts that were trained on.
    """
    seen = set(trained)
    try:
        others = [one for one in load_prompts(source, "heldout") if one not in seen]
    except DataError:  # all its rows are of other splits
        others = []
    return (others or trained)[:REPORT_PROMPTS], bool(others)


def ppo_report(rollouts: list[Rollout], scale: RewardScale) -> dict[str, Any]:
    """Sum up what the saved model wrote, once to each prompt.

    Returns:
        JSON-ready: `kl` (exact, nats per response) and `score` (reward units), each with its
        standard error `_se`; `raw_score`, in the scorer's own units; `length`, tokens; `prompts`,
        how many.
    """
    raw = torch.cat([rollout.scores for rollout in rollouts]).cpu()
    kl = torch.cat([rollout.kl.sum(-1) for rollout in rollouts]).cpu()
    lengths = torch.cat([rollout.response_mask.sum(-1) for rollout in rollouts]).float()
    scores = scale.standardised(raw)
    return {
        "kl": float(kl.mean()),
        "kl_se": standard_error(kl),
        "score": float(scores.mean()),
        "score_se": standard_error(scores),
        "raw_score": float(raw.mean()),
        "length": float(lengths.mean()),
        "prompts": len(raw),
    }
