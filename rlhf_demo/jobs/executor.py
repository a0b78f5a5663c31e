"""What holds jobs while they run: today processes of this machine (local_executor.py).

A job is known by its handle, a string that the executor gives at the start and that job.json keeps,
so any app over the same folders finds the job again. The queue, the scheduler and the page know
jobs by handles only.
"""

from pathlib import Path
from typing import Protocol


class Executor(Protocol):
    """Starts jobs, tells how they are, and ends them."""

    def start(self, command: list[str], folder: Path, *, hub: bool = False) -> str:
        """Start a command that goes on when this app ends, and return its handle.

        Args:
            command: program and arguments.
            folder: the run's; the output goes to the end of job.log in it.
            hub: it may show the Hub the owner's token.

        Raises:
            OSError: it cannot be started, or its log cannot be written.
        """
        ...

    def handle_of(self, pid: int) -> str | None:
        """Return the handle of a training that names its own process in status.json.

        None where a number says nothing, as trainings run on other machines.
        """
        ...

    def alive(self, handle: str, folder: Path) -> bool:
        """Say whether the job, or anything that it started, still runs.

        Args:
            handle: what a file says; it may be anything.
            folder: the run's. Another run's job does not count, whatever the handle.
        """
        ...

    def stop(self, handle: str, folder: Path, *, hard: bool) -> None:
        """End the job with all that it started; softly, so that it can save, or at once."""
        ...

    def exit_code(self, handle: str) -> int | None:
        """Return how the job ended (below 0: by that signal); None where nobody can tell."""
        ...

    def memory(self, handle: str) -> float:
        """Return the megabytes of memory that the job holds; 0 if there is none."""
        ...

    def log_end(self, folder: Path) -> str:
        """Return the end of what the run's last job wrote."""
        ...

    def refresh(self) -> None:
        """Look after what has ended. The scheduler calls it at every tick."""
        ...
