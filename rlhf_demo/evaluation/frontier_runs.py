"""What a frontier's record says of a run before its models are measured: read from its folder."""

from pathlib import Path

from rlhf_demo.config.stages import STAGES
from rlhf_demo.data.pairs import SHIPPED, is_pairs_run, load_pairs
from rlhf_demo.errors import DataError, DemoError, JobError
from rlhf_demo.evaluation.frontier import METHODS, cost_of, setting_of
from rlhf_demo.evaluation.labellers import SHIPPED_REWARD
from rlhf_demo.paths import CHECKPOINTS, typed_path
from rlhf_demo.runs.frontier import Cost, FrontierRun
from rlhf_demo.runs.run import Run, Status

SHIPPED_REWARD_RUN = CHECKPOINTS / "examples" / "reward-shipped"
"""The record of the run that trained the shipped reward model."""
ODD = AttributeError, KeyError, TypeError, ValueError
"""What reading a damaged run's files can raise."""


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
    except ODD:
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
    rows = run.read("metrics")
    return int(rows[-1]["step"]) if rows else 0


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


def labels_of(options: dict[str, object]) -> int | None:
    """Count the votes that a run, or its reward model, has learned from; None if not known."""
    if "data" in options:
        data = str(options["data"])
        if data != SHIPPED and not is_pairs_run(data):
            return None
        wanted = options.get("train_pairs") or options.get("train_texts")
        return min(int(str(wanted)), len(load_pairs(data, "train")))
    reward = str(options["reward"])
    try:
        report = Run(
            SHIPPED_REWARD_RUN if reward == SHIPPED_REWARD else typed_path(reward)
        ).report()
        return int(report["train_pairs"])
    except (DemoError, OSError, KeyError, TypeError, ValueError):
        return None


def reward_cost() -> Cost:
    """Return what the shipped reward model has used to learn."""
    run = Run(SHIPPED_REWARD_RUN)
    pairs = int(run.report()["train_pairs"])
    epochs: int = run.config["options"]["epochs"]
    return {"labels": pairs, "generated": 0, "reward_calls": 0, "read": 2 * pairs * epochs}
