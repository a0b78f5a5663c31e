"""What a page that strangers use allows its trainings, so that nobody fills the machine.

A number stands here with its reason. Measured on two cores of a 2.5 GHz server, with the shipped
base model.
"""

import math
from dataclasses import dataclass
from typing import Any

from rlhf_demo.errors import JobError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What visitors may ask for; None is no limit. They bind neither the instructor nor a class,
    save the one of memory, which binds every training.
    """

    most_steps: int | None = None
    """Steps of one job."""
    most_minutes: float | None = None
    """Running time of one job; then it is stopped, and can be resumed at the line's end."""
    most_waiting: int | None = None
    """Jobs in line."""
    most_waiting_each: int | None = None
    """Jobs in line of one visitor."""
    most_waiting_address: int | None = None
    """Jobs in line that were asked for from one address: a visitor makes up as many secrets as
    they like, and a school shares one address."""
    starts_address: tuple[int, float] | None = None
    """Runs started from one address: so many at once, then so many a second."""
    most_rank: int | None = None
    """Rank of a LoRA adapter; then no training of all weights either."""
    most_saved: int | None = None
    """Saved steps of one PPO run."""
    most_pairs: int | None = None
    """Pairs in one batch of a reward model."""
    most_responses: int | None = None
    """Responses in one batch of PPO."""
    most_megabytes: float | None = None
    """What one run may write; then it is stopped."""
    most_megabytes_all: float | None = None
    """What all visitors' runs may hold together; then old ones go (jobs/disk.py)."""
    most_runs: int | None = None
    """Runs of all visitors; then those go that never began, and the oldest (jobs/disk.py)."""
    least_free_megabytes: float | None = None
    """Room on the disk below which nothing of a visitor's is started."""
    most_memory: float | None = None
    """Megabytes of memory of one trainer; above, it is ended at once."""


PUBLIC = Limits(
    most_waiting_each=3,  # the whole loop needs two
    most_waiting_address=6,  # of the 8 in line: two places are left to others
    starts_address=(60, 0.1),  # a class of thirty starts the loop's two runs at once
    most_rank=64,  # 7 MB a saved step; 512 wrote 51
    most_saved=40,
    most_pairs=32,  # a batch of the longest pairs takes 2.8 GB; each pair more 57 MB
    most_responses=256,  # 1.6 GB; 4,096 took more than 4.9
    most_megabytes=300,  # rank 64, 40 saved steps: 280
    # As much as one trainer can write in an hour, the time for which no run is removed.
    most_megabytes_all=15_000,
    most_runs=200,  # everybody's page lists them all; 3,000 took 1.2 s
    least_free_megabytes=2_000,  # six runs as large as can be: votes are always taken
)
"""Of a public page; steps, minutes and places in line are its owner's settings."""

MEMORY_SHARE = 0.6
"""Of the machine's memory that all trainers together may use; the rest is the app's and the
system's, and what a trainer can grow by (1 GB) before it is looked at again."""

OWN_MEMORY_SHARE = 0.9
"""On one's own machine: before the system ends what it likes. A folder of a run that somebody sent
may name data that take any amount."""


def check_options(options: dict[str, Any], limits: Limits) -> None:
    """Check the options of a reward model or PPO against the limits.

    Raises:
        JobError: one of them asks for too much.
    """
    steps, rank = steps_of(options), options.get("lora_rank")
    if _over(steps, limits.most_steps):
        raise JobError(f"{steps} steps are too many here: choose {limits.most_steps} or fewer")
    if rank is not None and limits.most_rank is not None and not 1 <= rank <= limits.most_rank:
        raise JobError(f"a LoRA rank of {rank} is not allowed here: choose 1 to {limits.most_rank}")
    if "total_steps" in options and steps is not None and limits.most_saved is not None:
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
    """Return how many steps a job's options ask for at most; None where there are none."""
    if "epochs" in options:
        return options["epochs"] * math.ceil(options["train_pairs"] / options["batch_size"])
    return options.get("total_steps")


def _over(value: int | None, most: int | None) -> bool:
    return value is not None and most is not None and value > most
