"""The scale of a reward: mean and standard deviation of its scores on samples of the base.

PPO's options are in reward units: the KL coefficient, the penalty for a missing EOS, the clip range
of the values. So the scores of any scorer are shifted and scaled to mean 0 and variance 1, on
samples that the policy writes before its training (Ziegler et al. 2019, section 2.1,
https://arxiv.org/abs/1909.08593). The scale is measured once and saved with the run, so a resumed
run has the same one.
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

        Scores that are all equal have deviation 0; they are shifted but not scaled.
        """
        mean, std = scores.double().mean().item(), scores.double().std(correction=0).item()
        if (scores == scores[0]).all():
            log.warning("the base's %d samples all score %.3g", len(scores), mean)
            std = 1.0
        return cls(mean, std, len(scores))

    def standardised(self, scores: Tensor) -> Tensor:
        """Return (score - mean) / std: raw scores in standard deviations from the base's mean."""
        return (scores - self.mean) / self.std


def run_scales(
    path: Path, policy: Policy, prompts: list[str], scorers: dict[str, Scorer], **sampling: Any
) -> dict[str, RewardScale]:
    """Return the scales saved at `path`, after measuring and saving those that are missing.

    Args:
        policy: must still be the untrained base when scales are measured.
        scorers: by name: `reward`, and `judge` if there is one.
        sampling: options of `generate`.

    Raises:
        DataError: a score is not finite.
    """
    saved = read_json(path) if path.is_file() else {}
    missing = {name: scorer for name, scorer in scorers.items() if name not in saved}
    if missing:
        scales = measure_scales(policy, prompts, missing, **sampling)
        saved |= {name: asdict(scale) for name, scale in scales.items()}
        write_json(path, saved)
    return {name: RewardScale(**scale) for name, scale in saved.items()}


def measure_scales(
    policy: Policy, prompts: list[str], scorers: dict[str, Scorer], *, seed: int, **sampling: Any
) -> dict[str, RewardScale]:
    """Sample SCALE_SAMPLES responses from the policy, and return each scorer's scale on them.

    Raises:
        DataError: a score is not finite.
    """
    order = torch.randperm(len(prompts), generator=seeded(seed, "scale", 0)).tolist()
    chosen = [prompts[index] for index in islice(cycle(order), SCALE_SAMPLES)]
    responses = decode(policy, generate(policy, chosen, seed=seed, **sampling))
    scales = {}
    for name, scorer in scorers.items():
        scores = scorer(chosen, responses)
        if not scores.isfinite().all():
            raise DataError(
                f"the {name} gave one of the base's texts the score "
                f"{float(scores[~scores.isfinite()][0])}: fix it so that every text gets a finite "
                "number"
            )
        scales[name] = RewardScale.of(scores)
    return scales
