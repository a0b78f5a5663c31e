"""The interface of what runs jobs; today, processes of this machine do (local_executor.py).

A job has a handle, a string that the executor returns at the start and that job.json keeps, so any
app on the same folders finds the job again. The queue, the scheduler and the page use only handles.
"""

from pathlib import Path
from typing import Protocol


class Executor(Protocol):
    """Starts jobs, reports their state, and ends them."""

    def start(self, command: list[str], folder: Path, *, hub: bool = False) -> str:
        """Start a command that continues when this app ends, and return its handle.

        Args:
            command: program and arguments.
            folder: the run's folder; the output is appended to job.log in it.
            hub: whether the command gets the owner's token for the Hub.

        Raises:
            OSError: it cannot be started, or its log cannot be written.
        """
        ...

    def handle_of(self, pid: int) -> str | None:
        """Return the handle of a training whose own process number is in status.json.

        None if a process number means nothing, because trainings run on other machines.
        """
        ...

    def alive(self, handle: str, folder: Path) -> bool:
        """Say whether the job, or any process that it started, still runs.

        Args:
            handle: from a file, so it may be anything.
            folder: the run's folder. A job of another run does not count.
        """
        ...

    def stop(self, handle: str, folder: Path, *, hard: bool) -> None:
        """End the job with all its processes; at once if `hard`, else so that it can save."""
        ...

    def exit_code(self, handle: str) -> int | None:
        """Return the job's exit code (below 0: a signal); None if unknown."""
        ...

    def memory(self, handle: str) -> float:
        """Return the memory of the job in megabytes; 0 if the job does not exist."""
        ...

    def log_end(self, folder: Path) -> str:
        """Return the end of the output of the run's last job."""
        ...

    def refresh(self) -> None:
        """Clean up after jobs that ended. The scheduler calls it at every tick."""
        ...
