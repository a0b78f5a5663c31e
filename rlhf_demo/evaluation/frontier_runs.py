"""What a frontier's record says of a run before its models are measured: read from its folder."""

from pathlib import Path
from typing import Any

from rlhf_demo.config.stages import STAGES
from rlhf_demo.data.pairs import PAIRS_FILE, SHIPPED, load_pairs
from rlhf_demo.errors import DataError, DemoError, JobError
from rlhf_demo.evaluation.frontier import METHODS, cost_of, setting_of
from rlhf_demo.evaluation.labellers import SHIPPED_REWARD
from rlhf_demo.paths import CHECKPOINTS, typed_path
from rlhf_demo.runs.frontier import Cost, FrontierRun
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.runs.tail import last_rows

SHIPPED_REWARD_RUN = CHECKPOINTS / "examples" / "reward-shipped"
"""The record of the run that trained the shipped reward model."""
ODD = AttributeError, KeyError, TypeError, ValueError
"""What reading a damaged run's files can raise."""
MOST_COUNTED = 5_000_000
"""Bytes of a file whose pairs are counted, twelve times the shipped pairs. In memory they may take
ten times as much, and the page itself counts them."""


def describe_run(run: Run) -> FrontierRun:
    """Return what a record says of a run, without points.

    Raises:
        JobError: it is not finished, or is of a kind that trains no policy.
        ConfigError: its options are not those of its kind.
        DataError: its options or metrics are damaged.
    """
    config, name = run.config, run.folder.name
    kind = config["kind"]
    if kind not in METHODS:
        raise JobError(
            f"{name} is a {kind} run: name runs of PPO, RLOO, GRPO, DPO or SFT, which train a "
            "policy to write"
        )
    status = run.status["status"]
    if status != Status.FINISHED:
        raise JobError(f"{name} is {status}: wait until it has finished, or resume it")
    try:
        options = STAGES[kind].config.from_dict(config["options"]).to_dict()
        steps = last_step(run)
    except (OSError, *ODD):
        raise DataError(f"{name} has damaged options or metrics: restore or delete it") from None
    return {
        "name": name,
        "arm": kind,
        "setting": setting_of(kind, options),
        "seed": options["seed"],
        "cost": cost_of(kind, options, steps, labels_of(options)),
        "points": [],
    }


def last_step(run: Run) -> int:
    """Return the last step that a run has finished."""
    rows = last_rows(run.folder / "metrics.jsonl")
    return rows[-1]["step"] if rows else 0


def models_of(run: Run, most: int | None = None) -> list[tuple[int, Path]]:
    """List a run's saved models by step, the final one last.

    Args:
        most: how many; where there are more, evenly spread ones. None: all.
    """
    last = last_step(run)
    saved = [(step, run.step_folder(step)) for step in run.saved_steps() if step < last]
    models = [*saved, (last, run.model_folder)]
    if most is None or len(models) <= most:
        return models
    return [models[round((place + 1) * len(models) / most) - 1] for place in range(most)]


def labels_of(options: dict[str, Any]) -> int | None:
    """Count the votes that a run, or its reward model, has learned from; None if not known."""
    try:
        if "data" in options:
            wanted = options.get("train_pairs") or options["train_texts"]
            return _pairs_in(options["data"], wanted)
        reward = options["reward"]
        run = Run(SHIPPED_REWARD_RUN if reward == SHIPPED_REWARD else typed_path(reward))
        return int(run.report()["train_pairs"])
    except (DemoError, OSError, *ODD):
        return None


def _pairs_in(data: str, most: int) -> int | None:
    """Count the pairs to learn from, up to `most`; None if their file is too large to count."""
    if data != SHIPPED:
        path = typed_path(data) / PAIRS_FILE
        if not path.is_file() or path.stat().st_size > MOST_COUNTED:
            return None
    return min(most, len(load_pairs(data, "train")))


def reward_cost() -> Cost:
    """Return what the shipped reward model has used to learn."""
    run = Run(SHIPPED_REWARD_RUN)
    pairs = int(run.report()["train_pairs"])
    epochs: int = run.config["options"]["epochs"]
    return {"labels": pairs, "generated": 0, "reward_calls": 0, "read": 2 * pairs * epochs}
