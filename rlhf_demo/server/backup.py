"""Copy runs and votes to a private data set of the Hub, and restore them on a new machine.

A Space that has slept starts with an empty disk. So with RLHF_DEMO_BACKUP=OWNER/NAME, two threads
of the page copy what has changed: one the votes, at most a minute after they were acknowledged, the
other the runs that have ended, and the saved states of those that have not. A page that starts with
an empty folder first restores what the data set holds.

    backup.json         the id of the installation that the copies come from
    votes.db            the database of the votes, as SQLite copies it
    runs/RUN/           the files of a run
    classes/            the records of the classes
    keys/               the keys by which runs and the instructor's browser are known again
    earlier/ID/         votes of another installation that wrote to the same data set before

A Hub that fails costs nothing but the copies: the page goes on, and the log says so once a minute.
Two installations never overwrite each other's votes: the second one first moves what it finds to
`earlier/`.
"""

import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DemoError, HubError
from rlhf_demo.files import is_record, read_json, write_json
from rlhf_demo.hub import repositories
from rlhf_demo.jobs.job import STARTED, is_run_id
from rlhf_demo.jobs.signature import KEY_FILE
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.class_records import FOLDER as CLASSES
from rlhf_demo.server.instructor import KEY_FILE as INSTRUCTOR_KEY
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.database import Snapshots, database_url, sqlite_file

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
"""Time between two looks for new votes."""
RUNS_TICK_SECONDS = 15.0
"""Time between two looks for changed runs: each looks at every file of every run."""
VOTES_GAP = 40.0
"""Seconds between two copies of the votes. With the time of an upload, no acknowledged vote waits
for more than a minute."""
RUNS_GAP = 180.0
"""Seconds between two copies of runs. Together that is at most 110 commits an hour, however many
runs change: beyond some 120, the Hub refuses those of the votes, too."""
LOG_SECONDS = 60.0
"""Time between two lines in the log about a Hub that fails."""
SHORTEN_AFTER = 50
"""Copies of the votes after which the data set's history is dropped: it holds what was deleted."""
CLOSE_SECONDS = 8.0
"""Time for the last copies of a page that ends."""
TRIES, PAUSE_SECONDS = 3, 2.0
"""How often a starting page asks a Hub that does not answer, and how long it waits in between."""
MOST_RUN = 400e6
"""Bytes of a run that is copied; a larger one stays here only."""
MOST_TOGETHER = 50e6
"""Bytes from which on the other runs have to wait for the next commit: the Hub's client holds its
text files in memory, three times over."""
DISK_SHARE = 0.8
"""Of the free disk that restoring may take."""

ID_FILE, VOTES = "backup.json", "votes.db"
LOCAL_ID = ".backup.json"
RESTORING = ".restoring"
"""Folder in the folder of runs for what arrives; it holds the file COMPLETE once all of it has."""
COMPLETE = "complete"
KEYS = {"key": KEY_FILE, "instructor.key": INSTRUCTOR_KEY}
"""Name in the data set -> name in the folder of runs."""
NOT_KEPT = {"lock", "stop", "stopping.json"}
"""Files of a run that mean something to a living process only."""

SAVED = "checkpoint.pt"
"""A run's saved state, which is replaced as a whole."""

Stamps = dict[str, tuple[int, int]]
"""File -> its size and time of change."""


@dataclass(frozen=True)
class Sent:
    """What the data set has of a run: the version that was copied, and the names of its files."""

    version: Stamps
    names: set[str]


class Backup:
    """Copies an installation's runs and votes, in two threads of its own."""

    def __init__(self, runs: Path, repository: str, votes: Path | None) -> None:
        """Remember what to copy; nothing is asked of the Hub.

        Args:
            runs: the folder of runs.
            repository: OWNER/NAME of the data set.
            votes: SQLite's file; None if the votes are in another database.
        """
        self.runs, self.repository, self.votes = runs, repository, votes
        self._api: repositories.Api = None
        self._turn = threading.Lock()  # one commit at a time; uploads before it do not wait
        self._sent: dict[str, Sent] = {}
        self._votes_version: int | None = None
        self._copies = 0
        self._ending = threading.Event()
        self._failed: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Start copying."""
        tasks = [("runs", self.copy_runs, RUNS_GAP, RUNS_TICK_SECONDS)]
        if self.votes is not None:
            tasks.append(("votes", self._votes_task(self.votes), VOTES_GAP, TICK_SECONDS))
        for task in tasks:
            thread = threading.Thread(
                target=self._work, args=task, name=f"backup-{task[0]}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def close(self, seconds: float) -> None:
        """Copy what has changed since the last copies, for at most so many seconds, and end."""
        self._ending.set()
        deadline = time.monotonic() + seconds
        for thread in reversed(self._threads):  # the votes first
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, name: str, task: Callable[[], bool], gap: float, tick: float) -> None:
        """Do a task again and again, and once more at the end.

        Args:
            gap: seconds of rest after a copy.
            tick: seconds of rest if there was nothing to copy.
        """
        while True:
            ending = self._ending.is_set()
            copied = self._tried(name, task)
            if ending:
                return
            self._ending.wait(gap if copied else tick)

    def _tried(self, name: str, task: Callable[[], bool]) -> bool:
        """Do a task; return whether the Hub was asked for anything."""
        try:
            return task()
        except Exception as error:  # noqa: BLE001  (nothing here may end the page's copies)
            known = isinstance(error, (DemoError, OSError))
            now = time.monotonic()
            if now - self._failed.get(name, -LOG_SECONDS) >= LOG_SECONDS:
                self._failed[name] = now
                words = str(error) if known else f"{type(error).__name__}: {error}"
                log.warning("%s: nothing was copied to %s: %s", name, self.repository, words)
            return True

    # -- votes -------------------------------------------------------------------------------------

    def _votes_task(self, file: Path) -> Callable[[], bool]:
        snapshots: list[Snapshots] = []  # made in the thread that uses it

        def task() -> bool:
            if not snapshots:
                snapshots.append(Snapshots(file))
            return self.copy_votes(snapshots[0])

        return task

    def copy_votes(self, snapshots: Snapshots) -> bool:
        """Copy the votes if they have changed; return whether they had.

        Raises:
            DemoError: the Hub fails.
            OSError: the database cannot be copied.
        """
        version = snapshots.version()
        if version == self._votes_version:
            return False
        with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
            copy = Path(made, VOTES)
            snapshots.copy(copy)
            files = {VOTES: copy} | self._small_files()
            self._commit("Copy the votes", files)
        self._votes_version = version
        self._copies += 1
        if self._copies % SHORTEN_AFTER == 0:
            with self._turn:
                repositories.forget_history(self._api, self.repository, "dataset")
        return True

    def _small_files(self) -> dict[str, Path]:
        """Return the keys, and the records of the classes."""
        files = {f"keys/{name}": self.runs / file for name, file in KEYS.items()}
        records = (self.runs / CLASSES).glob("*/*.json")
        files |= {path.relative_to(self.runs).as_posix(): path for path in records}
        return {name: path for name, path in files.items() if _is_plain(path)}

    # -- runs --------------------------------------------------------------------------------------

    def copy_runs(self) -> bool:
        """Copy the runs that have changed, and remove deleted ones; return whether there were any.

        Raises:
            DemoError: the Hub fails.
        """
        there = {run.folder.name: run for run in _runs(self.runs)}
        gone = [run_id for run_id in self._sent if run_id not in there]
        remove = [f"runs/{run_id}/" for run_id in gone]
        files: dict[str, Path] = {}
        size = 0
        sent: dict[str, Sent] = {}
        with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
            for run_id in sorted(there, key=lambda run_id: _changed_at(there[run_id])):
                try:
                    taken = self._take(there[run_id], Path(made, run_id))
                except FileNotFoundError:  # it is being changed: the next round sees the result
                    continue
                if taken is None:
                    continue
                known = self._sent[run_id].names if run_id in self._sent else set[str]()
                copied = {f"runs/{run_id}/{name}": Path(made, run_id, name) for name in taken.names}
                files |= copied
                remove += [f"runs/{run_id}/{name}" for name in sorted(known - taken.names)]
                sent[run_id] = taken
                size += sum(path.stat().st_size for path in copied.values())
                if size > MOST_TOGETHER:
                    break
            if not (files or remove):
                return False
            self._commit("Copy the runs", files, remove)
        for run_id in gone:
            del self._sent[run_id]
        self._sent |= sent
        return True

    def _take(self, run: Run, target: Path) -> Sent | None:
        """Copy a run's files into a folder; return None if there is nothing new to send."""
        files = _files(run)
        version, known = _version(run, files), self._sent.get(run.folder.name)
        if not version or (known and known.version == version):
            return None
        if sum(size for size, _ in files.values()) > MOST_RUN:
            return None
        # The saved state first: what follows may then be newer, which resuming undoes.
        for name in sorted(files, key=lambda name: name != SAVED):
            _copy_whole_lines(run.folder / name, target / name)
        if _version(run, _files(run)) != version:
            return None  # it has changed meanwhile: the next round sees the result
        return Sent(version, set(files))

    # -- the data set ------------------------------------------------------------------------------

    def _commit(
        self, message: str, files: dict[str, Path], remove: list[str] | None = None
    ) -> None:
        with self._turn:
            if self._api is None:
                self._api = self._meet()
        repositories.commit(
            self._api, self.repository, "dataset", message, files, remove or [], turn=self._turn
        )

    def _meet(self) -> repositories.Api:
        """Return the Hub's client, once this installation may write to the data set.

        Raises:
            DemoError: the Hub fails, or the data set is public.
        """
        api = repositories.open_hub()
        name = self.repository
        repositories.create(api, name, "dataset", private=True)
        if not repositories.is_private(api, name, "dataset"):
            raise HubError(
                f"the dataset {name} is public, and votes hold nicknames: make it private"
            )
        commit, files = repositories.newest(api, name, "dataset")
        mine = _local_id(self.runs)
        theirs = _remote_id(api, name, commit) if ID_FILE in files else None
        if theirs != mine:
            aside = (
                f"earlier/{theirs or 'unknown'}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
            )
            copies = {f"{aside}/{VOTES}": VOTES} if VOTES in files else {}
            if copies:
                log.warning("%s holds votes of another installation: now in %s", name, aside)
            with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
                write_json(Path(made, ID_FILE), {"id": mine})
                mark = {ID_FILE: Path(made, ID_FILE)}
                repositories.commit(api, name, "dataset", "Begin", mark, copies=copies)
        else:
            for path in files:
                folder, _, rest = path.partition("/")
                if folder == "runs":  # sent by an earlier process; compared by content once
                    run_id, _, inside = rest.partition("/")
                    self._sent.setdefault(run_id, Sent({}, set())).names.add(inside)
        return api


def begin(settings: Settings) -> Backup | None:
    """Start copying what the settings name; return None if they name no data set."""
    if not settings.backup:
        return None
    backup = Backup(settings.runs, settings.backup, sqlite_file(database_url(settings.runs)))
    backup.open()
    return backup


# -- what is copied --------------------------------------------------------------------------------


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _runs(root: Path) -> Iterator[Run]:
    """Yield the runs in a folder that have begun."""
    for folder in root.iterdir():
        begun = all(_is_plain(folder / name) for name in ("config.json", "status.json"))
        if is_run_id(folder.name) and begun and not folder.is_symlink():
            yield Run(folder)


def _changed_at(run: Run) -> float:
    """Return when a run's status changed: whoever changes runs again and again has to wait."""
    try:
        return (run.folder / "status.json").stat().st_mtime
    except OSError:  # it is being deleted
        return 0.0


def _has_ended(run: Run) -> bool:
    try:
        status: Any = read_json(run.folder / "status.json")
    except DemoError:
        return False
    ended = Status.FINISHED, Status.FAILED, Status.STOPPED
    return is_record(status) and status.get("status") in ended


def _files(run: Run) -> Stamps:
    """Return the files of a run that are copied."""
    stamps: Stamps = {}
    for parent, folders, files in os.walk(run.folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if name not in NOT_KEPT and not name.startswith(".") and _is_plain(path):
                facts = path.stat()
                inside = path.relative_to(run.folder).as_posix()
                stamps[inside] = facts.st_size, facts.st_mtime_ns
    return stamps


def _version(run: Run, files: Stamps) -> Stamps:
    """Return what tells a run from its later states; nothing if there is nothing to copy yet.

    Of a run that has not ended, only a newly saved state counts.
    """
    if _has_ended(run):
        return files
    return {SAVED: files[SAVED]} if SAVED in files else {}


def _copy_whole_lines(source: Path, target: Path) -> None:
    """Copy a file; of one that is being appended to, only its complete lines."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if target.suffix == ".jsonl":
        content = target.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            target.write_bytes(whole)


def _local_id(runs: Path) -> str:
    """Return this installation's id; make one if it has none."""
    path = runs / LOCAL_ID
    if path.is_file():
        record: Any = read_json(path)
        if is_record(record) and isinstance(record.get("id"), str):
            return record["id"]
    made = secrets.token_hex(8)
    write_json(path, {"id": made})
    return made


def _remote_id(api: repositories.Api, name: str, commit: str) -> str | None:
    with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
        repositories.download(api, name, "dataset", commit, [ID_FILE], Path(made))
        record: Any = read_json(Path(made, ID_FILE))
    known = record.get("id") if is_record(record) else None
    return known if isinstance(known, str) and known.isalnum() else None


# -- restoring -------------------------------------------------------------------------------------


def restore(runs: Path, repository: str) -> bool:
    """Restore what the data set holds, if the folder of runs is empty; return whether it did.

    A Hub that fails is a line in the log: the page then starts empty, and sets the data set's votes
    aside before it writes its own.
    """
    arriving = runs / RESTORING
    if (arriving / COMPLETE).is_file():  # killed between two moves
        _move_in(arriving, runs)
        return True
    shutil.rmtree(arriving, ignore_errors=True)
    if runs.is_dir() and ((runs / VOTES).exists() or any(_runs(runs))):
        return False
    for left in reversed(range(TRIES)):
        try:
            if not _fetch(arriving, repository):
                return False
            break
        except (DemoError, OSError) as error:
            shutil.rmtree(arriving, ignore_errors=True)
            if not left:
                log.warning("nothing was restored from %s: %s", repository, error)
                return False
            time.sleep(PAUSE_SECONDS)
    _move_in(arriving, runs)
    return True


def _fetch(arriving: Path, repository: str) -> bool:
    """Fetch the files; return whether there were any.

    Raises:
        DemoError, OSError: the Hub or the disk fails.
    """
    api = repositories.open_hub()
    commit, sizes = repositories.newest(api, repository, "dataset")
    wanted = {
        name: size
        for name, size in sizes.items()
        if name in (ID_FILE, VOTES) or name.startswith(("keys/", f"{CLASSES}/", "runs/"))
    }
    if ID_FILE not in wanted:
        return False
    arriving.mkdir(parents=True)
    if sum(wanted.values()) > DISK_SHARE * shutil.disk_usage(arriving).free:
        log.warning("the runs in %s do not fit on this disk: only votes are restored", repository)
        wanted = {name: size for name, size in wanted.items() if not name.startswith("runs/")}
    repositories.download(api, repository, "dataset", commit, list(wanted), arriving)
    for folder in (arriving / "runs").glob("*"):
        _prepare(folder)
    (arriving / COMPLETE).touch()
    return True


def _prepare(folder: Path) -> None:
    """Let a restored run that had not ended continue: its process is not on this machine.

    A job of this page returns to the queue; a run of the command line is stopped.
    """
    if not all((folder / name).is_file() for name in ("config.json", "status.json")):
        shutil.rmtree(folder)
        return
    job, status = folder / "job.json", Run(folder)
    if _has_ended(status):
        return
    record: Any = read_json(job) if job.is_file() else None
    if is_record(record):
        started = {*STARTED, "started_at", "oom_kills"}
        write_json(job, {key: value for key, value in record.items() if key not in started})
        status.set_status(Status.QUEUED, message="it continues on another machine")
    else:
        status.set_status(Status.STOPPED, message="its machine ended; --resume continues it")


def _move_in(arriving: Path, runs: Path) -> None:
    """Move what has arrived into place, the votes last; if killed, the next start continues."""
    moves = [(path, runs / path.name) for path in sorted((arriving / "runs").glob("*"))]
    moves += [(arriving / CLASSES, runs / CLASSES)]
    moves += [(arriving / "keys" / name, runs / file) for name, file in KEYS.items()]
    moves += [(arriving / ID_FILE, runs / LOCAL_ID), (arriving / VOTES, runs / VOTES)]
    for source, target in moves:
        if source.exists():
            os.replace(source, target)
    shutil.rmtree(arriving)
