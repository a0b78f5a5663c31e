"""Jobs as processes of this machine: the default executor.

The handle is the number of the process, which is also the number of its process group
(processes.py).
"""

import signal
from pathlib import Path

from rlhf_demo.jobs import exit_reasons, processes
from rlhf_demo.jobs.shapes import HIGHEST_PID


class LocalExecutor:
    """An `Executor`, whose docstrings describe the functions."""

    def start(self, command: list[str], folder: Path, *, hub: bool = False) -> str:
        """Start a process in its own session."""
        return str(processes.start(command, folder / "job.log", hub=hub))

    def handle_of(self, pid: int) -> str:
        """The handle is the process number, also for a command in a terminal."""
        return str(pid)

    def alive(self, handle: str, folder: Path) -> bool:
        """Look for the process, or for another process of its group."""
        pid = _pid(handle)
        return pid is not None and processes.alive(pid, folder)

    def stop(self, handle: str, folder: Path, *, hard: bool) -> None:
        """Send SIGTERM, or SIGKILL, to the process's group."""
        if (pid := _pid(handle)) is not None:
            processes.send(pid, folder, signal.SIGKILL if hard else signal.SIGTERM)

    def exit_code(self, handle: str) -> int | None:
        """Return it if this app started the process; no other app learns it."""
        pid = _pid(handle)
        return None if pid is None else processes.exit_code(pid)

    def memory(self, handle: str) -> float:
        """The memory of the process itself, without those that it started."""
        pid = _pid(handle)
        return 0.0 if pid is None else processes.memory(pid)

    def log_end(self, folder: Path) -> str:
        """The end of job.log, or of train.log."""
        return exit_reasons.log_end(folder)

    def refresh(self) -> None:
        """Collect exit codes, so that no process stays a zombie."""
        processes.reap()


LOCAL = LocalExecutor()


def _pid(handle: str) -> int | None:
    is_number = handle.isascii() and handle.isdecimal() and len(handle) <= len(str(HIGHEST_PID))
    return int(handle) if is_number and 1 < int(handle) <= HIGHEST_PID else None
