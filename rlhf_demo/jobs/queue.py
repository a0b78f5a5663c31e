"""Start, stop, resume, delete and list training runs, for a page that many people share.

A job is the engine's own command in a process of its own; page and trainer share the run's folder
and nothing else (jobs/job.py), so a job goes on when a tab or the app is closed, and any app on
the same folder shows it. One job runs at a time, the others wait in line (jobs/scheduler.py).
"""

import hashlib
import hmac
import secrets
import shutil
import string
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlhf_demo.config.options import Options
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import JobError
from rlhf_demo.files import write_json
from rlhf_demo.jobs.bounds import Limits, check_options
from rlhf_demo.jobs.disk import Disk, in_words
from rlhf_demo.jobs.executor import Executor
from rlhf_demo.jobs.fair_order import job_to_displace
from rlhf_demo.jobs.job import (
    Job,
    JobFolders,
    Phase,
    clean_title,
    finish,
    locked,
    needs,
    request_stop,
    requeue,
)
from rlhf_demo.jobs.local_executor import LOCAL
from rlhf_demo.jobs.processes import training_command
from rlhf_demo.jobs.run_rows import Overview
from rlhf_demo.jobs.scheduler import UNFIT, Scheduler
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.runs.tail import Tails

ASK_SECONDS = 20.0
"""How long a trainer may take to save and end by itself: a step of GPT-2 on a CPU, and more."""

TERM_SECONDS = 5.0
"""How long after SIGTERM what is still there gets SIGKILL."""

OVERVIEW_SECONDS = 0.5
"""How long one answer of `overview` serves everybody who asks."""


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
        executor: Executor = LOCAL,
        ask_seconds: float = ASK_SECONDS,
        term_seconds: float = TERM_SECONDS,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._folders = JobFolders(root, examples, executor)
        self._limits = limits or Limits()
        self._instructor_token, self.start_token = instructor_token, start_token
        self._disk = Disk(self._folders.root, self._limits)
        # Raises for a run that this page did not put in line and whose options name what no form
        # lets through; server/choices.py knows.
        self.check_names: Callable[[dict[str, Any]], None] = lambda options: None
        starts = self._limits.starts_address
        self._starts = RateLimit(*starts, time.monotonic) if starts else None
        self._scheduler = Scheduler(
            self._folders,
            disk=self._disk,
            limits=self._limits,
            at_once=at_once,
            command=command,
            ask_seconds=ask_seconds,
            term_seconds=term_seconds,
        )
        self.tails = Tails()
        self._overview = Overview()
        self._rows: list[dict[str, Any]] = []
        self._rows_at = float("-inf")
        self._mutex = threading.RLock()

    def open(self) -> None:
        """Begin to schedule; jobs of an app that ended are found and go on."""
        self._scheduler.open()

    def close(self) -> None:
        """End scheduling; running jobs go on."""
        self._scheduler.close()

    def close_saving(self, seconds: float) -> None:
        """End scheduling, and let running jobs save and go back in line; see the scheduler's."""
        self._scheduler.close_saving(seconds)

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
        return "\n".join(
            self._folders.executor.log_end(self.find(run_id).folder).splitlines()[-lines:]
        )

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
        # Made on the command line, by the instructor, or by whoever sent the folder.
        if (owner is None or not job.signed) and _same(secret, self.start_token):
            return True
        if owner is None:
            return False
        return bool(secret) and hmac.compare_digest(_hash(secret), owner)

    def _is_instructor(self, secret: str) -> bool:
        return _same(secret, self._instructor_token)

    def _owner(self, secret: str) -> str | None:
        # The instructor's runs need no name.
        return None if not secret or self._is_instructor(secret) else _hash(secret)

    # -- changing ----------------------------------------------------------------------------------

    def check_start(self, secret: str, address: str = "") -> None:
        """Ask what `start` asks of a visitor, whatever the options: before their data is written.

        Raises:
            JobError: there is no secret, or a limit is reached.
        """
        if not secret:  # the run would be nobody's, and no limit would bind it
            raise JobError("this request has no secret: reload the page")
        if self._is_instructor(secret):
            return
        with self._mutex:
            self._check_line(secret, address)
            self._check_room()
            if address and self._starts and not self._starts.has(address):
                raise JobError(
                    "too many runs were started from your address: wait 10 s and try again"
                )

    def start(
        self,
        kind: str,
        options: Options,
        *,
        title: str,
        secret: str,
        address: str = "",
        after: str | None = None,
        first: bool = False,
    ) -> str:
        """Put a new job in line; return its run's id.

        Args:
            kind: pairs, reward or ppo.
            options: the stage's options.
            title: what people call it; cleaned and cut.
            secret: proves later that it is theirs; only a class's may have none.
            address: where the request comes from; empty: not counted.
            after: id of a run that must have finished first.
            first: it is a class's: visitors' jobs come after it, and no limit binds it.

        Raises:
            JobError: the kind is unknown, there is no secret, a limit is reached, or `after`
                cannot finish any more.
        """
        if not (kind in STAGES and STAGES[kind].on_page):
            on_page = [one.kind for one in STAGES.values() if one.on_page]
            raise JobError(f"{kind!r} cannot be started here: choose one of {', '.join(on_page)}")
        values = options.to_dict()
        with self._mutex:
            if not first:
                self.check_start(secret, address)
            bound = not (first or self._is_instructor(secret))
            if bound:
                check_options(values, self._limits)
            if after is not None and self._has_failed(after):
                raise JobError(f"{after} has not finished: resume it first")
            if bound and address and self._starts:
                self._starts.allow(address)  # `check_start` has found a permit
            if bound:
                self._make_place(secret, address)
            folder = self._folders.root / _new_id(kind)
            note = self._folders.signer.signed(
                folder.name,
                {"kind": kind, "options": values},
                self._note(clean_title(title) or STAGES[kind].title, secret, after, first),
            )
            try:
                with in_words():
                    # Before Run.create makes a run of the folder: nobody sees it without its note.
                    write_json(folder / "job.json", note)
                    Run.create(folder, kind, values)
            except JobError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._folders.addresses[folder.name] = address
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
            raise JobError(
                "only the instructor can stop other people's runs: enter the password first"
            )
        stopped = 0
        for job in self._folders.own():
            if (job.phase is Phase.WAITING or job.busy) and not job.first and job.id not in keep:
                with suppress(JobError):  # it has ended meanwhile
                    self._stop(job)
                    stopped += 1
        return stopped

    def _stop(self, job: Job) -> None:
        with in_words():
            waited = job.phase is Phase.WAITING and finish(
                job, Status.STOPPED, "removed from the queue"
            )
        if waited:
            self._changed()
            return
        job = self._folders.job(job.id)
        if not job.busy:
            raise JobError(f"{job.id} is {job.status['status']}: there is nothing to stop")
        with in_words():
            request_stop(job, "stopped on request")
        self._changed()

    def resume(self, run_id: str, secret: str, address: str = "") -> None:
        """Put a stopped or failed run at the end of the line; it goes on where it was saved.

        One that waits and was not put in line here is lined up too. What such a run asks for is
        checked as `start` checks it.

        Raises:
            JobError: it is somebody else's, is not stopped or failed, or a limit is reached.
            DemoError: it was not put in line here and names what may not be named here.
        """
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.phase is Phase.DAMAGED:
                raise JobError(f"{run_id} is damaged: it can only be deleted")
            over = job.status["status"] in (Status.STOPPED, Status.FAILED)
            if job.busy or not (over or job.phase is Phase.COPIED):
                raise JobError(
                    f"{run_id} has not stopped: only a stopped or failed run can be resumed"
                )
            if not STAGES[job.config["kind"]].on_page:
                raise JobError(f"{run_id} was made on the command line: resume it there")
            bound = not ((job.first and job.signed) or self._is_instructor(secret))
            if bound:
                self._check_line(secret, address)
                self._check_room()
            note = dict(job.note) if job.signed else self._new_note(job, secret)
            note = self._folders.signer.signed(
                run_id, job.config, note | {"queued_at": time.time()}
            )
            if bound:
                self._make_place(secret, address)
            with in_words():
                if not requeue(job, note=note):
                    raise JobError(f"{run_id} has just been changed by someone else: look again")
            self._folders.addresses[run_id] = address
            self._changed()

    def _new_note(self, job: Job, secret: str) -> dict[str, Any]:
        """Note for a run that was not put in line here what `start` would, and check it likewise.

        It waits for the run that it says it waits for only if that one goes on here.
        """
        options = STAGES[job.config["kind"]].config.from_dict(job.config["options"]).to_dict()
        if not self._is_instructor(secret):
            check_options(options, self._limits)
        self.check_names(options)
        after = job.note.get("after")
        goes_on = {one.id for one in self._folders.own() if one.busy or one.phase is Phase.WAITING}
        # A run of the command line, or of whoever sent it, belongs to nobody.
        owner = "" if _same(secret, self.start_token) else secret
        first = job.first and self._is_instructor(secret)
        return self._note(job.title, owner, after if after in goes_on else None, first)

    def delete(self, run_id: str, secret: str) -> None:
        """Remove a run and all that it made; one that waits leaves the line.

        Raises:
            JobError: it is somebody else's, runs, or another one still needs it.
        """
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.busy:
                raise JobError(f"{run_id} is still running: stop it before you delete it")
            for other in self._folders.own():
                if (other.busy or other.phase is Phase.WAITING) and needs(other, job):
                    raise JobError(f"{other.id} needs {run_id}: wait until it has finished")
            with in_words():
                self._folders.open_folders(job.run)
                if job.phase is Phase.DAMAGED:
                    self._folders.delete(job.run)
                else:
                    with locked(job) as free:
                        if not free:
                            raise JobError(
                                f"{run_id} has just been changed by someone else: look again"
                            )
                        self._folders.delete(job.run)
            self._changed()

    # -- rules -------------------------------------------------------------------------------------

    def _mine(self, run_id: str, secret: str) -> Job:
        job = self._folders.job(run_id)
        if job.example:
            raise JobError(f"{run_id} is an example: it cannot be changed")
        if not self.may_change(run_id, secret):
            raise JobError(f"{run_id} belongs to someone else: only its owner can change it")
        return job

    def _check_line(self, secret: str, address: str) -> None:
        jobs = self._folders.own()
        waiting = [job for job in jobs if job.phase is Phase.WAITING and not job.first]
        self._folders.addresses = {job.id: job.address for job in jobs if job.address}
        limits, owner = self._limits, self._owner(secret)
        full = limits.most_waiting is not None and len(waiting) >= limits.most_waiting
        if full and job_to_displace(waiting, owner, address) is None:
            raise JobError(
                f"{len(waiting)} jobs are already waiting: try again when one has finished"
            )
        own = sum(job.note["owner"] == owner for job in waiting)
        if limits.most_waiting_each is not None and own >= limits.most_waiting_each:
            raise JobError(
                f"{own} of your jobs are already waiting: try again when one has started"
            )
        near = sum(job.address == address for job in waiting) if address else 0
        if limits.most_waiting_address is not None and near >= limits.most_waiting_address:
            raise JobError(
                f"{near} jobs from your address are already waiting: try again when one has started"
            )

    def _make_place(self, secret: str, address: str) -> None:
        """Take one of whoever has most out of a full line, where `_check_line` lets a visitor in.

        Raises:
            JobError: it has just been started.
        """
        waiting = [job for job in self._folders.own() if job.phase is Phase.WAITING]
        waiting = [job for job in waiting if not job.first]
        if self._limits.most_waiting is None or len(waiting) < self._limits.most_waiting:
            return
        displaced = job_to_displace(waiting, self._owner(secret), address)
        why = (
            "removed from a full queue, where you had the most jobs: resume it when fewer are "
            "waiting"
        )
        with in_words():
            if displaced is None or not finish(displaced, Status.STOPPED, why):
                raise JobError("the queue has just changed: try again")

    def _check_room(self) -> None:
        refusal = self._disk.refusal(self._folders.own())
        if refusal:
            raise JobError(refusal)

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
            "visitor": bool(secret) and not unbound,
            "most_minutes": None if unbound else self._limits.most_minutes,
            "most_megabytes": None if unbound else self._limits.most_megabytes,
        }

    def _changed(self) -> None:
        self._rows_at = float("-inf")


def _new_id(kind: str) -> str:
    """Return a new run's id: 36**6 = 2.2 billion names; mkdir fails on the unlikely clash."""
    letters = string.ascii_lowercase + string.digits
    return f"{kind}-{''.join(secrets.choice(letters) for _ in range(6))}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _same(secret: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(_hash(secret), _hash(token))
