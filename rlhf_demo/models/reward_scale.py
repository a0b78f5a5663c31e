"""The scale of a reward: its mean and standard deviation on the base's own samples.

PPO's options count in reward units (the KL coefficient, the penalty for a missing end, the clip of
the values), so the scores of any scorer are brought to mean 0 and variance 1 before they are used,
once, on samples of the policy as it was before training (Ziegler et al. 2019, section 2.1,
https://arxiv.org/abs/1909.08593). The scale is part of the run, so a resumed run goes on with it.
"""

import logging
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.config.ppo import SCALE_SAMPLES
from rlhf_demo.errors import DataError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.sampling import decode, generate, seeded
from rlhf_demo.models.scorers import Scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardScale:
    """Mean and standard deviation of raw scores, in the scorer's own units."""

    mean: float
    std: float
    samples: int

    @classmethod
    def of(cls, scores: Tensor) -> "RewardScale":
        """Measure the scale of raw scores [samples].

        Scores that are all the same have no deviation: they are then shifted but not scaled.
        """
        mean, std = scores.double().mean().item(), scores.double().std(correction=0).item()
        if (scores == scores[0]).all():
            log.warning("the base's %d samples all score %.3g", len(scores), mean)
            std = 1.0
        return cls(mean, std, len(scores))

    def standardised(self, scores: Tensor) -> Tensor:
        """Return raw scores in standard deviations of the base's, 0 being its mean."""
        return (scores - self.mean) / self.std


def run_scales(
    path: Path, policy: Policy, prompts: list[str], scorers: dict[str, Scorer], **how: Any
) -> dict[str, RewardScale]:
    """Return the scales that a run keeps in `path`; measure them first where it has none yet.

    Args:
        policy: not trained yet where they are measured, so still the base.
        scorers: by name, `reward` and possibly `judge`.
        how: as `generate` takes it.

    Raises:
        DataError: a score is not finite.
    """
    kept = read_json(path) if path.is_file() else {}
    missing = {name: scorer for name, scorer in scorers.items() if name not in kept}
    if missing:
        scales = measure_scales(policy, prompts, missing, **how)
        kept |= {name: asdict(scale) for name, scale in scales.items()}
        write_json(path, kept)
    return {name: RewardScale(**scale) for name, scale in kept.items()}


def measure_scales(
    policy: Policy, prompts: list[str], scorers: dict[str, Scorer], *, seed: int, **how: Any
) -> dict[str, RewardScale]:
    """Let the base answer some of the prompts, and return each scorer's scale on its answers."""
    order = torch.randperm(len(prompts), generator=seeded(seed, "scale", 0)).tolist()
    chosen = [prompts[place] for place in islice(cycle(order), SCALE_SAMPLES)]
    responses = decode(policy, generate(policy, chosen, seed=seed, **how))
    scales = {}
    for name, scorer in scorers.items():
        scores = scorer(chosen, responses)
        if not scores.isfinite().all():
            raise DataError(
                f"the {name} scores a text of the base {float(scores[~scores.isfinite()][0])}: "
                "fix it so that every text gets a finite number"
            )
        scales[name] = RewardScale.of(scores)
    return scales
