"""Do in a separate process, with little memory and time, what a stranger's file asks for."""

import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from typing import Any

from rlhf_demo.paths import REPOSITORY

WAITED = 3
"""Factor on the seconds of computing for the time on the clock, because others compute too."""
NICENESS = 5
"""The app goes first, trainings (processes.NICENESS) after."""
PASSED_ON = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH",
    "HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
)  # fmt: skip
"""Variables of the app's environment that the process gets; the others may be secrets. They name
the folders of Python and of files from the Hub."""
SPARING = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
"""Stops libraries from reserving address space for threads that do not exist."""
ALONE = {"HF_HUB_OFFLINE": "1"}
"""Keeps the process off the network: what it reads was fetched before."""


def run_apart(module: str, arguments: list[str], seconds: float) -> dict[str, Any] | None:
    """Run a module as a program, and return the JSON object that it writes.

    Args:
        module: limits itself with `limit_myself` before it reads anything.
        arguments: of the program.
        seconds: of computing; on a busy machine, the program gets WAITED times as long.

    Returns:
        None if the program took too long, or ended by a signal or an error.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        process = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=REPOSITORY,
            env=environment | SPARING | ALONE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAITED * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return None if process.returncode else json.loads(process.stdout)


def limit_myself(*, seconds: int, memory: int, written: int, reserved: bool = True) -> None:
    """Limit this process's computing time, memory and files for the rest of its life.

    Args:
        seconds: of computing.
        memory: bytes of address space.
        written: bytes of the largest file.
        reserved: count address space that is only reserved, too; torch reserves gigabytes.
    """
    os.nice(NICENESS)
    most_of = {
        resource.RLIMIT_AS if reserved else resource.RLIMIT_DATA: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: written,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in most_of.items():
        with suppress(ValueError, OSError):  # macOS knows no bound on memory
            resource.setrlimit(limit, (most, most))
