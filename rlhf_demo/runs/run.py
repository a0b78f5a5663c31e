"""One run is one folder: its options, its status, its measurements, its results.

    config.json      kind of run, options, versions, commit; written once, never edited
    status.json      Status, message, times, step; written only by the holder of `lock`
    metrics.jsonl    one row a step, append-only; readers skip an unfinished last line
    samples.jsonl    texts of some steps, token by token; append-only
    distributions.jsonl  PPO: the distributions behind the means of those steps; append-only
    report.json      what the finished run measured of itself
    train.log        the log of the process
    models.json      fingerprints of the models that it began with
    checkpoint.pt    state for --resume; replaced whole
    model/           the result, plain transformers or peft files
    steps/STEP/      the model after some steps, if the trainer keeps it
    lock, stop       held while the trainer lives; created to ask it to stop

This module knows folders and files only: no torch, no page. Writers replace files whole (files.py),
so a reader never sees half a file and a kill never leaves one.
"""

import fcntl
import importlib.metadata
import json
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict

from rlhf_demo.config.stages import Task
from rlhf_demo.errors import DemoError, JobError
from rlhf_demo.files import (
    LEFTOVER,
    OLD,
    Row,
    is_record,
    leads_elsewhere,
    open_plain,
    read_json,
    read_jsonl,
    short_name,
    write_json,
    write_text,
)
from rlhf_demo.paths import REPOSITORY

JOB = "RLHF_DEMO_JOB"
"""Environment variable of a process that the page started: the folder of its run."""

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets")

BEGAN_WITH = "models.json"
"""File with the fingerprints of the models that a run began with (cli/checks.py)."""

BOOKKEEPING = {"config.json", "status.json", "train.log", "lock", BEGAN_WITH}
"""Files in a run's folder before the run has produced anything."""

MOST_MESSAGE = 10_000
"""Characters of an error in status.json; the log has all of them."""

MADE = {"model", "steps", "checkpoints", "checkpoint.pt", "report.json", "pairs.jsonl",
        "metrics.jsonl", "samples.jsonl", "distributions.jsonl", "proxy",
        "best_of_n.json"}  # fmt: skip
"""Files and folders that a run creates, replaces or removes."""

MOST_SAVED_STEPS = 10_000
"""Entries of the folder of saved steps that are read; more can only be in a copied run."""
STEP = re.compile(r"[1-9][0-9]{0,8}")
"""Name of a saved step's folder. `str.isdigit` would also accept ², which is not a number."""


def started_by_hand() -> bool:
    """Say whether a person started this process in a terminal, rather than the page.

    Only then may an option name a Python function, because the page also trains in folders that
    come from someone else.
    """
    return JOB not in os.environ


class Status(StrEnum):
    """The status of a run: queued -> running -> finished | failed | stopped."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class RunConfig(Task):
    """Contents of config.json."""

    versions: NotRequired[dict[str, str]]  # of PACKAGES
    commit: NotRequired[str]  # of this repository
    created_at: str  # UTC: 2026-01-31T09:00:00Z


class RunStatus(TypedDict):
    """Contents of status.json."""

    status: str  # a Status
    updated_at: NotRequired[str]  # UTC: 2026-01-31T09:00:00Z
    message: NotRequired[str]
    pid: NotRequired[int | None]  # of the trainer, while it runs
    started_at: NotRequired[str]  # UTC


class StopRequested(Exception):
    """Raised inside a trainer at the next safe point after `Run.request_stop`."""


class Run:
    """A run folder. Any number of readers; one writer, which holds the lock."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.model_folder = self.folder / "model"
        self.steps_folder = self.folder / "steps"
        self.checkpoint_path = self.folder / "checkpoint.pt"
        self._ending = "finished"
        self._earlier: set[str] | None = None  # files there before; None = no folder

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    # -- beginning ---------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: str | Path, kind: str, options: dict[str, Any]) -> "Run":
        """Create the folder, for its owner alone, and write config.json.

        A folder that a person made before keeps its mode.

        Raises:
            JobError: the folder already holds a run, or files that a run would replace or remove.
        """
        run = cls(folder)
        if run.exists():
            raise JobError(
                f"{run.folder} already holds a {run.config['kind']} run: "
                "add --resume to continue it, or choose another folder"
            )
        if run.folder.is_dir():
            run._earlier = {path.name for path in run.folder.iterdir()}
            if taken := min(run._earlier & MADE, default=None):
                raise JobError(f"{run.folder} holds other files ({taken}): name a new folder")
        # Its files get the umask's modes: one `chmod` of the folder shares the run.
        run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = {
            "kind": kind,
            "options": options,
            "versions": _versions(),
            "commit": _commit(),
            "created_at": _now(),
        }
        write_json(run.folder / "config.json", config)
        run.set_status(Status.QUEUED)
        return run

    def discard_unused(self) -> None:
        """Remove what `create` made if the run ended before it produced anything."""
        added = [path for path in self.folder.iterdir() if path.name not in (self._earlier or ())]
        empty = {path.name for path in added if path.suffix == ".jsonl" and not path.stat().st_size}
        if {path.name for path in added} - BOOKKEEPING - empty or self.alive():
            return
        for path in added:
            path.unlink()
        if self._earlier is None:
            self.folder.rmdir()

    def exists(self) -> bool:
        """Say whether the folder holds a run."""
        return (self.folder / "config.json").is_file()

    @property
    def config(self) -> RunConfig:
        """Contents of config.json.

        Raises:
            JobError: there is no run in this folder.
        """
        if not self.exists():
            raise JobError(
                f"{self.folder.name} holds no run (no config.json): check the folder's name"
            )
        return _record(self.folder / "config.json", "kind", "options", "created_at")

    # -- status ------------------------------------------------------------------------------------

    @property
    def status(self) -> RunStatus:
        """The newest status row; a run whose status is running, without a lock, has failed."""
        path = self.folder / "status.json"
        status: RunStatus = _record(path, "status") if path.is_file() else {"status": Status.QUEUED}
        if status["status"] == Status.RUNNING and not self.alive():
            # Read again: it may have ended between the two reads.
            status = _record(path, "status")
            if status["status"] == Status.RUNNING:
                status |= {
                    "status": Status.FAILED,
                    "message": "the process ended unexpectedly; --resume continues from the last "
                    "saved state",
                }
        return status

    def set_status(self, status: Status, **facts: Any) -> None:
        """Write status.json: the status, the time, and further facts."""
        write_json(self.folder / "status.json", {"status": status, "updated_at": _now(), **facts})

    def alive(self) -> bool:
        """Say whether a process holds the run's lock (the kernel releases it even on SIGKILL)."""
        try:
            if leads_elsewhere(self.folder / "lock"):  # then another file is locked
                return False
            with open_plain(self.folder / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # usually there is no such file
            return False
        return False

    @contextmanager
    def recording(self) -> Generator[None]:
        """Hold the lock while training, and write the right status however the block ends.

        The status is running inside; finished, stopped (StopRequested, Ctrl-C) or failed
        afterwards. StopRequested ends here; every other exception reaches the caller.

        Raises:
            JobError: another process is training in this folder, or the folder holds a link.
        """
        self.refuse_links()
        with open(self.folder / "lock", "a") as lock:
            if not take_lock(lock):
                raise JobError(
                    f"{self.folder.name} is in use by another process: stop that process first"
                )
            self._clear_leftovers()
            (self.folder / "stop").unlink(missing_ok=True)
            started_at = _now()
            self.set_status(Status.RUNNING, pid=os.getpid(), started_at=started_at)
            try:
                with self._logging():
                    yield
            except StopRequested:
                self.set_status(
                    Status.STOPPED,
                    started_at=started_at,
                    message="stopped on request; --resume continues it",
                )
            except KeyboardInterrupt:
                self.set_status(
                    Status.STOPPED,
                    started_at=started_at,
                    message="interrupted; --resume continues it",
                )
                raise
            except BaseException as error:
                message = (
                    str(error)
                    if isinstance(error, DemoError)
                    else f"{type(error).__name__}: {error}"
                )
                self.set_status(
                    Status.FAILED, started_at=started_at, message=message[:MOST_MESSAGE]
                )
                raise
            else:
                self.set_status(Status.FINISHED, started_at=started_at, message=self._ending)
                self.checkpoint_path.unlink(missing_ok=True)  # nothing is left to resume

    def end_early(self, reason: str) -> None:
        """Record why a run ended by itself before its last step, as its status message."""
        self._ending = reason

    def refuse_links(self) -> None:
        """Refuse a link: through it, files elsewhere would be changed, removed or published.

        Raises:
            JobError: the folder holds one. An archive from someone else may have brought it.
        """
        for parent, folders, files in os.walk(self.folder):
            for name in folders + files:
                if leads_elsewhere(Path(parent, name)):
                    raise JobError(
                        f"{self.folder.name} holds the link {name!r}: put a copy of the file in "
                        "its place, or remove it"
                    )

    def _clear_leftovers(self) -> None:
        """Clean up after a killed writer: half-made files, a folder moved but not replaced."""
        for leftover in self.folder.iterdir():
            match = LEFTOVER.fullmatch(leftover.name)
            if not match:
                continue
            if match["ending"] == OLD and not (self.folder / match["name"]).exists():
                os.replace(leftover, self.folder / match["name"])
            elif leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        for leftover in self.steps_folder.glob(".*"):
            shutil.rmtree(leftover)  # the trainer repeats that step and writes it again

    @contextmanager
    def _logging(self) -> Generator[None]:
        """Copy this package's log lines into train.log inside the block."""
        handler = logging.FileHandler(self.folder / "train.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("rlhf_demo")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        except StopRequested:
            logger.info("stopped on request")
            raise
        except Exception:
            logger.exception("the run ended with an error")
            raise
        finally:
            logger.removeHandler(handler)
            handler.close()

    # -- saved steps -------------------------------------------------------------------------------

    def step_folder(self, step: int) -> Path:
        """Return the folder of the model after this step; it need not exist."""
        return self.steps_folder / str(step)

    def saved_steps(self) -> list[int]:
        """List the steps whose model was kept, in order, without half-written folders."""
        try:
            with os.scandir(self.steps_folder) as entries:
                names = [entry.name for entry in islice(entries, MOST_SAVED_STEPS)]
        except OSError:  # usually there is no such folder
            return []
        return sorted(int(name) for name in names if STEP.fullmatch(name))

    # -- stopping ----------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask the trainer to save and end at its next safe point."""
        (self.folder / "stop").touch()

    @property
    def stop_requested(self) -> bool:
        """Whether the trainer was asked to stop."""
        return (self.folder / "stop").exists()

    def check_stop(self) -> None:
        """Raise StopRequested after a stop request; trainers call this between pieces of work."""
        if self.stop_requested:
            raise StopRequested

    # -- rows --------------------------------------------------------------------------------------

    def append(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows to NAME.jsonl in one write, and flush them to the system."""
        with open(self.folder / f"{name}.jsonl", "a", encoding="utf-8") as file:
            file.write(
                "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
            )

    def read(self, name: str) -> list[Row]:
        """Read NAME.jsonl without an unfinished last line, which is still being written.

        It reads the whole file, however large it is, so only trainers call it, whose memory is
        watched. Others read a run's rows with `runs.tail`.

        Raises:
            DataError: a line before the last is not JSON.
        """
        path = self.folder / f"{name}.jsonl"
        return read_jsonl(path) if path.is_file() else []

    def report(self) -> Any:
        """Return the report of a finished run, as its kind writes it; None if it wrote none."""
        path = self.folder / "report.json"
        return read_json(path) if path.is_file() else None

    def rewind(self, step: int) -> None:
        """Drop the rows of steps after `step`, so that a resumed run writes each step once."""
        for name in ("metrics", "samples", "distributions"):
            path = self.folder / f"{name}.jsonl"
            if not path.is_file():  # each kind of run writes only some of these files
                continue
            kept = [row for row in self.read(name) if row["step"] <= step]
            lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in kept]
            write_text(path, "".join(lines))


def list_runs(root: str | Path) -> list[Run]:
    """Find the runs directly under `root` and one level below, oldest first, damaged ones last."""
    root = Path(root)
    configs = [
        *root.glob("config.json"),
        *root.glob("*/config.json"),
        *root.glob("*/*/config.json"),
    ]
    runs = [Run(path.parent) for path in configs if (path.parent / "status.json").is_file()]
    return sorted(runs, key=_created_at)


def _created_at(run: Run) -> str:
    try:
        return str(run.config["created_at"])
    except (DemoError, OSError):
        return "~"  # after every date


def _record(path: Path, *keys: str) -> Any:
    """Read one of a run's JSON files, which must be an object with these keys."""
    record = read_json(path)
    for key in keys:
        if not is_record(record) or key not in record:
            raise JobError(
                f"{short_name(path)} does not belong to a run (it has no {key!r}): name "
                "another folder"
            )
    return record


def take_lock(lock: IO[str]) -> bool:
    """Take the writer's lock, in several tries, because `alive` holds it for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _commit() -> str:
    """Return the commit of this code, or say that it is not a git checkout."""
    if shutil.which("git") is None:  # as in the Docker image
        return "not a git checkout"
    result = subprocess.run(
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "not a git checkout"
