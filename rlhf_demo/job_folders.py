"""What the run folders say about their jobs, for whichever app looks.

A job has no home in any app's memory. Beside what a run writes (runs.py) its folder holds

    job.json        who asked when for what, and which process was started for it
    stopping.json   somebody asked the process to end: when, and what to say about it
    job.log         all output of the process

so that a second app, or the same one started again, knows as much as the first.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rlhf_demo import deaths, processes
from rlhf_demo.errors import DataError, JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.runs import Run, Status, take_lock

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""A run's id is its folder's name: no separator, no leading dot, so it cannot lead elsewhere."""

DELETED = ".deleted-"
"""Begins the name of a folder on its way out."""


class Phase(StrEnum):
    """Where a job stands, as seen from outside."""

    COMMAND_LINE = "command line"
    """Queued without a job: a command in a terminal is about to train in it."""
    WAITING = "waiting"
    STARTING = "starting"
    """Its process lives and has not taken the run's lock yet."""
    RUNNING = "running"
    DEAD = "dead"
    """Its process is gone and left no final status."""
    ENDED = "ended"


@dataclass(frozen=True)
class Job:
    """One look at a run folder."""

    run: Run
    example: bool
    config: dict[str, Any]
    note: dict[str, Any]
    status: dict[str, Any]
    stopping: dict[str, Any]
    phase: Phase

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.run.folder.name

    @property
    def pid(self) -> int | None:
        """Number of the process, which is also its group's if the page started it."""
        return _pid(self.note, self.status, self.stopping)

    @property
    def first(self) -> bool:
        """Whether a class needs it: then it goes before visitors' jobs, and no limit binds it."""
        return self.note.get("first", False)

    @property
    def busy(self) -> bool:
        """Whether a process works on it, or is still being ended."""
        return self.phase in (Phase.STARTING, Phase.RUNNING) or bool(self.stopping)


class JobFolders:
    """The run folders under `root`, and the read-only ones of finished examples."""

    def __init__(self, root: Path, examples: Path | None = None) -> None:
        self.root = root.resolve()
        self.examples = examples
        self._parsed: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}

    def find(self, run_id: str) -> Run:
        """Return the run of that id, own ones first.

        Raises:
            JobError: there is none.
        """
        if RUN_ID.fullmatch(run_id):
            for parent in filter(None, (self.root, self.examples)):
                run = Run(parent / run_id)
                if run.exists():
                    return run
        raise JobError(f"there is no run {run_id[:80]!r}: it may have been deleted")

    def job(self, run_id: str) -> Job:
        """Look at the run of that id.

        Raises:
            JobError: there is none.
            DataError: a file of it is damaged.
        """
        run = self.find(run_id)
        return self._look(run, example=run.folder.parent != self.root)

    def own(self) -> list[Job]:
        """Look at all runs under the root, damaged and vanishing ones left out."""
        return list(self._looks(self.root, example=False))

    def all(self) -> list[Job]:
        """Look at own runs, newest first, then at the examples."""
        shown = sorted(self.own(), key=_age, reverse=True)
        if self.examples is not None and self.examples.is_dir():
            shown += sorted(self._looks(self.examples, example=True), key=_age, reverse=True)
        return shown

    def delete(self, run: Run) -> None:
        """Remove a run's folder; for others it disappears in one step."""
        away = self.root / f"{DELETED}{run.folder.name}-{time.time_ns()}"
        os.replace(run.folder, away)
        shutil.rmtree(away)

    def finish_deleting(self) -> None:
        """Remove what a killed app had begun to delete."""
        for leftover in self.root.glob(f"{DELETED}*"):
            shutil.rmtree(leftover)

    def _looks(self, parent: Path, *, example: bool) -> Iterator[Job]:
        for folder in parent.iterdir():
            if RUN_ID.fullmatch(folder.name) and (folder / "status.json").is_file():
                try:
                    yield self._look(Run(folder), example=example)
                except (DataError, JobError):
                    continue

    def _look(self, run: Run, *, example: bool) -> Job:
        config = self._read(run.folder / "config.json")
        if not config:
            raise JobError(f"there is no run {run.folder.name!r}: it was deleted just now")
        note = self._read(run.folder / "job.json")
        status = self._read(run.folder / "status.json")
        if not status:
            raise JobError(f"run {run.folder.name} is not complete yet: look again")
        stopping = self._read(run.folder / "stopping.json")
        phase = self._phase(run, note, status, stopping)
        if phase is Phase.DEAD:
            # Read again: it may have begun or ended between the two looks.
            status = self._read(run.folder / "status.json")
            phase = self._phase(run, note, status, stopping)
        return Job(run, example, config, note, status, stopping, phase)

    def _phase(
        self, run: Run, note: dict[str, Any], status: dict[str, Any], stopping: dict[str, Any]
    ) -> Phase:
        if status["status"] not in (Status.QUEUED, Status.RUNNING):
            return Phase.ENDED
        if status["status"] == Status.RUNNING and run.alive():
            return Phase.RUNNING
        pid = _pid(note, status, stopping)
        if pid is None:
            return Phase.WAITING if note else Phase.COMMAND_LINE
        if not processes.alive(pid, run.folder.name):
            return Phase.DEAD
        return Phase.STARTING if status["status"] == Status.QUEUED else Phase.RUNNING

    def _read(self, path: Path) -> dict[str, Any]:
        """Read a JSON file, {} if there is none; parsed only when it was replaced."""
        try:
            found = path.stat()
        except FileNotFoundError:
            self._parsed.pop(path, None)
            return {}
        version = (found.st_ino, found.st_mtime_ns)
        known = self._parsed.get(path)
        if known is None or known[0] != version:
            known = self._parsed[path] = version, read_json(path)
        return known[1]


def ask_to_stop(job: Job, message: str) -> None:
    """Ask a job's process to end; the scheduler insists, and says `message` when it is gone."""
    if not job.stopping:
        facts = {"asked_at": time.time(), "pid": job.pid, "message": message}
        write_json(job.run.folder / "stopping.json", facts)
    job.run.request_stop()


def settle(job: Job, status: Status, message: str) -> bool:
    """Write a final status, if all still stands as `job` saw it and nobody works on it.

    Returns:
        whether it was written; if not, look again.
    """
    with claimed(job) as free:
        if not free:
            return False
        facts = {"started_at": job.status["started_at"]} if "started_at" in job.status else {}
        job.run.set_status(status, message=message, **facts)
        return True


def in_order(jobs: list[Job]) -> list[Job]:
    """Return the waiting jobs, the next one first: those of classes, then all the others."""
    waiting = [job for job in jobs if job.phase is Phase.WAITING]
    return sorted(waiting, key=lambda job: (not job.first, job.note["queued_at"]))


def why_dead(job: Job) -> str:
    """Say why the process of a dead job is gone."""
    before, now = job.note.get("oom_kills"), deaths.oom_kills()
    return deaths.why(
        None if job.pid is None else processes.exit_code(job.pid),
        deaths.log_end(job.run.folder),
        oom_killed=before is not None and now is not None and now > before,
    )


@contextmanager
def claimed(job: Job) -> Iterator[bool]:
    """Hold the run's lock for a moment, to change what its files say about it.

    Yields False if somebody else works on the run, or changed it since `job` looked.
    """
    with open(job.run.folder / "lock", "a") as lock:
        yield take_lock(lock) and all(
            _json(job.run.folder / name) == seen
            for name, seen in (("status.json", job.status), ("job.json", job.note))
        )


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _pid(note: dict[str, Any], status: dict[str, Any], stopping: dict[str, Any]) -> int | None:
    # status.json names the process while it runs only; stopping.json until it is gone.
    return status.get("pid") or note.get("started_pid") or stopping.get("pid")


def _age(job: Job) -> tuple[str, float]:
    return job.config["created_at"], job.note.get("queued_at", 0.0)
