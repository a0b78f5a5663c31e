"""Start, stop, resume, delete and list training runs, for a page that many people share.

A job is the engine's own command in a process of its own; page and trainer share the run's folder
and nothing else (job_folders.py), so a job goes on when a tab or the app is closed, and any app on
the same folder shows it. One job runs at a time, the others wait in line (scheduler.py).
"""

import hashlib
import hmac
import math
import secrets
import string
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_demo.config import Options
from rlhf_demo.deaths import log_end
from rlhf_demo.errors import JobError
from rlhf_demo.files import write_json
from rlhf_demo.job_folders import Job, JobFolders, Phase, ask_to_stop, claimed, in_order, settle
from rlhf_demo.overview import Overview
from rlhf_demo.processes import COMMANDS, REPOSITORY, training_command
from rlhf_demo.runs import Run, Status
from rlhf_demo.scheduler import UNFIT, Scheduler
from rlhf_demo.tails import Tails

ASK_SECONDS = 20.0
"""How long a trainer may take to save and end by itself: a step of GPT-2 on a CPU, and more."""

TERM_SECONDS = 5.0
"""How long after SIGTERM what is still there gets SIGKILL."""

OVERVIEW_SECONDS = 0.5
"""How long one answer of `overview` serves everybody who asks."""

MOST_TITLE = 60

TITLES = {"pairs": "Preference pairs", "reward": "Reward model", "ppo": "PPO"}
"""Titles of runs that were not given one."""


@dataclass(frozen=True)
class Limits:
    """What visitors may ask for; None is no limit. They do not bind the instructor."""

    most_steps: int | None = None
    """Steps of one job."""
    most_minutes: float | None = None
    """Running time of one job; then it is stopped, and can be resumed at the line's end."""
    most_waiting: int | None = None
    """Jobs in line."""
    most_waiting_each: int | None = None
    """Jobs in line of one visitor."""


class Jobs:
    """The runs under one root folder and the line of those that wait. Safe for many threads.

    Whoever starts a run gives a secret, kept in the browser; it, or the instructor's token in its
    place, is asked for by everything that changes the run. The folder keeps its hash only. A run
    that nobody gave a secret for, as on the command line, asks for the token of this start of the
    app, if there is one.
    """

    def __init__(
        self,
        root: Path,
        *,
        examples: Path | None = None,
        at_once: int = 1,
        limits: Limits | None = None,
        instructor_token: str | None = None,
        start_token: str | None = None,
        command: Callable[[str, Path], list[str]] = training_command,
        ask_seconds: float = ASK_SECONDS,
        term_seconds: float = TERM_SECONDS,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._folders = JobFolders(root, examples)
        self._limits = limits or Limits()
        self._instructor_token, self.start_token = instructor_token, start_token
        self._scheduler = Scheduler(
            self._folders,
            at_once=at_once,
            command=command,
            ask_seconds=ask_seconds,
            term_seconds=term_seconds,
        )
        self.tails = Tails()
        self._overview = Overview(self.tails)
        self._rows: list[dict[str, Any]] = []
        self._rows_at = float("-inf")
        self._mutex = threading.RLock()

    def open(self) -> None:
        """Begin to schedule; jobs of an app that ended are found and go on."""
        self._scheduler.open()

    def close(self) -> None:
        """End scheduling; running jobs go on."""
        self._scheduler.close()

    # -- looking -----------------------------------------------------------------------------------

    def find(self, run_id: str) -> Run:
        """Return the run of that id, an own one or an example.

        Raises:
            JobError: there is none.
        """
        return self._folders.find(run_id)

    def overview(self) -> list[dict[str, Any]]:
        """Return one row per run, newest first, examples last; see `Overview.rows`."""
        with self._mutex:
            if time.monotonic() - self._rows_at > OVERVIEW_SECONDS:
                self._rows = self._overview.rows(self._folders.all())
                self._rows_at = time.monotonic()
            return self._rows

    def log_tail(self, run_id: str, lines: int = 20) -> str:
        """Return the last lines of what the run's process wrote, at most 4,000 characters.

        Raises:
            JobError: there is no such run.
        """
        return "\n".join(log_end(self.find(run_id).folder).splitlines()[-lines:])

    def may_change(self, run_id: str, secret: str) -> bool:
        """Say whether the secret's holder may stop, resume and delete the run.

        Raises:
            JobError: there is no such run.
        """
        job = self._folders.job(run_id)
        if job.example:
            return False
        if self._is_instructor(secret):
            return True
        owner = job.note.get("owner")
        if owner is None:  # made on the command line, or by the instructor
            return _same(secret, self.start_token)
        return bool(secret) and hmac.compare_digest(_hash(secret), owner)

    def _is_instructor(self, secret: str) -> bool:
        return _same(secret, self._instructor_token)

    def _owner(self, secret: str) -> str | None:
        # The instructor's runs need no name.
        return None if not secret or self._is_instructor(secret) else _hash(secret)

    # -- changing ----------------------------------------------------------------------------------

    def start(
        self,
        kind: str,
        options: Options,
        *,
        title: str,
        secret: str,
        after: str | None = None,
        first: bool = False,
    ) -> str:
        """Put a new job in line; return its run's id.

        Args:
            kind: pairs, reward or ppo.
            options: the stage's options.
            title: what people call it; cleaned and cut.
            secret: proves later that it is theirs; empty: the instructor's.
            after: id of a run that must have finished first.
            first: it is a class's: visitors' jobs come after it, and no limit binds it.

        Raises:
            JobError: the kind is unknown, a limit is reached, or `after` cannot finish any more.
        """
        if kind not in COMMANDS:
            raise JobError(f"{kind!r} cannot be started here: choose one of {', '.join(COMMANDS)}")
        values = options.to_dict()
        with self._mutex:
            if not first:
                self._check_steps(_steps(values), secret)
                self._check_line(secret)
            if after is not None and self._has_failed(after):
                raise JobError(f"{after} has not finished: resume that one first")
            folder = self._new_folder(kind)
            # Before Run.create makes a run of the folder: nobody sees it without its note.
            note = self._note(_clean(title) or TITLES[kind], secret, after, first)
            write_json(folder / "job.json", note)
            Run.create(folder, kind, values)
            self._changed()
        return folder.name

    def stop(self, run_id: str, secret: str) -> None:
        """Take a job out of the line, or ask its process to save and end, and see that it does.

        Raises:
            JobError: it is somebody else's, or it neither waits nor runs.
        """
        self._stop(self._mine(run_id, secret))

    def stop_others(self, token: str, keep: set[str]) -> int:
        """Stop every job, or take it out of the line, that is neither a class's nor in `keep`.

        Returns:
            how many those were.

        Raises:
            JobError: the token is not the instructor's, nor, at home, that of this start.
        """
        if not (self._is_instructor(token) or _same(token, self.start_token)):
            raise JobError("only the instructor stops the runs of others: give the password first")
        stopped = 0
        for job in self._folders.own():
            if (job.phase is Phase.WAITING or job.busy) and not job.first and job.id not in keep:
                with suppress(JobError):  # it has ended meanwhile
                    self._stop(job)
                    stopped += 1
        return stopped

    def _stop(self, job: Job) -> None:
        if job.phase is Phase.WAITING and settle(job, Status.STOPPED, "taken out of the line"):
            self._changed()
            return
        job = self._folders.job(job.id)
        if not job.busy:
            raise JobError(f"{job.id} is {job.status['status']}: there is nothing to stop")
        ask_to_stop(job, "stopped when asked")
        self._changed()

    def resume(self, run_id: str, secret: str) -> None:
        """Put a stopped or failed run at the end of the line; it goes on where it was saved.

        Raises:
            JobError: it is somebody else's, is not stopped or failed, or a limit is reached.
        """
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.phase is Phase.DAMAGED:
                raise JobError(f"{run_id} is damaged: it can only be deleted")
            if job.busy or job.status["status"] not in (Status.STOPPED, Status.FAILED):
                raise JobError(f"{run_id} has not stopped: only a stopped or failed run goes on")
            if job.config["kind"] not in COMMANDS:
                raise JobError(f"{run_id} was made on the command line: resume it there")
            if not job.first:
                self._check_line(secret)
            before = job.note or self._note(run_id, "", None, False)
            note = {key: value for key, value in before.items() if key != "started_pid"}
            with claimed(job) as free:
                if not free:
                    raise JobError(f"{run_id} was changed by somebody else: look again")
                (job.run.folder / "stop").unlink(missing_ok=True)
                write_json(job.run.folder / "job.json", note | {"queued_at": time.time()})
                job.run.set_status(Status.QUEUED)
            self._changed()

    def delete(self, run_id: str, secret: str) -> None:
        """Remove a run and all that it made.

        Raises:
            JobError: it is somebody else's, waits, runs, or another one still needs it.
        """
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.busy or job.phase is Phase.WAITING:
                raise JobError(f"{run_id} is not over: stop it before you delete it")
            for other in self._folders.own():
                if (other.busy or other.phase is Phase.WAITING) and _needs(other, job):
                    raise JobError(f"{run_id} is needed by {other.id}: wait for that one")
            if job.phase is Phase.DAMAGED:
                self._folders.delete(job.run)
            else:
                with claimed(job) as free:
                    if not free:
                        raise JobError(f"{run_id} was changed by somebody else: look again")
                    self._folders.delete(job.run)
            self._changed()

    # -- rules -------------------------------------------------------------------------------------

    def _mine(self, run_id: str, secret: str) -> Job:
        job = self._folders.job(run_id)
        if job.example:
            raise JobError(f"{run_id} is an example: it cannot be changed")
        if not self.may_change(run_id, secret):
            raise JobError(f"{run_id} belongs to somebody else: only its owner can change it")
        return job

    def _check_steps(self, steps: int | None, secret: str) -> None:
        most = self._limits.most_steps
        if steps and most is not None and steps > most and not self._is_instructor(secret):
            raise JobError(f"{steps} steps are too many here: choose {most} or fewer")

    def _check_line(self, secret: str) -> None:
        if self._is_instructor(secret):
            return
        owners = [job.note["owner"] for job in in_order(self._folders.own()) if not job.first]
        most, most_each = self._limits.most_waiting, self._limits.most_waiting_each
        if most is not None and len(owners) >= most:
            raise JobError(f"{len(owners)} jobs wait already: try again when one has finished")
        own = owners.count(self._owner(secret))
        if most_each is not None and own >= most_each:
            raise JobError(f"{own} of your jobs wait already: try again when one has started")

    def _has_failed(self, run_id: str) -> bool:
        job = self._folders.job(run_id)
        return job.phase is Phase.DEAD or job.status["status"] in UNFIT

    def _note(self, title: str, secret: str, after: str | None, first: bool) -> dict[str, Any]:
        unbound = first or self._is_instructor(secret)
        return {
            "title": title,
            "owner": self._owner(secret),
            "queued_at": time.time(),
            "after": after,
            "first": first,
            "most_minutes": None if unbound else self._limits.most_minutes,
        }

    def _new_folder(self, kind: str) -> Path:
        letters = string.ascii_lowercase + string.digits
        folder = self._folders.root / f"{kind}-{''.join(secrets.choice(letters) for _ in range(6))}"
        folder.mkdir()  # one of two thousand million: it is new
        return folder

    def _changed(self) -> None:
        self._rows_at = float("-inf")


def _steps(values: dict[str, Any]) -> int | None:
    """Return how many steps a job's options ask for at most; None where there are none."""
    if "epochs" in values:
        return values["epochs"] * math.ceil(values["train_pairs"] / values["batch_size"])
    return values.get("total_steps")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _same(secret: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(_hash(secret), _hash(token))


def _clean(title: str) -> str:
    """Drop what cannot be seen (or turns the text round), runs of blanks, and what is too long."""
    visible = "".join(letter if letter.isprintable() else " " for letter in title)
    return " ".join(visible.split())[:MOST_TITLE].rstrip()


def _needs(other: Job, job: Job) -> bool:
    """Say whether a job waits for another, or names its folder, or a part of it, in an option."""
    folder = job.run.folder
    return other.note.get("after") == job.id or any(
        isinstance(value, str) and (REPOSITORY / value).is_relative_to(folder)
        for value in other.config["options"].values()
    )
