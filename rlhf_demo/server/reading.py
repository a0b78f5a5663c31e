"""Read a stranger's file in a separate process with little memory and time.

That process copies the rows of the file to a file that it writes itself. The app reads the copy. It
opens the original only to measure and hash it.

    python -m rlhf_demo.server.reading strangers|own pairs|votes|hub SOURCE COPY [QUESTION]

A data set of the Hub is a stranger's too, so its preview is read in the same way; there SOURCE is
its id, and no copy is made.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from rlhf_demo.data.pairs import Pairs, copy_pairs, load_pairs
from rlhf_demo.data.rows import UPLOADED, Bounds
from rlhf_demo.errors import DataError, DemoError
from rlhf_demo.files import write_text
from rlhf_demo.server.apart import limit_myself, run_apart
from rlhf_demo.votes.files import (
    holds_demonstrations,
    holds_rankings,
    read_demonstrations,
    read_rankings,
    read_votes,
    row_lines,
)


class ShownPair(TypedDict):
    """A pair of a file, shortened."""

    prompt: str
    chosen: str
    rejected: str


class FileSummary(TypedDict):
    """What a file holds; of votes, rankings and demonstrations no more than their number."""

    count: int  # usable rows
    dropped: NotRequired[dict[str, int]]  # reason -> rows
    pairs: NotRequired[list[ShownPair]]  # some, evenly spaced


@dataclass(frozen=True)
class Limits:
    """Resources that reading one file may use.

    Attributes:
        seconds: of computing.
        memory: bytes of address space; Python and Arrow take 240 MB of it, half of that
            only reserved.
        copy: bytes of the copy: JSON may write a character with six, so it can be larger than the
            file.
        bounds: of pairs.
    """

    seconds: int
    memory: int
    copy: int
    bounds: Bounds


LIMITS = {
    "strangers": Limits(8, 450_000_000, 60_000_000, UPLOADED),
    "own": Limits(60, 3_000_000_000, 600_000_000, Bounds(rows=1_000_000, bytes=200_000_000)),
}
"""On a page with limits, where a file of 20 MB of honest pairs takes two seconds; and on one's own
machine, where a file of 20 MB may be packed."""
PREVIEWED = 10


# -- the app's side --------------------------------------------------------------------------------


def read_apart(
    kind: str, source: Path, copy: Path, *question: str, public: bool = True
) -> FileSummary:
    """Have a file read and copied; return a summary of it.

    Args:
        kind: pairs, votes or hub.
        source: the stranger's file.
        copy: where the rows go, as JSONL.
        question: for votes, the question if the file names none.
        public: the limits are on.

    Returns:
        Of pairs and of a data set their `summary`; of votes their number, and each row of the copy
        has the fields of a `votes.vote.Vote`, or of a `Ranking` or `Demonstration` if the file
        holds these.

    Raises:
        DataError: the file cannot be used, or not with so little memory and time.
    """
    limits = LIMITS[whose := "strangers" if public else "own"]
    arguments = [whose, kind, str(source), str(copy), *question]
    answer = run_apart("rlhf_demo.server.reading", arguments, limits.seconds)
    if answer is None:
        raise DataError(
            f"{source.name} takes more than {limits.seconds} s or {limits.memory // 10**6} MB to "
            "read: give fewer rows, as JSONL"
        )
    if "error" in answer:
        raise DataError(answer["error"])
    return cast("FileSummary", answer)


def summary(pairs: Pairs) -> FileSummary:
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

    If this process ends by a signal or another error, the app says that the file takes too much.
    """
    whose, kind, source, copy, *question = arguments
    limits = LIMITS[whose]
    limit_myself(seconds=limits.seconds, memory=limits.memory, written=limits.copy)
    read: dict[str, Callable[[], FileSummary]] = {
        "pairs": lambda: summary(copy_pairs(Path(source), Path(copy), limits.bounds)),
        "hub": lambda: summary(load_pairs(source)),
        "votes": lambda: _votes(Path(source), Path(copy), *question),
    }
    try:
        answer = read[kind]()
    except DemoError as error:
        answer = {"error": str(error)}
    except OSError as error:  # the copy is too large, or the disk is full
        answer = {
            "error": f"{Path(source).name} cannot be kept ({error.strerror}): upload a smaller file"
        }
    sys.stdout.write(json.dumps(answer))


def _votes(source: Path, copy: Path, question: str) -> FileSummary:
    read = read_demonstrations if holds_demonstrations(source) else read_votes
    if holds_rankings(source):
        read = read_rankings
    rows = read(source, question=question)
    write_text(copy, row_lines(asdict(row) for row in rows))
    return {"count": len(rows)}


if __name__ == "__main__":
    main(sys.argv[1:])
