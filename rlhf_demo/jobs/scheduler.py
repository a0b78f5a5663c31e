"""Start waiting jobs, record those that died, and make sure that stopped jobs end.

One thread runs, in the app that holds the lock of the runs' root folder. When that app ends,
another app on the same runs takes over. All facts about jobs are in the folders: `JobFolders`
(job.py) decides from them that a process has ended, and `Run.recording` writes a normal end.
"""

import fcntl
import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rlhf_demo.errors import DemoError
from rlhf_demo.files import write_json
from rlhf_demo.hub.locate import HUB_ID
from rlhf_demo.jobs import exit_reasons
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.disk import Disk, megabytes
from rlhf_demo.jobs.fair_order import start_order
from rlhf_demo.jobs.job import (
    DAMAGED,
    Job,
    JobFolders,
    Phase,
    exit_reason,
    finish,
    locked,
    request_stop,
    requeue,
)
from rlhf_demo.jobs.shapes import StopRequest
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.runs.run import Status

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5

SAVING_TICK_SECONDS = 0.05

ROOM_SECONDS = 30.0
"""Seconds between two checks of the disk space of all runs."""

FAILURE_LOG_SECONDS = 60.0
"""Seconds between two tracebacks in the log: if no file can be opened, every tick fails."""

UNFIT = {
    Status.FAILED: "failed",
    Status.STOPPED: "was stopped",
    DAMAGED: "is damaged",
    None: "is gone",
}
"""Status of a job -> why a job that waits for it can never start."""

RESUMABLE = "; resuming continues from the last saved state"


class Scheduler:
    """Looks after the jobs of one root folder while it is open."""

    def __init__(
        self,
        folders: JobFolders,
        *,
        disk: Disk,
        limits: Limits,
        at_once: int,
        command: Callable[[str, Path], list[str]],
        ask_seconds: float,
        term_seconds: float,
    ) -> None:
        self._folders, self._disk, self._limits = folders, disk, limits
        self._at_once, self._command = at_once, command
        self._ask_seconds, self._term_seconds = ask_seconds, term_seconds
        self._lock_file: IO[str] | None = None
        self._reported: set[str] = set()
        self._made_room_at = self._failure_logged_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def open(self) -> None:
        """Start scheduling."""
        self._thread.start()

    def close(self) -> None:
        """Stop scheduling; running jobs continue, and another app may take over."""
        self._closing.set()
        self._thread.join()
        if self._lock_file is not None:
            self._lock_file.close()

    def close_saving(self, seconds: float) -> None:
        """Stop scheduling, and let running jobs save and return to the queue for the next app.

        Args:
            seconds: how long they may take; a slower job continues from its last saved state.
        """
        self._closing.set()
        self._thread.join()
        if self._lock_file is None:  # another app looks after them
            return
        deadline = time.monotonic() + seconds
        for job in self._folders.own():
            if job.busy:
                with self._reporting(job):
                    request_stop(job, "this page was restarted", again=bool(job.record))
                    # A job that is starting would be asked in vain for many seconds.
                    if job.phase is Phase.STARTING and job.handle is not None:
                        job.executor.stop(job.handle, job.run.folder, hard=False)
        while time.monotonic() < deadline:
            self._folders.executor.refresh()
            alive = False
            for job in self._folders.own():
                if job.stopping:
                    alive |= job.phase in (Phase.STARTING, Phase.RUNNING)
                    with self._reporting(job):
                        self._escalate(job, job.stopping)
            # The next app queues a job that has saved and is only closing down.
            if not alive:
                break
            time.sleep(SAVING_TICK_SECONDS)
        self._lock_file.close()

    def _work(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            try:
                if self._in_charge():
                    self._tick()
            except Exception:
                # The next tick tries again: one bad moment must not end all scheduling.
                if time.monotonic() - self._failure_logged_at > FAILURE_LOG_SECONDS:
                    self._failure_logged_at = time.monotonic()
                    log.exception("scheduler tick failed")

    def _in_charge(self) -> bool:
        """Take the root's lock if it is free; the kernel releases it when this process ends."""
        if self._lock_file is not None:
            return True
        file = open(self._folders.root / ".scheduler", "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._lock_file = file
        self._folders.finish_deleting()
        return True

    def _tick(self) -> None:
        self._folders.executor.refresh()
        for job in self._folders.own():
            with self._reporting(job):
                self._handle_job(job)
        if time.monotonic() - self._made_room_at > ROOM_SECONDS:
            self._made_room_at = time.monotonic()
            self._make_room()
        self._start_next()

    def _make_room(self) -> None:
        for job in self._disk.superfluous(self._folders.own()):
            with self._reporting(job):
                log.warning("%s makes room on the disk", job.id)
                self._folders.delete(job.run)

    def _handle_job(self, job: Job) -> None:
        if job.busy:
            self._folders.queued_here.add(job.id)
        if job.stopping:
            self._escalate(job, job.stopping)
        elif job.phase is Phase.DEAD:
            finish(job, Status.FAILED, exit_reason(job))
        elif job.busy:
            self._watch(job)
        elif job.id in self._folders.queued_here and job.phase is Phase.ENDED:
            self._note_end(job)
        elif job.status["status"] == Status.FAILED:
            self._reword(job)

    @contextmanager
    def _reporting(self, job: Job) -> Generator[None]:
        """Log a job's problem once, and continue with the other jobs."""
        try:
            yield
        except Exception as error:
            if job.id in self._reported:
                return
            self._reported.add(job.id)
            if isinstance(error, (OSError, DemoError)):  # a full disk, or another user's folder
                log.warning("the files of %s cannot be changed: %s", job.id, error)
            else:
                log.exception("the scheduler cannot handle %s", job.id)

    # -- starting ----------------------------------------------------------------------------------

    def _start_next(self) -> None:
        jobs = self._folders.own()
        busy, classes = sum(job.busy for job in jobs), 0
        for job in start_order(jobs):
            with self._reporting(job):
                obstacle = self._obstacle(job)
                if obstacle:
                    finish(job, Status.FAILED, obstacle)
                elif not self._ready(job):
                    continue
                elif busy < self._at_once:
                    if self._has_room(job, jobs):
                        self._start(job)
                        busy += 1
                elif job.first:
                    classes += 1
        self._let_classes_go_first(classes, jobs)

    def _ready(self, job: Job) -> bool:
        after = job.after
        return after is None or self._status(after) == Status.FINISHED

    def _has_room(self, job: Job, jobs: list[Job]) -> bool:
        """If the disk has no room for a visitor's job, let it wait and say why."""
        refusal = self._disk.refusal(jobs) if job.visitors else None
        if refusal and job.status.get("message") != refusal:
            with locked(job) as free:
                if free:
                    job.run.set_status(Status.QUEUED, message=refusal)
        return refusal is None

    def _let_classes_go_first(self, waiting: int, jobs: list[Job]) -> None:
        """Send as many visitors' jobs back to the queue as classes' jobs wait for a slot."""
        freed = sum(job.busy and bool(job.stopping) for job in jobs)
        running = [job for job in jobs if job.busy and job.visitors and not job.stopping]
        running.sort(key=lambda job: job.record.get("started_at", 0.0), reverse=True)
        for job in running[: max(0, waiting - freed)]:
            with self._reporting(job):
                request_stop(job, "a class goes first: this run continues after it", again=True)

    def _obstacle(self, job: Job) -> str | None:
        """Say why a job can never start: the job that it waits for has failed, stopped or gone."""
        after = job.after
        if after is None:
            return None
        ending = self._status(after)
        if ending in UNFIT:
            state = UNFIT[ending]
            return f"not started because it needs {after}, which {state}: resume that run first"
        return None

    def _status(self, run_id: str) -> str | None:
        try:
            return self._folders.job(run_id).status["status"]
        except DemoError:
            return None

    def _start(self, job: Job) -> None:
        folder = job.run.folder
        facts = {"started_at": time.monotonic(), "oom_kills": exit_reasons.oom_kills()}
        hub = any(map(_is_on_hub, job.config["options"].values()))
        with locked(job) as free:
            if not free:
                return
            try:
                command = self._command(job.config["kind"], folder)
                handle = self._folders.executor.start(command, folder, hub=hub)
            except OSError as error:
                message = f"the process could not be started ({error.strerror}): resume it later"
                job.run.set_status(Status.FAILED, message=message)
                return
            # With the lock held: the trainer waits for it, so the handle is on disk before the run
            # begins, and no other app starts it a second time.
            write_json(folder / "job.json", {**job.record, **facts, "handle": handle})

    # -- ending ------------------------------------------------------------------------------------

    def _watch(self, job: Job) -> None:
        """Stop a job that exceeds a limit."""
        handle = job.started
        if handle is None or job.handle != handle:  # a command in a terminal started it
            return
        # The monotonic clock cannot be set. It counts from the machine's start, so it fits any job.
        seconds = time.monotonic() - job.record.get("started_at", 0.0)
        most = job.record.get("most_minutes")
        if most is not None and seconds > 60 * most:
            request_stop(job, f"stopped after {most:g} minutes, the limit of this page")
        most = job.record.get("most_megabytes")
        if most is not None and (taken := megabytes(job.run.folder)) > most:
            request_stop(
                job,
                f"stopped with {math.ceil(taken)} MB on the disk, over this page's limit of "
                f"{most:g} MB: save less often, or choose a smaller rank or model",
            )
        most = self._limits.most_memory
        if most is not None and (held := job.executor.memory(handle)) > most:
            request_stop(
                job,
                f"ended with {held:,.0f} MB of memory, over this page's limit of {most:,.0f} MB "
                "for a training run: choose a smaller batch, shorter responses or a smaller "
                "model",
            )
            job.executor.stop(handle, job.run.folder, hard=True)  # there is no time to ask

    def _escalate(self, job: Job, request: StopRequest) -> None:
        """Make a process end that was asked to: ask it again, terminate it, and finally kill it."""
        handle, folder = _asked(request), job.run.folder
        if not (job.run.alive() or (handle is not None and job.executor.alive(handle, folder))):
            self._close_stop(job, request)
            return
        waited = time.monotonic() - request["asked_at"]
        if handle is None:
            job.run.request_stop()
        elif waited > self._ask_seconds:
            hard = waited > self._ask_seconds + self._term_seconds
            job.executor.stop(handle, folder, hard=hard)
        else:
            job.run.request_stop()  # again: a run that begins removes an earlier request

    def _close_stop(self, job: Job, request: StopRequest) -> None:
        """Record the result of a stop, once the process group is gone."""
        message = request["message"]
        if job.status["status"] in (Status.FINISHED, Status.FAILED):  # it has a message of its own
            closed = True
        elif request.get("again"):
            closed = requeue(job, message)
        else:
            closed = finish(job, Status.STOPPED, message + RESUMABLE)
        if closed:
            (job.run.folder / "stop").unlink(missing_ok=True)
            (job.run.folder / "stopping.json").unlink(missing_ok=True)

    def _note_end(self, job: Job) -> None:
        """Sign that a run has ended, so that a copy of it never starts by itself."""
        with locked(job) as free:
            if free and job.signed:
                record = self._folders.signer.signed(
                    job.id, job.config, job.record | {"ended": True}
                )
                write_json(job.run.folder / "job.json", record)
        if free:
            self._folders.queued_here.discard(job.id)

    def _reword(self, job: Job) -> None:
        """Replace a failed trainer's error about memory or disk by a sentence for people."""
        cause = exit_reasons.known_cause(job.status.get("message", ""))
        if cause is not None:
            finish(job, Status.FAILED, cause)


def _asked(request: StopRequest) -> str | None:
    """Return the handle of the process that was asked to end."""
    handle = request.get("handle") or request.get("pid")
    return None if handle is None else str(handle)


def _is_on_hub(value: Any) -> bool:
    """Say whether an option names a repository on the Hub, which may require a token."""
    return (
        isinstance(value, str)
        and "/" in value
        and HUB_ID.fullmatch(value) is not None
        and not (REPOSITORY / value).exists()
    )
