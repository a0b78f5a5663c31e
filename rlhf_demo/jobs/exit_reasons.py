"""Why a training process died, in one sentence, from its exit code and the end of its log."""

import re
import signal
from pathlib import Path

from rlhf_demo.files import open_plain
from rlhf_demo.jobs.processes import STARTED

MOST_CHARACTERS = 4000
"""Length of the end of a log that is shown."""

DISK_FULL = re.compile(r"No space left on device|Errno 28\b|Disk quota exceeded")
OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory|OutOfMemoryError|MemoryError|DefaultCPUAllocator"
    r"|Cannot allocate memory|std::bad_alloc"
)
"""What Python, torch, C++ and the system print when memory runs out."""

OWN_CGROUP = Path("/proc/self/cgroup")

RESUMING = "resuming continues from the last saved state"


def why(exit_code: int | None, log: str, *, oom_killed: bool | None = None) -> str:
    """Say why a process died.

    Args:
        exit_code: as in `subprocess`: below 0, a signal; None if unknown, because the app that
            started the process ended before it.
        log: the output of the process since its start.
        oom_killed: whether the system has killed a process for lack of memory since then; None if
            unknown.
    """
    known = known_cause(log)
    if known:
        return known
    lines = log.strip().splitlines()
    last = lines[-1].strip() if lines else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    if exit_code is None:
        what = "the process outlived the app that started it, then ended for an unknown reason"
        return f"{what}: {RESUMING}"
    if exit_code < 0:
        return _by_signal(-exit_code, oom_killed)
    if exit_code == 0:
        return "the process ended without doing anything: look at its log, then resume it"
    said = f"its last output was: {last}" if last else "its log is empty"
    return f"the process ended with exit code {exit_code}; {said}"


def known_cause(text: str) -> str | None:
    """Return the sentence about a full disk or memory that a log or message fits, else None."""
    if DISK_FULL.search(text):
        return f"the disk is full: delete runs that are no longer needed; then {RESUMING}"
    if OUT_OF_MEMORY.search(text):
        return "out of memory: choose a smaller batch, shorter responses or a smaller model"
    return None


def _by_signal(number: int, oom_killed: bool | None) -> str:
    try:
        name = f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL and oom_killed:
        return (
            f"killed by {name} because the system ran out of memory: choose a smaller batch or "
            "model"
        )
    if number == signal.SIGKILL and oom_killed is None:
        return (
            f"killed by {name}, from outside or because memory ran out: {RESUMING}; if it "
            "happens again, choose a smaller batch or model"
        )
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        return f"killed by {name} from outside: {RESUMING}"
    return f"crashed with {name}: look at its log, then resume it"


def oom_kills(cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Count the processes killed for lack of memory in this process's cgroup (version 2).

    Returns:
        None if the system does not report it.
    """
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
        own = next(line.removeprefix("0::/") for line in lines if line.startswith("0::"))
        events = (cgroups / own / "memory.events").read_text(encoding="utf-8")
        return int(dict(line.split() for line in events.splitlines())["oom_kill"])
    except (OSError, StopIteration, KeyError, ValueError):
        return None


def log_end(folder: Path) -> str:
    """Return the end of the output of the run's last process, at most `MOST_CHARACTERS`.

    job.log contains all output of a process that the page started, train.log the trainer's log.
    """
    for name in ("job.log", "train.log"):
        text = _end_of(folder / name).rpartition(STARTED)
        # The rest of the line that begins with STARTED is the command.
        output = text[2].partition("\n")[2] if text[1] else text[2]
        # A progress bar returns to the start of the line: only its last state counts.
        lines = [line.rstrip().rpartition("\r")[2] for line in output.split("\n")]
        kept = "\n".join(line for line in lines if line.strip())
        if kept:
            return kept[-MOST_CHARACTERS:]
    return ""


def _end_of(path: Path) -> str:
    try:
        with open_plain(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 8 * MOST_CHARACTERS))
            return file.read(8 * MOST_CHARACTERS).decode("utf-8", errors="replace")
    except OSError:  # usually there is no such file
        return ""
