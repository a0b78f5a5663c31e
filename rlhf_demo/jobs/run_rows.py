"""What a list of runs shows: one JSON-ready row for each run.

A whole class polls it, so no file is read twice unless it has changed.
"""

from pathlib import Path
from statistics import mean
from typing import TypedDict

from rlhf_demo.errors import DataError
from rlhf_demo.files import is_figure, without_paths
from rlhf_demo.jobs.fair_order import start_order
from rlhf_demo.jobs.job import DAMAGED, Job, Phase, exit_reason
from rlhf_demo.runs.run import Status
from rlhf_demo.runs.tail import last_rows

RECENT_STEPS = 5
"""Last steps from which the time left is computed; the first steps of a run are slower."""

ODD = KeyError, TypeError, ValueError, AttributeError, OverflowError
"""What reading a damaged run's values can raise."""

MOST_MESSAGE = 2000
"""Characters of the message with a status: every visitor who opens the list gets all messages."""

SHOWN = {
    Phase.COMMAND_LINE: Status.QUEUED,
    Phase.WAITING: Status.QUEUED,
    Phase.COPIED: Status.STOPPED,
    Phase.STARTING: Status.RUNNING,
    Phase.RUNNING: Status.RUNNING,
    Phase.DEAD: Status.FAILED,
    Phase.DAMAGED: DAMAGED,
}
"""Phase -> the status that the page shows; an ended job shows its own status."""


class RunRow(TypedDict):
    """One run in the list of all; unknown values are None."""

    id: str
    title: str
    kind: str
    status: str
    message: str  # with the status
    step: int | None  # the last finished one
    total_steps: int | None
    place: int | None  # in the queue; 1 is next
    created_at: str  # UTC: 2026-01-31T09:00:00Z
    ended_at: str | None  # UTC
    example: bool
    of_class: bool  # whether a class started it, whatever the title says
    experiment: str  # key of config/experiments.py; empty if it is no experiment's
    seconds_left: float | None
    figures: dict[str, float]  # the newest value of each metric; units as in metrics.py


class Overview:
    """Makes the rows, and remembers the newest metrics of each run."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], dict[str, float], float | None]] = {}

    def rows(self, jobs: list[Job]) -> list[RunRow]:
        """Return one row per job, in the same order."""
        places = {job.id: place for place, job in enumerate(start_order(jobs), start=1)}
        return [self._row_or_damaged(job, places.get(job.id)) for job in jobs]

    def _row_or_damaged(self, job: Job, place: int | None) -> RunRow:
        """Return the row of a job; a run with odd files must not take the list away."""
        try:
            return self._row(job, place)
        except ODD:
            return _damaged_row(job)

    def _row(self, job: Job, place: int | None) -> RunRow:
        figures, step_seconds = self._figures(job.run.folder / "metrics.jsonl")
        status, message = _words(job)
        message = without_paths(message)  # of the server, which visitors need not know
        step, kind = _whole(figures.get("step")), job.config["kind"]
        # The stages that TRL trains do not know it before they have read their data. They do not
        # declare the option either, so a copied run may have anything there.
        option = job.config["options"].get("total_steps")
        total_steps = _whole(
            option if type(option) is int and option else figures.get(f"{kind}/total_steps")
        )
        left = None
        if status == Status.RUNNING and total_steps and step is not None and step_seconds:
            left = max(0, total_steps - step) * step_seconds
        return {
            "id": job.id,
            "title": job.title,
            "kind": kind,
            "status": str(status),
            "message": message,
            "step": step,
            "total_steps": total_steps,
            "place": place,
            "created_at": job.config["created_at"],
            "ended_at": job.status.get("updated_at") if job.phase is Phase.ENDED else None,
            "example": job.example,
            "of_class": job.first and job.signed,
            "experiment": job.record.get("experiment", "") if job.signed else "",
            "seconds_left": left,
            "figures": figures,
        }

    def _figures(self, path: Path) -> tuple[dict[str, float], float | None]:
        """Return the newest value of each metric, and the recent seconds per step.

        Only the end of the file is read: all rows of all runs would fill the memory.
        """
        try:
            status = path.stat()
        except OSError:  # usually there is no such file
            self._known.pop(path, None)
            return {}, None
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._known or self._known[path][0] != version:
            try:
                rows = last_rows(path)
            except (DataError, OSError):  # the run's own page names the line
                rows = []
            figures = {
                name: value for row in rows for name, value in row.items() if is_figure(value)
            }
            seconds = [
                row["time/step_seconds"] for row in rows if is_figure(row.get("time/step_seconds"))
            ]
            recent = mean(seconds[-RECENT_STEPS:]) if seconds else None
            self._known[path] = version, figures, recent
        return self._known[path][1:]


def _damaged_row(job: Job) -> RunRow:
    """Return the row of a run whose files hold values of the wrong type."""
    return {
        "id": job.id,
        "title": job.id,
        "kind": DAMAGED,
        "status": DAMAGED,
        "message": "its files have values of the wrong type: restore them or delete the run",
        "step": None,
        "total_steps": None,
        "place": None,
        "created_at": "1970-01-01T00:00:00Z",
        "ended_at": None,
        "example": job.example,
        "of_class": False,
        "experiment": "",
        "seconds_left": None,
        "figures": {},
    }


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _words(job: Job) -> tuple[str, str]:
    """Return the status to show, and the message with it."""
    if job.ending:
        return Status.RUNNING, "stopping: it saves its state first"
    status: str = SHOWN.get(job.phase) or job.status["status"]
    if job.phase is Phase.DEAD:
        return status, exit_reason(job)
    if job.phase is Phase.COPIED:
        return status, "copied here, or queued by an earlier version: press Resume to start it"
    if job.phase is Phase.STARTING:
        return status, "starting: loading its models"
    return status, job.status.get("message", "")[:MOST_MESSAGE]
