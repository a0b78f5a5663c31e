"""Limits of trainings on a public page, so that no visitor can fill the machine.

Each number has its reason next to it. They were measured on two cores of a 2.5 GHz server, with
the shipped base model.
"""

import math
from dataclasses import dataclass
from typing import Any

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import JobError
from rlhf_demo.hub.locate import adapter_rank


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What visitors may ask for; None means no limit. The limits do not apply to the instructor
    and to classes, except the limit on memory, which applies to every training.
    """

    most_steps: int | None = None
    """Steps of one job."""
    most_minutes: float | None = None
    """Running time of one job. Then it is stopped, and can be resumed at the end of the queue."""
    most_waiting: int | None = None
    """Places in the queue; jobs that wait for one another share one."""
    most_waiting_each: int | None = None
    """Places of one visitor."""
    most_waiting_address: int | None = None
    """Places of jobs that came from one address: a visitor can make up any number of secrets, and a
    school shares one address."""
    starts_address: tuple[int, float] | None = None
    """Runs started from one address: this many at once, then this many a second."""
    most_rank: int | None = None
    """Rank of a LoRA adapter. With this limit, training all weights is not allowed either."""
    most_saved: int | None = None
    """Saved steps of one PPO run."""
    most_pairs: int | None = None
    """Pairs in one batch of a reward model."""
    most_responses: int | None = None
    """Responses in one batch of PPO."""
    most_megabytes: float | None = None
    """What one run may write before it is stopped."""
    most_megabytes_all: float | None = None
    """What all visitors' runs together may take; above, old runs are removed (jobs/disk.py)."""
    most_runs: int | None = None
    """Runs of all visitors; above, those that never began and the oldest go (jobs/disk.py)."""
    least_free_megabytes: float | None = None
    """Free disk space below which no visitor's run is started."""
    most_memory: float | None = None
    """Memory of one trainer, in megabytes; above, it is killed at once."""


PUBLIC = Limits(
    most_waiting_each=3,
    most_waiting_address=6,  # of the 8 in the queue: two are left to others
    starts_address=(60, 0.1),  # a class of thirty starts the loop's two runs at once
    most_rank=64,  # 7 MB for each saved step; rank 512 wrote 51 MB
    most_saved=40,
    most_pairs=32,  # a batch of the longest pairs takes 2.8 GB; each further pair 57 MB
    most_responses=256,  # 1.6 GB; 4,096 took more than 4.9 GB
    most_megabytes=300,  # rank 64, 40 saved steps: 280
    # As much as one trainer can write in an hour, the time for which no run is removed.
    most_megabytes_all=15_000,
    most_runs=200,  # every page lists them all; 3,000 took 1.2 s
    least_free_megabytes=2_000,  # six runs of the largest size; votes can always be saved
)
"""Limits of a public page. Its owner sets steps, minutes and waiting jobs (server/settings.py)."""

MEMORY_SHARE = 0.6
"""Share of the machine's memory for all trainers together. The rest is for the app, the system, and
the growth of a trainer (1 GB) between two checks."""

OWN_MEMORY_SHARE = 0.9
"""The same on one's own machine, so that the system does not kill another program first. A run
folder from someone else may name data of any size."""


def check_options(options: dict[str, Any], limits: Limits) -> None:
    """Check the options of a training run against the limits.

    Raises:
        JobError: one of them is above its limit.
    """
    steps, rank = steps_of(options), options.get("lora_rank")
    if _over(steps, limits.most_steps):
        raise JobError(f"{steps} steps are too many here: choose {limits.most_steps} or fewer")
    if rank is not None and limits.most_rank is not None and not 1 <= rank <= limits.most_rank:
        raise JobError(f"a LoRA rank of {rank} is not allowed here: choose 1 to {limits.most_rank}")
    start = options.get("policy") or options.get("model")
    below: int = adapter_rank(start) if rank and isinstance(start, str) else 0
    if below and rank and _over(below + rank, limits.most_rank):
        raise JobError(
            f"the model is an adapter of rank {below}, to which {rank} would be added, and at most "
            f"{limits.most_rank} are allowed here: choose a lower LoRA rank or another model"
        )
    if "checkpoint_every" in options and steps is not None and limits.most_saved is not None:
        every, least = options["checkpoint_every"], math.ceil(steps / limits.most_saved)
        if every < least:
            raise JobError(
                f"saving every {every} steps of {steps} is too often here: choose {least} or more"
            )
    batch = options.get("batch_size")
    most = limits.most_responses if "total_steps" in options else limits.most_pairs
    if _over(batch, most):
        raise JobError(f"a batch size of {batch} is too large here: choose {most} or fewer")


def steps_of(options: dict[str, Any]) -> int | None:
    """Return the largest number of steps that a job's options ask for; None if they have none."""
    if "total_steps" in options and "train_pairs" in options:  # PPO after a reward model
        return options["total_steps"] + math.ceil(options["train_pairs"] / RewardConfig.batch_size)
    if "epochs" in options:
        rows = options["train_texts" if "train_texts" in options else "train_pairs"]  # SFT, others
        return options["epochs"] * math.ceil(rows / options["batch_size"])
    return options.get("total_steps")


def _over(value: int | None, most: int | None) -> bool:
    return value is not None and most is not None and value > most
