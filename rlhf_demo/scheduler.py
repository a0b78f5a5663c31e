"""Start what waits, notice what died, insist where something was asked to stop.

One thread in one app: whoever holds the lock of the runs' root. Another app on the same runs takes
over when the first is gone. All that it knows of a job stands in the folders.
"""

import fcntl
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rlhf_demo import deaths, processes
from rlhf_demo.errors import DemoError
from rlhf_demo.files import write_json
from rlhf_demo.job_folders import (
    DAMAGED,
    Job,
    JobFolders,
    Phase,
    ask_to_stop,
    claimed,
    in_order,
    settle,
    why_dead,
)
from rlhf_demo.runs import Status

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5

UNFIT = {
    Status.FAILED: "failed",
    Status.STOPPED: "was stopped",
    DAMAGED: "is damaged",
    None: "is gone",
}
"""Status of a job -> why one that waits for it can never start."""

LET_GO_ON = "; resuming goes on from the last saved state"


class Scheduler:
    """Looks after the jobs of one root folder while it is open."""

    def __init__(
        self,
        folders: JobFolders,
        *,
        at_once: int,
        command: Callable[[str, Path], list[str]],
        ask_seconds: float,
        term_seconds: float,
    ) -> None:
        self._folders, self._at_once, self._command = folders, at_once, command
        self._ask_seconds, self._term_seconds = ask_seconds, term_seconds
        self._lock_file: IO[str] | None = None
        self._complained: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; the jobs go on, and another app may take over."""
        self._closing.set()
        self._thread.join()
        if self._lock_file is not None:
            self._lock_file.close()

    def _work(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            try:
                if self._in_charge():
                    self._tick()
            except Exception:
                # The next tick tries again: one bad moment must not end all scheduling.
                log.exception("the scheduler stumbled")

    def _in_charge(self) -> bool:
        """Take the root's lock if it is free; it is given back when this process ends."""
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
        processes.reap()
        for job in self._folders.own():
            with self._complaining(job):
                self._tend(job)
        self._start_next()

    def _tend(self, job: Job) -> None:
        if job.stopping:
            self._insist(job)
        elif job.phase is Phase.DEAD:
            settle(job, Status.FAILED, why_dead(job))
        elif job.busy:
            self._watch_the_clock(job)
        elif job.status["status"] == Status.FAILED:
            self._reword(job)

    @contextmanager
    def _complaining(self, job: Job) -> Iterator[None]:
        """Say once a job what cannot be done about it, and go on with the others."""
        try:
            yield
        except (OSError, DemoError) as error:  # a full disk, a damaged file, somebody else's folder
            if job.id not in self._complained:
                self._complained.add(job.id)
                log.warning("the files of %s cannot be changed: %s", job.id, error)

    # -- starting ----------------------------------------------------------------------------------

    def _start_next(self) -> None:
        jobs = self._folders.own()
        busy = sum(job.busy for job in jobs)
        for job in in_order(jobs):
            with self._complaining(job):
                obstacle = self._obstacle(job)
                if obstacle:
                    settle(job, Status.FAILED, obstacle)
                elif busy < self._at_once and self._ready(job):
                    self._start(job)
                    busy += 1

    def _ready(self, job: Job) -> bool:
        after = job.note["after"]
        return after is None or self._status(after) == Status.FINISHED

    def _obstacle(self, job: Job) -> str | None:
        """Say why a job can never start because of the one it waits for."""
        after = job.note["after"]
        if after is None:
            return None
        ending = self._status(after)
        if ending in UNFIT:
            state = UNFIT[ending]
            return f"not started, because {after}, which it needs, {state}: resume that one first"
        return None

    def _status(self, run_id: str) -> str | None:
        try:
            return self._folders.job(run_id).status["status"]
        except DemoError:
            return None

    def _start(self, job: Job) -> None:
        folder = job.run.folder
        facts = {"started_at": time.time(), "oom_kills": deaths.oom_kills()}
        with claimed(job) as free:
            if not free:
                return
            try:
                pid = processes.start(self._command(job.config["kind"], folder), folder / "job.log")
            except OSError as error:
                message = f"the process could not be started ({error.strerror}): resume it later"
                job.run.set_status(Status.FAILED, message=message)
                return
            # With the lock held: the trainer waits for it, so the number is on disk before the run
            # begins, and no other app starts it a second time.
            write_json(folder / "job.json", job.note | facts | {"started_pid": pid})

    # -- ending ------------------------------------------------------------------------------------

    def _watch_the_clock(self, job: Job) -> None:
        most = job.note.get("most_minutes")
        if most is None or job.pid != job.note.get("started_pid"):  # resumed in a terminal
            return
        if time.time() - job.note["started_at"] > 60 * most:
            ask_to_stop(job, f"stopped after {most:g} minutes, the most that is allowed here")

    def _insist(self, job: Job) -> None:
        """End a process that was asked to: it is asked again, terminated, and at last killed."""
        pid, name = job.stopping["pid"], job.id
        if not (job.run.alive() or processes.alive(pid, name)):
            self._close_stop(job)
            return
        waited = time.time() - job.stopping["asked_at"]
        if waited > self._ask_seconds + self._term_seconds:
            processes.send(pid, name, signal.SIGKILL)
        elif waited > self._ask_seconds:
            processes.send(pid, name, signal.SIGTERM)
        else:
            job.run.request_stop()  # again: a run that begins clears what it finds

    def _close_stop(self, job: Job) -> None:
        """Note, once the process group is gone, what came of the stop."""
        has_its_own_words = job.status["status"] in (Status.FINISHED, Status.FAILED)
        if has_its_own_words or settle(job, Status.STOPPED, job.stopping["message"] + LET_GO_ON):
            (job.run.folder / "stop").unlink(missing_ok=True)
            (job.run.folder / "stopping.json").unlink(missing_ok=True)

    def _reword(self, job: Job) -> None:
        """Put what a failed trainer said of memory or disk into words for people."""
        cause = deaths.known_cause(job.status["message"])
        if cause is not None:
            settle(job, Status.FAILED, cause)
