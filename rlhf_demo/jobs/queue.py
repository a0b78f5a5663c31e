"""Start, stop, resume, delete and list training runs, for a page that many people share.

A job is the engine's own command in a process of its own; page and trainer share the run's folder
and nothing else (jobs/job.py), so a job continues when a tab or the app is closed, and any app on
the same folder shows it. One job runs at a time, the others wait in a queue (jobs/scheduler.py).
"""

import hashlib
import hmac
import secrets
import shutil
import string
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_demo.config.options import Options
from rlhf_demo.config.stages import STAGES, Task
from rlhf_demo.errors import JobError
from rlhf_demo.files import without_paths, write_json
from rlhf_demo.jobs.bounds import Limits, check_options
from rlhf_demo.jobs.disk import Disk, in_words
from rlhf_demo.jobs.executor import Executor
from rlhf_demo.jobs.fair_order import jobs_to_displace, places
from rlhf_demo.jobs.job import (
    ENDED,
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
from rlhf_demo.jobs.run_rows import Overview, RunRow
from rlhf_demo.jobs.scheduler import UNFIT, Scheduler
from rlhf_demo.jobs.shapes import JobRecord
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.runs.tail import Tails

ASK_SECONDS = 20.0
"""How long a trainer may take to save and end: longer than a step of GPT-2 on a CPU."""

TERM_SECONDS = 5.0
"""Time between SIGTERM and SIGKILL."""

NO_SECRET = "this request has no secret: reload the page"

ASKS = 60, 1.0
"""Requests to start, resume or delete from an address where limits are on, also refused ones: at
first, and in a second. Each reads the files of all runs."""

OVERVIEW_SECONDS = 0.5
"""How long `overview` gives all callers the same answer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a job is to train.

    Attributes:
        kind: a stage that the page starts.
        options: the stage's options.
        title: the run's title on the page; cleaned and cut.
        experiment: key of config/experiments.py, if this is the run that its question is about.
    """

    kind: str
    options: Options
    title: str
    experiment: str = ""


class Jobs:
    """The runs under one root folder, and the queue of those that wait. Safe for many threads.

    A visitor who starts a run sends a secret, which the browser keeps. Every change to the run
    needs this secret or the instructor's token; the folder keeps only the secret's hash. A run
    without a secret, for example from the command line, needs the start token of the app, if there
    is one.
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
        # Raises if a run that this page did not queue has options that no form accepts. The rules
        # are in server/choices.py.
        self.check_names: Callable[[dict[str, Any]], None] = lambda options: None
        starts = self._limits.starts_address
        self._starts = RateLimit(*starts, time.monotonic) if starts else None
        self._asks = RateLimit(*ASKS, time.monotonic)
        self._scheduler = Scheduler(
            self._folders,
            disk=self._disk,
            limits=self._limits,
            at_once=at_once,
            command=command,
            ask_seconds=ask_seconds,
            term_seconds=term_seconds,
        )
        self.tails = Tails(limited=self._limits.starts_address is not None)
        self._overview = Overview()
        self._rows: list[RunRow] = []
        self._rows_at = float("-inf")
        self._reading = threading.Lock()  # of `overview`, which must not wait for changes
        self._mutex = threading.RLock()

    def open(self) -> None:
        """Start scheduling; the jobs of an app that ended continue."""
        self._scheduler.open()

    def close(self) -> None:
        """End scheduling; running jobs continue."""
        self._scheduler.close()

    def close_saving(self, seconds: float) -> None:
        """End scheduling, and let running jobs save and return to the queue; see `Scheduler`."""
        self._scheduler.close_saving(seconds)

    # -- reading -----------------------------------------------------------------------------------

    def find(self, run_id: str) -> Run:
        """Return the run of that id, from the root folder or the examples.

        Raises:
            JobError: there is none.
        """
        return self._folders.find(run_id)

    def options(self, run_id: str) -> dict[str, Any]:
        """Return a run's options; none if it was just deleted, or if its files are damaged."""
        try:
            return self._folders.job(run_id).config["options"]
        except JobError:
            return {}

    def overview(self) -> list[RunRow]:
        """Return one row per run, newest first, examples last."""
        with self._reading:
            if time.monotonic() - self._rows_at > OVERVIEW_SECONDS:
                self._rows_at = time.monotonic()  # before the reading: a change meanwhile resets it
                self._rows = self._overview.rows(self._folders.all())
            return self._rows

    def log_tail(self, run_id: str, lines: int = 20) -> str:
        """Return the last lines of what the run's process wrote, at most 4,000 characters.

        Paths of the server lose all but their last two names, because everyone may read the lines.

        Raises:
            JobError: there is no such run.
        """
        log = self._folders.executor.log_end(self.find(run_id).folder)
        return without_paths("\n".join(log.splitlines()[-lines:]))

    def is_of_the_page(self, run_id: str) -> bool:
        """Say whether a page queued the run, so that no other run has its id.

        Raises:
            JobError: there is no such run.
        """
        return (self.find(run_id).folder / "job.json").is_file()

    def may_change(self, run_id: str, secret: str) -> bool:
        """Say whether the secret's holder may stop, resume and delete the run.

        Raises:
            JobError: there is no such run.
        """
        job = self._folders.job(run_id)
        if job.example:
            return False
        if self.is_instructor(secret):
            return True
        owner = job.owner
        # Made on the command line, by the instructor, or in a folder that was copied here.
        if (owner is None or not job.signed) and _same(secret, self.start_token):
            return True
        if owner is None:
            return False
        return bool(secret) and hmac.compare_digest(_hash(secret), owner)

    def is_instructor(self, secret: str) -> bool:
        """Say whether a secret is the instructor's token."""
        return _same(secret, self._instructor_token)

    def _owner(self, secret: str) -> str | None:
        # The instructor's runs need no owner.
        return None if not secret or self.is_instructor(secret) else _hash(secret)

    # -- changing ----------------------------------------------------------------------------------

    def check_start(self, secret: str, address: str = "") -> None:
        """Check the visitor and the limits as `start` does, before the visitor's data is written.

        Raises:
            JobError: there is no secret, or a limit is reached.
        """
        if not secret:  # the run would have no owner, and no limit would apply to it
            raise JobError(NO_SECRET)
        if self.is_instructor(secret):
            return
        self._check_permit(address)
        with self._mutex:
            self._check_room(self._folders.own(), self._owner(secret), address)

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
        """Queue a new job; return its run's id.

        Args:
            kind: a stage that the page starts.
            options: the stage's options.
            title: its title on the page; cleaned and cut.
            secret: proves later that the visitor owns the run; empty only for a class's run.
            address: the address of the request; empty: not counted.
            after: id of a run that must finish first.
            first: a class's job, which goes before visitors' jobs and has no limits.

        Raises:
            JobError: the kind is unknown, there is no secret, a limit is reached, or `after`
                can no longer finish.
        """
        order = Order(kind, options, title)
        return self._start([lambda _: order], secret, address, after=after, first=first)[0]

    def start_in_turn(
        self,
        orders: Sequence[Callable[[Path], Order]],
        *,
        secret: str,
        address: str = "",
        for_all: bool = False,
    ) -> list[str]:
        """Queue jobs of which each waits for the one before, or none of them; return their ids.

        Args:
            orders: what to train; each gets the folder of the run before it (the first: no run's).
            secret: proves later that the visitor owns the runs.
            address: the address of the request; empty: not counted.
            for_all: all visitors may wait for them. Where limits are on, they then belong to none
                of them, also in the queue: only the instructor can change them.

        Raises:
            JobError: a kind is unknown, there is no secret, or a limit is reached.
        """
        return self._start(orders, secret, address, for_all=for_all)

    def _start(
        self,
        orders: Sequence[Callable[[Path], Order]],
        secret: str,
        address: str,
        *,
        after: str | None = None,
        first: bool = False,
        for_all: bool = False,
    ) -> list[str]:
        if not (secret or first):
            raise JobError(NO_SECRET)
        limited = not (first or self.is_instructor(secret))
        ours = for_all and self._starts is not None
        owner, near = (None, "") if ours else (self._owner(secret), address)
        chain = self._chain(orders)
        if limited:
            self._check_permit(address)
        with self._mutex:
            displaced = []
            if limited:
                displaced = self._check_room(self._folders.own(), owner, near)
                for order in chain.values():
                    check_options(order.options.to_dict(), self._limits)
            if after is not None and self._has_failed(after):
                raise JobError(f"{after} has not finished: resume it first")
            if limited:
                for _ in chain:
                    self._take_permit(address)
                self._make_room(displaced)
            queued: list[str] = []
            try:
                for folder, order in chain.items():
                    title = clean_title(order.title) or STAGES[order.kind].title
                    record = self._record(title, secret, after, first) | {"owner": owner}
                    self._write(folder, order, record, near)
                    queued.append(after := folder.name)
            except JobError:
                self._take_back(queued)
                raise
            finally:
                self._changed()
        return queued

    def _chain(self, orders: Sequence[Callable[[Path], Order]]) -> dict[Path, Order]:
        """Return the orders with the folders of their runs, which are not there yet."""
        chain: dict[Path, Order] = {}
        folder = self._folders.root
        for make in orders:
            order = make(folder)
            if not (order.kind in STAGES and STAGES[order.kind].on_page):
                kinds = ", ".join(stage.kind for stage in STAGES.values() if stage.on_page)
                raise JobError(f"{order.kind!r} cannot be started here: choose one of {kinds}")
            folder = self._folders.root / _new_id(order.kind)
            chain[folder] = order
        return chain

    def _write(self, folder: Path, order: Order, record: JobRecord, address: str) -> None:
        """Write a queued run's folder, or nothing."""
        values = order.options.to_dict()
        if order.experiment:
            record["experiment"] = order.experiment
        task: Task = {"kind": order.kind, "options": values}
        record = self._folders.signer.signed(folder.name, task, record)
        try:
            with in_words():
                # First, so that no app sees a run without its job record.
                write_json(folder / "job.json", record)
                Run.create(folder, order.kind, values)
        except JobError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._folders.addresses[folder.name] = address
        self._folders.queued_here.add(folder.name)

    def _take_back(self, queued: list[str]) -> None:
        """Delete runs that were queued a moment ago for another one, which was not."""
        for run_id in reversed(queued):
            with suppress(JobError):  # it runs already
                job = self._folders.job(run_id)
                if job.phase is Phase.WAITING:
                    self._delete(job)

    def stop(self, run_id: str, secret: str) -> None:
        """Take a job out of the queue, or make its process save and end.

        Raises:
            JobError: it belongs to someone else, or it neither waits nor runs.
        """
        self._stop(self._mine(run_id, secret))

    def stop_others(self, token: str, keep: set[str]) -> int:
        """Stop all jobs that are waiting or running, except those of classes and those in `keep`.

        Returns:
            the number of jobs that it stopped.

        Raises:
            JobError: the token is neither the instructor's nor, at home, the start token.
        """
        if not (self.is_instructor(token) or _same(token, self.start_token)):
            raise JobError(
                "only the instructor can stop other people's runs: enter the password first"
            )
        stopped = 0
        for job in self._folders.own():
            if (job.phase is Phase.WAITING or job.busy) and not job.first and job.id not in keep:
                with suppress(JobError):  # it has just ended
                    self._stop(job)
                    stopped += 1
        return stopped

    def _stop(self, job: Job) -> None:
        with in_words():
            dequeued = job.phase is Phase.WAITING and finish(
                job, Status.STOPPED, "removed from the queue"
            )
        if dequeued:
            self._changed()
            return
        job = self._folders.job(job.id)
        if not job.busy:
            raise JobError(f"{job.id} is {job.status['status']}: there is nothing to stop")
        if (job.stopping or {}).get("again") is False:
            return  # asked already; to read all runs anew for each click would slow all lists
        with in_words():
            request_stop(job, "stopped on request")
        self._changed()

    def resume(self, run_id: str, secret: str, address: str = "") -> None:
        """Put a stopped or failed run at the end of the queue; it continues from its saved state.

        A copied run that waits, but was not queued by this page, is queued too. Its options are
        checked as `start` checks them.

        Raises:
            JobError: it belongs to someone else, is not stopped or failed, or a limit is reached.
            DemoError: it was not queued by this page, and its options name what this page forbids.
        """
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.phase is Phase.DAMAGED:
                raise JobError(f"{run_id} is damaged: it can only be deleted")
            ended = job.status["status"] in (Status.STOPPED, Status.FAILED)
            if job.busy or not (ended or job.phase is Phase.COPIED):
                raise JobError(
                    f"{run_id} has not stopped: only a stopped or failed run can be resumed"
                )
            if not STAGES[job.config["kind"]].on_page:
                raise JobError(f"{run_id} was made on the command line: resume it there")
            limited = not ((job.first and job.signed) or self.is_instructor(secret))
            displaced: list[Job] = []
            if limited:
                self._check_permit(address)
                displaced = self._check_room(self._folders.own(), self._owner(secret), address)
            record = job.record.copy() if job.signed else self._new_record(job, secret)
            for key in ENDED:
                record.pop(key, None)
            record = self._folders.signer.signed(
                run_id, job.config, {**record, "queued_at": time.time()}
            )
            if limited:
                self._take_permit(address)
                self._make_room(displaced)
            with in_words():
                queued = requeue(job, record=record)
                if not queued:  # the scheduler may just have signed that the run has ended
                    queued = requeue(self._folders.job(run_id), record=record)
                if not queued:
                    raise JobError(f"{run_id} has just been changed by someone else: try again")
            self._folders.addresses[run_id] = address
            self._folders.queued_here.add(run_id)
            self._changed()

    def _new_record(self, job: Job, secret: str) -> JobRecord:
        """Return the record that `start` would write for a copied run, after the same checks.

        The run waits for the run that it names in `after` only if that run waits or runs here.
        """
        options = STAGES[job.config["kind"]].config.from_dict(job.config["options"]).to_dict()
        if not self.is_instructor(secret):
            check_options(options, self._limits)
        self.check_names(options)
        after = job.after
        live = {each.id for each in self._folders.own() if each.busy or each.phase is Phase.WAITING}
        # A run from the command line, or from a copied folder, has no owner.
        owner = "" if _same(secret, self.start_token) else secret
        first = job.first and self.is_instructor(secret)
        record = self._record(job.title, owner, after if after in live else None, first)
        return {**record, "copied": True}

    def delete(self, run_id: str, secret: str, address: str = "") -> None:
        """Delete a run's folder; a waiting run leaves the queue.

        Raises:
            JobError: it belongs to someone else, is running, or is needed by another run; or the
                address asks too often.
        """
        self._check_asks(address)
        with self._mutex:
            job = self._mine(run_id, secret)
            if job.busy:
                raise JobError(f"{run_id} is still running: stop it before you delete it")
            self._delete(job)

    def _delete(self, job: Job) -> None:
        for other in self._folders.own():
            if (other.busy or other.phase is Phase.WAITING) and needs(other, job):
                raise JobError(f"{other.id} needs {job.id}: wait until it has finished")
        with in_words():
            self._folders.open_folders(job.run)
            if job.phase is Phase.DAMAGED:
                self._folders.delete(job.run)
            else:
                deleted = self._delete_unchanged(job)
                if not deleted:  # the scheduler may just have signed that the run has ended
                    now = self._folders.job(job.id)
                    deleted = not now.busy and self._delete_unchanged(now)
                if not deleted:
                    raise JobError(f"{job.id} has just been changed by someone else: try again")
        self._changed()

    def _delete_unchanged(self, job: Job) -> bool:
        with locked(job) as free:
            if free:
                self._folders.delete(job.run)
            return free

    # -- rules -------------------------------------------------------------------------------------

    def _mine(self, run_id: str, secret: str) -> Job:
        job = self._folders.job(run_id)
        if job.example:
            raise JobError(f"{run_id} is an example: it cannot be changed")
        if not self.may_change(run_id, secret):
            raise JobError(
                f"{run_id} belongs to someone else: only its owner or the instructor can change it"
            )
        return job

    def _check_permit(self, address: str) -> None:
        """Refuse an address that starts and resumes too fast, before any file is read for it.

        Raises:
            JobError: it has no permit left.
        """
        if address and self._starts and not self._starts.has(address):
            raise JobError("too many runs were started from your address: wait 10 s and try again")
        self._check_asks(address)

    def _check_asks(self, address: str) -> None:
        if address and self._starts and not self._asks.allow(address):
            raise JobError("too many requests for runs came from your address: try again in 10 s")

    def _take_permit(self, address: str) -> None:
        if address and self._starts:
            self._starts.allow(address)  # `_check_permit` saw one

    def _check_room(self, jobs: list[Job], owner: str | None, address: str) -> list[Job]:
        """Check the queue and the disk for one place more; `jobs` are those of the root folder.

        Returns:
            the jobs that must leave a full queue for it.

        Raises:
            JobError: a limit is reached.
        """
        waiting = [job for job in jobs if job.phase is Phase.WAITING and not job.first]
        self._folders.addresses = {job.id: job.address for job in jobs if job.address}
        limits, taken = self._limits, places(waiting)
        displaced: list[Job] = []
        if limits.most_waiting is not None and len(taken) >= limits.most_waiting:
            displaced = jobs_to_displace(waiting, owner, address)
            if not displaced:
                raise JobError(
                    f"{len(waiting)} runs are already waiting: try again when one has finished"
                )
        own = sum(job.owner == owner for job in taken) if owner else 0
        if limits.most_waiting_each is not None and own >= limits.most_waiting_each:
            raise JobError(
                f"{own} of your runs are already waiting: try again when one has started"
            )
        near = sum(job.address == address for job in taken) if address else 0
        if limits.most_waiting_address is not None and near >= limits.most_waiting_address:
            raise JobError(
                f"{near} runs from your address are already waiting: try again when one has started"
            )
        if refusal := self._disk.refusal(jobs):
            raise JobError(refusal)
        return displaced

    def _make_room(self, displaced: list[Job]) -> None:
        """Take jobs out of a full queue, as `_check_room` has found them.

        Raises:
            JobError: one of them has just started.
        """
        for job in displaced:
            why = "removed from a full queue, because another visitor had fewer runs there"
            if job.owner:
                why += ": resume it when fewer are waiting"
            with in_words():
                if not finish(job, Status.STOPPED, why):
                    raise JobError("the queue has just changed: try again")

    def _has_failed(self, run_id: str) -> bool:
        job = self._folders.job(run_id)
        return job.phase is Phase.DEAD or job.status["status"] in UNFIT

    def _record(self, title: str, secret: str, after: str | None, first: bool) -> JobRecord:
        unlimited = first or self.is_instructor(secret)
        return {
            "title": title,
            "owner": self._owner(secret),
            "queued_at": time.time(),
            "after": after,
            "first": first,
            "visitor": bool(secret) and not unlimited,
            "most_minutes": None if unlimited else self._limits.most_minutes,
            "most_megabytes": None if unlimited else self._limits.most_megabytes,
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
