"""Processes of jobs: start one that outlives the app, see whether it lives, signal its group.

Each is started in a session of its own, so its number is also the number of its process group, and
everything it starts can be reached by that number. Knows numbers and command lines only, no runs.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from rlhf_demo.config.stages import STAGES
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.runs.run import JOB

STARTED = "--- started: "
"""Begins the line of a job's log that stands before each start's output."""

NICENESS = 10
"""Of the trainer; 0 is the app's. At 10 a busy core goes to the app nine times out of ten."""

SECRET = re.compile(
    r"PASSW|SECRET|CREDENTIAL|DATABASE_URL|^PG|(^|_)(TOKEN|KEY|PAT|AUTH)(_|$)", re.IGNORECASE
)
"""Names of environment variables that no training gets to see."""

RUN_DIR = re.compile(r"\0--run-dir[=\0]([^\0]+)")
"""Where a trainer's command line, of the page or of a terminal, names its folder."""

HUB_TOKENS = "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"

PROC = Path("/proc")

CGROUP_MEMORY = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""The container's limit, as versions 2 and 1 tell it inside."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this process started. Only a parent learns the exit code, whichever part of it asks."""


def training_command(kind: str, folder: Path) -> list[str]:
    """Return the command that fills a run folder; with --resume it takes its options from there."""
    command = [sys.executable, "-m", "rlhf_demo", STAGES[kind].command]
    return [*command, "--run-dir", str(folder), "--resume"]


def start(command: list[str], log: Path, *, hub: bool = False) -> int:
    """Start a command that goes on when this process ends; return its process (group) number.

    Its output goes to the end of `log`: into a pipe it would block, or die, without a reader.

    Args:
        command: program and arguments.
        log: file in the run's folder, made where there is none.
        hub: it may show the Hub the owner's token.

    Raises:
        OSError: the command cannot be started or the log cannot be written.
    """
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
    """Return this process's environment without what a training has no use for: secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if not SECRET.search(name) or (hub and name in HUB_TOKENS)
    }


def memory(pid: int) -> float:
    """Return the megabytes of memory that a process holds; 0 if there is no such process.

    What it holds, not what it has asked for (RLIMIT_DATA): torch asks for up to 1.6 times as much
    on a CPU, and CUDA for a multiple.
    """
    import psutil  # noqa: PLC0415  (commands that start no process do without)

    try:
        return psutil.Process(pid).memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def machine_memory() -> float:
    """Return the megabytes of memory of this machine, or of the container if that has fewer."""
    import psutil  # noqa: PLC0415

    found = [psutil.virtual_memory().total]
    for limit in CGROUP_MEMORY:
        try:
            found.append(int(limit.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # there is none, or "max"
            continue
    return min(found) / 1e6


def _lower_priority(pid: int) -> None:
    """Let the app go first. Best effort: slower pages are no reason not to train."""
    try:
        # At once after the start, while there is one thread: threads inherit it.
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        # Linux desktops and some servers share the CPU by session first (autogroups), where
        # niceness counts only inside a session; the session has a niceness of its own.
        (PROC / str(pid) / "autogroup").write_text(str(NICENESS))
    except OSError:
        return


def exit_code(pid: int) -> int | None:
    """Return how a child of this process ended (below 0: by that signal), else None.

    What a failed one leaves running in its group is killed: nobody else would end it.
    """
    child = _children.get(pid)
    if child is None:
        return None
    if child.returncode is None and child.poll():
        # A group's number is not given away while the group has members.
        _send_to_group(pid, signal.SIGKILL)
    return child.returncode


def reap() -> None:
    """Collect the exit codes of children that ended, so that none stays a zombie."""
    for pid in list(_children):
        exit_code(pid)


def alive(pid: int, folder: Path) -> bool:
    """Say whether the process, or any other of its group, lives.

    Args:
        pid: number of the process that was started.
        folder: of the run that it works on. A number is given away again after a process is gone,
            and a folder that was copied here may name any; another's process does not count.
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
    """Send a signal to the process's group, or to it alone where the group is another's."""
    if not alive(pid, folder):
        return
    try:
        if os.getpgid(pid) != pid:  # the group belongs to a script that must survive
            os.kill(pid, number)
            return
    except ProcessLookupError:  # the first process is gone, others of its group are not
        pass
    _send_to_group(pid, number)


def _send_to_group(group: int, number: int) -> bool:
    """Send a signal (0: none, only look); say whether there was anybody to get it."""
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
    # pid (name, which may hold spaces and brackets) state parent group ...
    state, _, group = text.rpartition(")")[2].split()[:3]
    return None if state in "ZX" else int(group)


def _works_on(pid: int, folder: Path) -> bool:
    """Say whether a process was started for this run, by a page or by a command that names it."""
    process = PROC / str(pid)
    try:
        if os.fsencode(f"{JOB}={folder}") in (process / "environ").read_bytes().split(b"\0"):
            return True
        home, line = (process / "cwd").readlink(), os.fsdecode((process / "cmdline").read_bytes())
    except OSError:  # it is gone, or another user's
        return False
    return any((home / named).resolve() == folder.resolve() for named in RUN_DIR.findall(line))
