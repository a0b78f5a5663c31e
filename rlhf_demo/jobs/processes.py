"""Processes of jobs: start a process that outlives the app, check it, and signal its group.

Each process gets its own session, so its number is also the number of its process group, and a
signal to that number reaches everything that the process starts. This module knows numbers and
command lines, but no runs.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from rlhf_demo.config.stages import STAGES
from rlhf_demo.files import leads_elsewhere
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.runs.run import JOB

STARTED = "--- started: "
"""Start of the line in a job's log before the output of each start."""

NICENESS = 10
"""Niceness of the trainer; the app has 0. At 10, the app gets a busy core nine times out of ten."""

SECRET = re.compile(
    r"PASSW|SECRET|CREDENTIAL|DATABASE_URL|^PG|(^|_)(TOKEN|KEY|PAT|AUTH)(_|$)", re.IGNORECASE
)
"""Names of environment variables that trainings do not get."""

RUN_DIR = re.compile(r"\0--run-dir[=\0]([^\0]+)")
"""The run folder in the command line of a trainer, started by the page or in a terminal."""

HUB_TOKENS = "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"

PROC = Path("/proc")

CGROUP_MEMORY = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files with the container's memory limit, of cgroup versions 2 and 1."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""The processes that this one started: only their parent learns their exit codes."""


def training_command(kind: str, folder: Path) -> list[str]:
    """Return the command that trains in a run folder; --resume reads its options from there."""
    command = [sys.executable, "-m", "rlhf_demo", STAGES[kind].command]
    return [*command, "--run-dir", str(folder), "--resume"]


def start(command: list[str], log: Path, *, hub: bool = False) -> int:
    """Start a command that continues when this process ends; return its process (group) number.

    Its output is appended to `log`. With a pipe, it would block or die without a reader.

    Args:
        command: program and arguments.
        log: file in the run's folder, created if missing.
        hub: whether the command gets the owner's token for the Hub.

    Raises:
        OSError: the command cannot be started or the log cannot be written.
    """
    if leads_elsewhere(log):  # an archive may have made it a second name of the page's own key
        log.unlink()
    with open(log, "ab", buffering=0) as output:
        line = shlex.join(command).replace("\n", " ")
        output.write(f"{STARTED}{line}\n".encode())
        child = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=_environment(hub) | {JOB: str(log.parent)},
        )
    _children[child.pid] = child
    _lower_priority(child.pid)
    return child.pid


def _environment(hub: bool) -> dict[str, str]:
    """Return this process's environment without secrets, which a training does not need."""
    return {
        name: value
        for name, value in os.environ.items()
        if not SECRET.search(name) or (hub and name in HUB_TOKENS)
    }


def memory(pid: int) -> float:
    """Return the resident memory of a process in megabytes; 0 if there is no such process.

    Allocated memory (RLIMIT_DATA) would not do: torch allocates up to 1.6 times as much on a CPU,
    and CUDA a multiple.
    """
    import psutil  # noqa: PLC0415  (commands that start no process do not need it)

    try:
        return psutil.Process(pid).memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def machine_memory() -> float:
    """Return the megabytes of memory of this machine, or of the container if that has fewer."""
    import psutil  # noqa: PLC0415

    limits = [psutil.virtual_memory().total]
    for limit in CGROUP_MEMORY:
        try:
            limits.append(int(limit.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # no limit: no such file, or "max"
            continue
    return min(limits) / 1e6


def _lower_priority(pid: int) -> None:
    """Let the app go first. If that fails, train anyway: pages are only slower then."""
    try:
        # Directly after the start, while there is one thread: later threads inherit it.
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        # Linux desktops and some servers share the CPU by session first (autogroups), where
        # niceness counts only inside a session; the session has a niceness of its own.
        (PROC / str(pid) / "autogroup").write_text(str(NICENESS))
    except OSError:
        return


def exit_code(pid: int) -> int | None:
    """Return the exit code of a child of this process (below 0: a signal), else None.

    If it failed, the rest of its group is killed, because nothing else would end it.
    """
    child = _children.get(pid)
    if child is None:
        return None
    if child.returncode is None and child.poll():
        # The system does not reuse a group's number while the group has members.
        _send_to_group(pid, signal.SIGKILL)
    return child.returncode


def reap() -> None:
    """Collect the exit codes of children that ended, so that they do not stay zombies."""
    for pid in list(_children):
        exit_code(pid)


def alive(pid: int, folder: Path) -> bool:
    """Say whether the process, or another process of its group, lives.

    Args:
        pid: number of the process that was started.
        folder: the run that it works on. The system reuses the numbers of ended processes, and a
            copied folder may contain any number; processes of other runs do not count.
    """
    child = _children.get(pid)
    if child is not None and exit_code(pid) is None:
        return True
    if not PROC.joinpath("self").exists():  # macOS
        return _send_to_group(pid, 0)
    if _group_of(pid) is None:
        return any(_group_of(other) == pid and _works_on(other, folder) for other in _numbers())
    return _works_on(pid, folder)


def send(pid: int, folder: Path, number: signal.Signals) -> None:
    """Send a signal to the group of a process, or to the process alone if it does not lead it."""
    if not alive(pid, folder):
        return
    try:
        if os.getpgid(pid) != pid:  # the group belongs to a script that must survive
            os.kill(pid, number)
            return
    except ProcessLookupError:  # the process is gone, but others of its group are not
        pass
    _send_to_group(pid, number)


def _send_to_group(group: int, number: int) -> bool:
    """Send a signal (0 only checks); say whether a process got it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS forbids signals to zombies
        return False
    return True


def _numbers() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _group_of(pid: int) -> int | None:
    """Return a process's group, None if there is no such process or it is a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # pid (name, which may contain spaces and brackets) state parent group ...
    state, _, group = text.rpartition(")")[2].split()[:3]
    return None if state in "ZX" else int(group)


def _works_on(pid: int, folder: Path) -> bool:
    """Say whether a process was started for this run, by a page or by a command that names it."""
    process = PROC / str(pid)
    try:
        if os.fsencode(f"{JOB}={folder}") in (process / "environ").read_bytes().split(b"\0"):
            return True
        home, line = (process / "cwd").readlink(), os.fsdecode((process / "cmdline").read_bytes())
    except OSError:  # it is gone, or belongs to another user
        return False
    return any((home / named).resolve() == folder.resolve() for named in RUN_DIR.findall(line))
