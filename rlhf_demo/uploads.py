"""A stranger's file is read in a process of its own, which can take neither much nor long.

That process copies what the file holds, row by row, to a file of the program's own making. The app
reads the copy; it never opens the original but to count its bytes.

    python -m rlhf_demo.uploads pairs|votes SOURCE COPY [QUESTION]
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlhf_demo.data_rows import UPLOADED
from rlhf_demo.errors import DataError, DemoError
from rlhf_demo.files import write_text
from rlhf_demo.preferences import Pairs, copy_pairs
from rlhf_demo.vote_files import read_votes, row_lines

SECONDS = 8
"""Of computing, and by the clock. A file of 20 MB of honest pairs takes two."""
MEMORY = 450_000_000
"""Bytes of address space; Python and Arrow take 240 MB of it, half of that only on paper."""
COPY = 60_000_000
"""Bytes of the copy: JSON may write a character with six, so it can be larger than the file."""
NICENESS = 5
"""The app goes first, trainings (processes.NICENESS) after."""

PREVIEWED = 10
REPOSITORY = Path(__file__).resolve().parent.parent
FOUND_BY = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What the process is told of the app's environment, which holds secrets: where Python is."""
SPARING = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
"""Keeps libraries from reserving address space for threads that are not there."""


# -- the app's side --------------------------------------------------------------------------------


def read_apart(kind: str, source: Path, copy: Path, *more: str) -> dict[str, Any]:
    """Have a file read and copied; return what there is to say of it.

    Args:
        kind: pairs or votes.
        source: the stranger's file.
        copy: where the rows go, as JSONL.
        more: for votes, the question where the file does not say.

    Returns:
        Of pairs their `summary`, of votes their `count`; each row of the copy has the fields of a
        `ballots.Vote` then.

    Raises:
        DataError: the file cannot be used, or not with so little memory and time.
    """
    environment = {name: os.environ[name] for name in FOUND_BY if name in os.environ} | SPARING
    command = [sys.executable, "-m", "rlhf_demo.uploads", kind, str(source), str(copy), *more]
    try:
        process = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        process = None
    if process is None or process.returncode:
        raise DataError(
            f"{source.name} takes more than {SECONDS} s or {MEMORY // 10**6} MB to read: "
            "give fewer rows, as JSONL"
        )
    answer = json.loads(process.stdout)
    if "error" in answer:
        raise DataError(answer["error"])
    return answer


def summary(pairs: Pairs) -> dict[str, Any]:
    """Return how many pairs there are, what was dropped and why, and ten of them, evenly spaced."""
    step = max(1, len(pairs) // PREVIEWED)
    shown = pairs.select(list(range(0, len(pairs), step))[:PREVIEWED])
    return {
        "count": len(pairs),
        "dropped": pairs.dropped,
        "pairs": [
            {"prompt": prompt[-400:], "chosen": chosen[:600], "rejected": rejected[:600]}
            for prompt, chosen, rejected in zip(
                shown.prompts, shown.chosen, shown.rejected, strict=True
            )
        ],
    }


# -- the other process's side ----------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Read one file within the limits, and write one JSON object to the standard output.

    Whatever else happens, a signal or an error, the app says that the file takes too much.
    """
    limit_myself()
    kind, source, copy, *more = arguments
    read: dict[str, Callable[..., dict[str, Any]]] = {"pairs": _pairs, "votes": _votes}
    try:
        answer = read[kind](Path(source), Path(copy), *more)
    except DemoError as error:
        answer = {"error": str(error)}
    except OSError as error:  # the copy is too large, or the disk is full
        answer = {"error": f"{Path(source).name} cannot be kept ({error.strerror}): give less"}
    sys.stdout.write(json.dumps(answer))


def limit_myself() -> None:
    """Bound this process's memory, computing time and files, for good."""
    os.nice(NICENESS)
    limits = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_FSIZE: COPY,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        with suppress(ValueError, OSError):  # macOS knows no bound on memory
            resource.setrlimit(limit, (most, most))


def _pairs(source: Path, copy: Path) -> dict[str, Any]:
    return summary(copy_pairs(source, copy, UPLOADED))


def _votes(source: Path, copy: Path, question: str) -> dict[str, Any]:
    votes = read_votes(source, question=question)
    write_text(copy, row_lines(asdict(vote) for vote in votes))
    return {"count": len(votes)}


if __name__ == "__main__":
    main(sys.argv[1:])
