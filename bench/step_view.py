"""The cost of the view of a step: a PPO step with all measurements for the page, and without them.

    python -m bench.step_view [--steps N]

Two trainers with the shipped settings run alternately, one step each. The first reads 32 responses
again after the updates, lets the judge score them, measures the gradient's two parts, and keeps
distributions; the second only reads the eight responses again whose texts are kept. Both write the
same metrics and texts. The first two steps do not count.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from unittest.mock import patch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.run import Run
from rlhf_demo.train import ppo
from rlhf_demo.train.ppo_rows import SAMPLES_KEPT

warnings.filterwarnings("ignore", category=FutureWarning)
BARE = {"READ_AGAIN": SAMPLES_KEPT, "GRADIENT_TERMS_EVERY": 10**9}
WARM_UP = 2


def main() -> None:
    """Print the seconds of a step for both trainers, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=40)
    config = PPOConfig(total_steps=parser.parse_args().steps)
    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    reward, judge = (load_scorer(name, device=device, dtype=dtype) for name in (
        "reward-mini", "star-rater"
    ))  # fmt: skip
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Run.create(Path(folder) / name, "ppo", config.to_dict()) for name in seconds}
        full = ppo.PPOTrainer(config, runs["with"], reward, judge)
        bare = ppo.PPOTrainer(config, runs["without"], reward)
        for _ in range(config.total_steps):
            seconds["with"].append(timed(full))
            nothing = patch.object(ppo, "distribution_row", lambda step, *_: {"step": step})
            with patch.multiple(ppo, **BARE), nothing:
                seconds["without"].append(timed(bare))
    median = {name: statistics.median(taken[WARM_UP:]) for name, taken in seconds.items()}
    mean = {name: statistics.fmean(taken[WARM_UP:]) for name, taken in seconds.items()}
    print(f"{config.total_steps - WARM_UP} steps each, {dtype}")
    for name, taken in (("median", median), ("mean", mean)):
        cost = taken["with"] / taken["without"] - 1.0
        print(
            f"{name}: {taken['with']:.3f} s with the view, {taken['without']:.3f} s without, "
            f"{cost:+.1%}"
        )


def timed(trainer: ppo.PPOTrainer) -> float:
    """Run one step and return its seconds."""
    started = time.perf_counter()
    trainer.run_step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
