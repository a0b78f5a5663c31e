"""Whether `accelerate launch` started this process as one of several that train one model."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

from rlhf_demo.runs.run import Run, StopRequested

RANK, PROCESSES = "RANK", "WORLD_SIZE"
"""Variables that accelerate and torchrun set: this process's number, and how many there are."""


def launched() -> bool:
    """Say whether this process is one of several that train one model together."""
    return os.environ.get(PROCESSES, "1") != "1"


def follows() -> bool:
    """Say whether another of these processes writes the run's files."""
    return launched() and os.environ.get(RANK, "0") != "0"


class FollowedRun(Run):
    """A run folder as the other processes see it: they read it and never write to it."""

    @contextmanager
    def recording(self) -> Generator[None]:
        """End quietly on a stop request, as the first process does."""
        with suppress(StopRequested):
            yield

    def append(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Leave the rows to the first process."""

    def rewind(self, step: int) -> None:
        """Leave the files to the first process."""
