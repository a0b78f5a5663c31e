"""Jobs as their run folders describe them, for any app that reads the folders.

No app keeps a job in memory alone. Besides the run's own files (runs/run.py), the folder holds

    job.json        the job record: who asked for it and when, and which process was started for it
    stopping.json   a request to end the process: when it came, and the message for the status
    job.log         all output of the process

so a second app, or the same app after a restart, knows as much as the first.
"""

import os
import re
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError, JobError
from rlhf_demo.files import folders_under, read_json, write_json
from rlhf_demo.jobs import exit_reasons
from rlhf_demo.jobs.executor import Executor
from rlhf_demo.jobs.local_executor import LOCAL
from rlhf_demo.jobs.shapes import JobRecord, StopRequest, check
from rlhf_demo.jobs.signature import Signer
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.runs.run import Run, RunConfig, RunStatus, Status, take_lock

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""A run's id is its folder's name: no separator, no leading dot, so it cannot lead elsewhere."""

VOTES_FILE = "votes.db"
"""The votes, and the beginning of the names of SQLite's own files beside them."""

OWN_FOLDERS = frozenset({
    "classes", "comparisons", "demonstrations", "rlhf-demo-served", "uploads", "votes",
})  # fmt: skip
"""Folders beside the runs in which the page keeps other things. A copied archive may put files of a
run into them: to delete that run would delete what the page keeps."""

OWN_FILES = frozenset({".backup.json", ".key", ".scheduler"})
"""Files beside the runs that the page keeps, besides the votes."""

NO_FOLDER = re.compile(r"lock|stop|.*\.(json|jsonl|log)")
"""Names that are always files in a run's folder."""

DELETED = ".deleted-"
"""Prefix of a folder that is being deleted."""

MOST_ENTRIES = 1000
"""Files and folders in a run's folder; ours have under 20."""

MOST_RECORD = 2**16
"""Maximum bytes of each small JSON file of a run."""

MOST_TITLE, MOST_TYPED = 60, 1000
"""Maximum characters of a run's title; the first so many of what was typed are looked at."""

STARTED = ("handle", "started_pid")
"""Keys of the job record that name a process."""

ENDED = "ended", "made"
"""Keys of the signed record of a run that has ended here: a copy of it that says that it waits was
changed elsewhere. `made` is the name of an earlier version."""

BEGINNING_SECONDS = 60
"""A run may take this long to write its first files; before, a missing file is no damage."""

DAMAGED = "damaged"
"""The kind and the status of a run whose files do not name them."""


class Phase(StrEnum):
    """The state of a job, as seen from outside."""

    COMMAND_LINE = "command line"
    """Queued without a job: a command in a terminal is about to train in it."""
    WAITING = "waiting"
    COPIED = "copied"
    """Queued, but not by this page: a person must resume it here before it starts."""
    STARTING = "starting"
    """Its process lives and has not taken the run's lock yet."""
    RUNNING = "running"
    DEAD = "dead"
    """Its process is gone and left no final status."""
    ENDED = "ended"
    DAMAGED = "damaged"
    """Its files are unusable, and no process works on it."""


@dataclass(frozen=True)
class Job:
    """A snapshot of a run folder."""

    run: Run
    example: bool
    config: RunConfig
    record: JobRecord
    status: RunStatus
    stopping: StopRequest | None
    phase: Phase
    signed: bool = False
    """Whether this page queued it with these options; it need not be waiting now."""
    address: str = ""
    """Address of the request; empty if this app does not know it."""
    executor: Executor = LOCAL
    """Runs its process."""
    ending: bool = False
    """Whether its process was asked to end and the result is not recorded yet. For a run that this
    page did not queue, only while the process lives: a copied folder may contain anything."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.run.folder.name

    @property
    def title(self) -> str:
        """Its title for people, cleaned, because a copied run may say anything."""
        return clean_title(self.record.get("title", "")) or self.id

    @property
    def handle(self) -> str | None:
        """Its name in the executor; None if nothing was started."""
        return _handle(self.executor, self.record, self.status, self.stopping)

    @property
    def started(self) -> str | None:
        """The handle of the process that this page last started for it; None if it started none."""
        return _handle(self.executor, self.record)

    @property
    def owner(self) -> str | None:
        """Hash of its owner's secret; None for a run of the instructor or the command line."""
        return self.record.get("owner")

    @property
    def queued_at(self) -> float:
        """When it was queued, in seconds since 1970; 0 for a run of the command line."""
        return self.record.get("queued_at", 0.0)

    @property
    def after(self) -> str | None:
        """The id of the run that must finish before it starts."""
        return self.record.get("after")

    @property
    def first(self) -> bool:
        """Whether it is a class's: it then goes before visitors' jobs and has no limits."""
        return self.record.get("first", False)

    @property
    def visitors(self) -> bool:
        """Whether a visitor started it, rather than a class, an instructor or the command line."""
        owned = self.owner is not None and not self.first
        return self.record.get("visitor", owned)  # older versions did not record it

    @property
    def busy(self) -> bool:
        """Whether a process works on it, or is still being ended."""
        return self.phase in (Phase.STARTING, Phase.RUNNING) or self.ending


class JobFolders:
    """The run folders under `root`, and the read-only folders of finished examples."""

    def __init__(
        self, root: Path, examples: Path | None = None, executor: Executor = LOCAL
    ) -> None:
        """Open two folders.

        Raises:
            DataError: the key of `root` cannot be read or created.
        """
        self.root = root.resolve()
        self.examples, self.executor = examples, executor
        self.signer = Signer(self.root)
        self.addresses: dict[
            str, str
        ] = {}  # by run id; never written to a file, so that they stay private
        self.queued_here: set[str] = set()
        """Ids of runs that this app queued or saw in training, and whose end is not signed yet."""
        self._parsed: dict[Path, tuple[tuple[int, int], Any]] = {}

    def find(self, run_id: str) -> Run:
        """Return the run of that id, own ones first.

        Raises:
            JobError: there is none.
        """
        if is_run_id(run_id):
            for parent in filter(None, (self.root, self.examples)):
                if _holds_run(parent / run_id):
                    return Run(parent / run_id)
        raise JobError(f"there is no run {run_id[:80]!r}: it may have been deleted")

    def job(self, run_id: str) -> Job:
        """Return the job of that run.

        Raises:
            JobError: there is none.
        """
        run = self.find(run_id)
        return self._job_of(run, example=run.folder.parent != self.root)

    def own(self) -> list[Job]:
        """Return the jobs of all runs under the root, except those just starting or vanishing.

        Raises:
            JobError: the root itself cannot be read.
        """
        return list(self._jobs_in(self.root, example=False))

    def all(self) -> list[Job]:
        """Return the jobs of own runs, newest first, then those of the examples."""
        shown = sorted(self.own(), key=_age, reverse=True)
        if self.examples is not None and self.examples.is_dir():
            shown += sorted(self._jobs_in(self.examples, example=True), key=_age, reverse=True)
        return shown

    def open_folders(self, run: Run) -> None:
        """Let the folders of a copied run be changed: an archive may have kept them read-only.

        What a link leads to stays as it is, also if the run's folder is one.
        """
        _opened(run.folder)

    def delete(self, run: Run) -> None:
        """Remove a run's folder, or a link to one; others see it disappear in one step."""
        if run.folder.is_symlink():
            run.folder.unlink()
            return
        away = self.root / f"{DELETED}{run.folder.name}-{time.time_ns()}"
        os.replace(run.folder, away)
        remove(away)

    def finish_deleting(self) -> None:
        """Remove folders that a killed app had begun to delete."""
        for leftover in self.root.glob(f"{DELETED}*"):
            remove(leftover)

    def _jobs_in(self, parent: Path, *, example: bool) -> Iterator[Job]:
        try:
            folders = set(parent.iterdir())
        except OSError as error:
            raise JobError(
                f"the folder of the runs cannot be read ({error.strerror}): ask the owner of "
                "this page"
            ) from None
        for path in list(self._parsed):
            if path.parent.parent == parent and path.parent not in folders:
                self._parsed.pop(path, None)
        for folder in folders:
            if is_run_id(folder.name) and _holds_run(folder):
                with suppress(JobError):
                    yield self._job_of(Run(folder), example=example)

    def _job_of(self, run: Run, *, example: bool) -> Job:
        """Return the job of a run, damaged or not.

        Raises:
            JobError: the run is just starting or vanishing.
        """
        try:
            _check_plain(run.folder)
            config: RunConfig = self._required(run, "config.json")
            record: JobRecord = self._read(run.folder / "job.json")
            status: RunStatus = self._required(run, "status.json")
            stopping = self._stop_request(run)
            phase = self._phase(run, record, status, stopping)
            if phase is Phase.DEAD:
                # Read again: it may have started or ended between the two reads.
                status = self._required(run, "status.json")
                phase = self._phase(run, record, status, stopping)
        except DataError as error:
            return self._damaged(run, str(error), example=example)
        signed = self.signer.has_signed(run.folder.name, config, record)
        if phase is Phase.WAITING and not (signed and record.keys().isdisjoint(ENDED)):
            phase = Phase.COPIED
        ending = stopping is not None and (
            signed or self._has_process(run, record, status, stopping)
        )
        return Job(
            run, example, config, record, status, stopping, phase, signed,
            address=self.addresses.get(run.folder.name, ""),
            executor=self.executor,
            ending=ending,
        )  # fmt: skip

    def _required(self, run: Run, name: str) -> Any:
        record = self._read(run.folder / name)
        if record:
            return record
        try:
            age = time.time() - run.folder.stat().st_mtime
        except OSError:
            age = 0.0
        if age < BEGINNING_SECONDS:
            raise JobError(f"run {run.folder.name} is just starting or was just deleted: try again")
        raise DataError(f"{name} is missing")

    def _stop_request(self, run: Run) -> StopRequest | None:
        """Read stopping.json; ignore a damaged one, which is no reason to lose the run."""
        try:
            return self._read(run.folder / "stopping.json") or None
        except DataError:
            return None

    def _damaged(self, run: Run, why: str, *, example: bool) -> Job:
        record: JobRecord
        try:
            record = self._read(run.folder / "job.json")
            changed_at = time.gmtime(run.folder.stat().st_mtime)
        except (DataError, OSError):
            record = {}
            changed_at = time.gmtime(0)
        alive = run.alive()  # then its trainer puts the status right when it ends
        status: RunStatus = {
            "status": Status.RUNNING if alive else DAMAGED,
            "message": f"{why}: restore the file or delete the run",
        }
        created_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", changed_at)
        config: RunConfig = {"kind": DAMAGED, "options": {}, "created_at": created_at}
        stopping = self._stop_request(run) if alive else None
        phase = Phase.RUNNING if alive else Phase.DAMAGED
        return Job(run, example, config, record, status, stopping, phase, executor=self.executor)

    def _phase(
        self, run: Run, record: JobRecord, status: RunStatus, stopping: StopRequest | None
    ) -> Phase:
        if status["status"] not in (Status.QUEUED, Status.RUNNING):
            return Phase.ENDED
        if status["status"] == Status.RUNNING and run.alive():
            return Phase.RUNNING
        handle = _handle(self.executor, record, status, stopping)
        if handle is None:
            return Phase.WAITING if record else Phase.COMMAND_LINE
        if not self.executor.alive(handle, run.folder):
            return Phase.DEAD
        return Phase.STARTING if status["status"] == Status.QUEUED else Phase.RUNNING

    def _has_process(
        self, run: Run, record: JobRecord, status: RunStatus, stopping: StopRequest
    ) -> bool:
        handle = _handle(self.executor, record, status, stopping)
        return run.alive() or (handle is not None and self.executor.alive(handle, run.folder))

    def _read(self, path: Path) -> Any:
        """Read a run's JSON file, {} if there is none; parse it only after it was replaced.

        Raises:
            DataError: it cannot be read, or does not have the right contents.
        """
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns)
            known = self._parsed.get(path)
            if known is None or known[0] != version:
                known = self._parsed[path] = version, check(path.name, _parse(path))
        except FileNotFoundError:
            self._parsed.pop(path, None)
            return {}
        except OSError as error:
            raise DataError(f"{path.name} cannot be read ({error.strerror})") from None
        return known[1]


def _parse(path: Path) -> Any:
    try:
        return read_json(path, MOST_RECORD)
    except DataError:  # whose sentence names the folder
        raise DataError(f"{path.name} is not valid JSON") from None


def _check_plain(folder: Path) -> None:
    """Refuse a run with a pipe, a device or a link, through which it could change other files.

    A folder in place of a file could not be replaced or removed. The run's folder itself may be a
    link, for example to another disk.

    Raises:
        DataError: the folder contains one, or more than MOST_ENTRIES files: every list of runs
            looks at all of them.
    """
    with suppress(OSError), os.scandir(folder) as entries:  # readers of the files report it
        for number, entry in enumerate(entries):
            if number == MOST_ENTRIES:
                raise DataError(f"the folder holds more than {MOST_ENTRIES} files")
            mode = entry.stat(follow_symlinks=False).st_mode
            is_folder = stat.S_ISDIR(mode) and not NO_FOLDER.fullmatch(entry.name)
            if not (stat.S_ISREG(mode) or is_folder):
                raise DataError(f"{entry.name[:40]} is not a regular file or folder")


def is_run_id(name: str) -> bool:
    """Say whether a folder of this name can be a run's."""
    ours = name in OWN_FOLDERS or name.startswith(VOTES_FILE)
    return bool(RUN_ID.fullmatch(name)) and not ours


def _holds_run(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in ("config.json", "status.json", "job.json"))
    except OSError:  # its contents may not be listed: shown as damaged
        return True


def _opened(top: Path) -> list[Path]:
    """Let a folder and all folders under it be changed; return them as `folders_under` does."""
    folders: list[Path] = []
    for folder in folders_under(top):
        folder.chmod(0o700)  # before its contents are listed
        folders.append(folder)
    return folders


def remove(top: Path) -> None:
    """Remove what an archive may have brought, however deep, read-only, or not a folder at all.

    What a link leads to stays; so does what cannot be removed.
    """
    with suppress(OSError):
        if top.is_symlink() or not top.is_dir():
            top.unlink()
        for folder in reversed(_opened(top)):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def clean_title(title: str) -> str:
    """Remove invisible characters (one may reverse the text) and double blanks; cut the end."""
    visible = "".join(letter if letter.isprintable() else " " for letter in title[:MOST_TYPED])
    return " ".join(visible.split())[:MOST_TITLE].rstrip()


def request_stop(job: Job, message: str, *, again: bool = False) -> None:
    """Ask a job's process to end; the scheduler makes sure that it does.

    Args:
        job: a busy job.
        message: the run's status message afterwards.
        again: put the job back in the queue afterwards, unless it is also asked to end for good.
    """
    if not job.stopping or (job.stopping.get("again") and not again):
        request: StopRequest = {
            "asked_at": time.monotonic(),
            "handle": job.handle,
            "message": message,
            "again": again,
        }
        write_json(job.run.folder / "stopping.json", request)
    job.run.request_stop()


def requeue(job: Job, message: str = "", record: JobRecord | None = None) -> bool:
    """Queue a job that no process works on, if its files are unchanged since `job` was read.

    Args:
        job: a job that stopped or failed, or whose process is gone.
        message: its status message while it waits.
        record: the new job record. None keeps the old one, with its signature or without one.

    Returns:
        True if it was queued; if not, read the job again.
    """
    with locked(job) as free:
        if not free:
            return False
        for name in ("stop", "stopping.json"):
            (job.run.folder / name).unlink(missing_ok=True)
        kept = job.record if record is None else record
        waiting = {key: value for key, value in kept.items() if key not in STARTED}
        write_json(job.run.folder / "job.json", waiting)
        job.run.set_status(Status.QUEUED, message=message)
        return True


def needs(other: Job, job: Job) -> bool:
    """Say whether `other` waits for `job`, or names its folder or a file in it in an option."""
    folder = job.run.folder
    return other.after == job.id or any(
        isinstance(value, str) and (REPOSITORY / value).is_relative_to(folder)
        for value in other.config["options"].values()
    )


def finish(job: Job, status: Status, message: str) -> bool:
    """Write a final status, if no process works on the job and its files are unchanged.

    Returns:
        True if it was written; if not, read the job again.
    """
    with locked(job) as free:
        if not free:
            return False
        facts = {"started_at": job.status["started_at"]} if "started_at" in job.status else {}
        job.run.set_status(status, message=message, **facts)
        return True


def exit_reason(job: Job) -> str:
    """Say why the process of a dead job ended."""
    before, now = job.record.get("oom_kills"), exit_reasons.oom_kills()
    return exit_reasons.why(
        None if job.handle is None else job.executor.exit_code(job.handle),
        job.executor.log_end(job.run.folder),
        oom_killed=None if before is None or now is None else now > before,
    )


@contextmanager
def locked(job: Job) -> Generator[bool]:
    """Hold the run's lock for a moment, to change its files.

    Yields False if another process works on the run, or has changed it since `job` was read.
    """
    with open(job.run.folder / "lock", "a") as lock:
        yield take_lock(lock) and all(
            _still(job.run.folder / name, seen)
            for name, seen in (("status.json", job.status), ("job.json", job.record))
        )


def _still(path: Path, seen: JobRecord | RunStatus) -> bool:
    try:
        return (check(path.name, _parse(path)) if path.is_file() else {}) == seen
    except DataError:
        return False


def _handle(
    executor: Executor,
    record: JobRecord,
    status: RunStatus | None = None,
    stopping: StopRequest | None = None,
) -> str | None:
    # status.json names the process only while it runs, stopping.json until it is gone. Older
    # versions wrote numbers in all three files.
    pid = status and status.get("pid")
    candidates = (
        executor.handle_of(pid) if pid else None,
        record.get("handle"),
        record.get("started_pid"),
        stopping and (stopping.get("handle") or stopping.get("pid")),
    )
    return next((str(handle) for handle in candidates if handle), None)


def _age(job: Job) -> tuple[str, float]:
    return job.config["created_at"], job.queued_at
