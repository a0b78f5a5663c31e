"""Jobs as processes of this machine: the executor that is there unless another one is chosen.

The handle is the process's number, which is also that of its process group (processes.py).
"""

import signal
from pathlib import Path

from rlhf_demo.jobs import exits, processes
from rlhf_demo.jobs.shapes import HIGHEST_PID


class LocalExecutor:
    """An `Executor`; see there what each function is for."""

    def start(self, command: list[str], folder: Path, *, hub: bool = False) -> str:
        """Start a process in a session of its own."""
        return str(processes.start(command, folder / "job.log", hub=hub))

    def handle_of(self, pid: int) -> str:
        """A process is known by its number, one of a terminal too."""
        return str(pid)

    def alive(self, handle: str, folder: Path) -> bool:
        """Look for the process, or any other of its group."""
        pid = _pid(handle)
        return pid is not None and processes.alive(pid, folder)

    def stop(self, handle: str, folder: Path, *, hard: bool) -> None:
        """Send SIGTERM, or SIGKILL, to the process's group."""
        if (pid := _pid(handle)) is not None:
            processes.send(pid, folder, signal.SIGKILL if hard else signal.SIGTERM)

    def exit_code(self, handle: str) -> int | None:
        """Only the app that started a process learns it."""
        pid = _pid(handle)
        return None if pid is None else processes.exit_code(pid)

    def memory(self, handle: str) -> float:
        """What the process itself holds."""
        pid = _pid(handle)
        return 0.0 if pid is None else processes.memory(pid)

    def log_end(self, folder: Path) -> str:
        """The end of job.log, or of train.log."""
        return exits.log_end(folder)

    def refresh(self) -> None:
        """Collect exit codes, so that no process stays a zombie."""
        processes.reap()


LOCAL = LocalExecutor()


def _pid(handle: str) -> int | None:
    is_number = handle.isascii() and handle.isdecimal() and len(handle) <= len(str(HIGHEST_PID))
    return int(handle) if is_number and 1 < int(handle) <= HIGHEST_PID else None
