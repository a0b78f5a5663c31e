"""A PPO run's result: KL and score of its saved model on prompts that it was not trained on.

The metrics of the last step do not give this: they describe the policy before that step's updates,
on training prompts.
"""

import torch

from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.text_stats import standard_error
from rlhf_demo.models.reward_scale import RewardScale
from rlhf_demo.runs.reports import PPOFigures
from rlhf_demo.train.rollout import Rollout

REPORT_PROMPTS = 256


def report_prompts(source: str, trained: list[str]) -> tuple[list[str], bool]:
    """Return up to REPORT_PROMPTS prompts, and whether they were held out of the training.

    If the source has no held-out prompts, the training prompts are used.

    Args:
        source: as load_prompts takes it.
        trained: the prompts that were trained on.
    """
    seen = set(trained)
    try:
        held_out = [prompt for prompt in load_prompts(source, "heldout") if prompt not in seen]
    except DataError:  # no row of the source is held out
        held_out = []
    return (held_out or trained)[:REPORT_PROMPTS], bool(held_out)


def ppo_report(rollouts: list[Rollout], scale: RewardScale) -> PPOFigures:
    """Average over the saved model's responses, one to each prompt."""
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
