"""A trainer is killed at random moments of its life; each resumed run equals one never killed.

The gate kills a few. `make faults` kills a hundred (RLHF_DEMO_KILLS).
"""

import os
import random
import signal
import time

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.runs.run import Run, Status
from tests.equal_runs import assert_equal_runs
from tests.forked import FORKS

KILLS = int(os.environ.get("RLHF_DEMO_KILLS", "5"))
MOST_LIVES = 10
"""Lives of a run: nearly always one that is killed, and one that reaches the end."""


def train(config, folder):
    """Train in this process, from the beginning or from the saved state."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from rlhf_demo.models.scorers import load_scorer
    from rlhf_demo.train.ppo import train_ppo

    torch.set_num_threads(1)
    run = Run(folder)
    resume = run.exists()
    if not resume:
        run = Run.create(folder, "ppo", config.to_dict())
    train_ppo(config, run, scorer=load_scorer("longer", device=torch.device("cpu")), resume=resume)


def live(config, folder, seconds=None):
    """Train in a process of its own, which is killed after this time; return its seconds."""
    begin = time.monotonic()
    process = FORKS.Process(target=train, args=(config, folder))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def config(tiny_model_folder, prompts_file):
    return PPOConfig(
        policy=str(tiny_model_folder), reward="longer", prompts=str(prompts_file), total_steps=8,
        batch_size=8, minibatch_size=4, max_new_tokens=8, warmup_steps=1, kl_budget=1e6,
        checkpoint_every=2, dtype="float32", device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nobody killed, and how long it takes once the libraries are loaded."""
    folder = tmp_path_factory.mktemp("whole")
    live(config, folder / "first")
    seconds = live(config, folder / "run")
    return Run(folder / "run"), seconds


@pytest.mark.parametrize("number", range(KILLS))
def test_run_killed_at_any_moment_and_resumed_equals_one_never_killed(
    config, whole, tmp_path, number
):
    run, seconds = whole
    killed = Run(tmp_path / "killed")
    live(config, killed.folder, random.Random(number).uniform(0, seconds))
    steps = len(killed.read("metrics")) if killed.exists() else 0
    for _ in range(MOST_LIVES):
        if killed.exists() and killed.status["status"] == Status.FINISHED:
            break
        live(config, killed.folder)
    assert killed.status["status"] == Status.FINISHED, f"killed after {steps} steps"
    assert_equal_runs(run, killed)
