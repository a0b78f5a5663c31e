"""The whole loop in one command: pairs, reward model, PPO and a comparison."""

import time
from collections.abc import Callable
from pathlib import Path

from rlhf_demo.config.evaluation import CompareConfig
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import JobError
from rlhf_demo.evaluation.compare import compare_models, side_by_side, table
from rlhf_demo.evaluation.reliability import format_report
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.runs.signals import stopping_on_signals
from rlhf_demo.train.pairs import make_pairs
from rlhf_demo.train.ppo import train_ppo
from rlhf_demo.train.reward import train_reward

HELDOUT_PAIRS = 400


def quickstart(out: Path, *, seed: int, dtype: str, say: Callable[[str], None]) -> None:
    """Run the loop on the shipped base model, and report on each stage.

    Args:
        out: gets the run folders pairs, reward and ppo, and the file compare.json.
        say: called with each piece of text for the reader.

    Raises:
        JobError: `out` already holds one of the runs, or a stage was stopped.
    """
    started = time.perf_counter()
    for stage in ("pairs", "reward", "ppo"):
        if Run(out / stage).exists():
            raise JobError(f"{out / stage} already holds a run: choose another folder for --out")
    shared = {"seed": seed, "dtype": dtype}
    pairs_config = PairsConfig(heldout_pairs=HELDOUT_PAIRS, **shared)
    device = pick_device("auto")
    numbers = pick_dtype(device, dtype)
    pairs = Run.create(out / "pairs", "pairs", pairs_config.to_dict())

    say(
        f"1 of 4  Sample pairs from {pairs_config.model}; a simulated voter ({pairs_config.rater}) "
        "prefers one of each"
    )
    rater = load_scorer(pairs_config.rater, device=device, dtype=numbers)
    with stopping_on_signals(pairs):
        make_pairs(pairs_config, pairs, scorer=rater)
    require_finished(pairs)
    example = pairs.read("pairs")[0]
    say(
        f"        e.g. {example['prompt']}\n"
        f"        preferred:{example['chosen']}\n"
        f"        over:     {example['rejected']}"
    )

    reward_config = RewardConfig(data=str(pairs.folder), **shared)
    reward = Run.create(out / "reward", "reward", reward_config.to_dict())
    say(f"\n2 of 4  Train a reward model on {pairs_config.train_pairs} of the pairs")
    with stopping_on_signals(reward):
        train_reward(reward_config, reward)
    require_finished(reward)
    say(format_report(read_json(reward.folder / "report.json")))

    ppo_config = PPOConfig(reward=str(reward.folder), **shared)
    ppo = Run.create(out / "ppo", "ppo", ppo_config.to_dict())
    say(
        f"\n3 of 4  PPO: {ppo_config.total_steps} steps of {ppo_config.batch_size} responses "
        "against that reward model"
    )
    with stopping_on_signals(ppo):
        train_ppo(ppo_config, ppo)
    require_finished(ppo)
    say(f"        {ppo.status.get('message', '')}")

    say("\n4 of 4  Compare base and PPO model on prompts that no model and no setting has seen")
    report = compare_models(pairs_config.model, str(ppo.folder), CompareConfig(**shared), rater)
    write_json(out / "compare.json", report)
    say(side_by_side(report, CompareConfig().show) + "\n")
    say(table(report))
    say(
        f"{pairs_config.rater} labelled the pairs of stage 1, so it judges its own taste; "
        f"the other judge took no part in the training\n"
        f"{time.perf_counter() - started:.0f} seconds in all; the results are in {out}"
    )


def require_finished(run: Run) -> None:
    """Make sure that a stage finished, before the next one starts.

    Raises:
        JobError: the run was stopped.
    """
    if run.status["status"] != Status.FINISHED:
        raise JobError(
            f"{run.folder} was stopped, so quickstart ends here: resume that run with its command, "
            "or start quickstart again in another folder"
        )
