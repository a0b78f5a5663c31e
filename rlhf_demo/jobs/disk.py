"""How much disk space the runs take, how much is free, and which runs to remove.

Only visitors' runs are removed: never those of a class, the instructor or the command line; none
that waits or runs, or that such a run needs; and none in the hour after it ended, so that its owner
has time to see and download it.
"""

import errno
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rlhf_demo.errors import JobError
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.job import Job, Phase, needs

KEPT_SECONDS = 3600


class Disk:
    """The disk of the runs, under a page's limits."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._known: dict[str, tuple[float, float]] = {}  # of ended runs: last change, megabytes

    def refusal(self, jobs: list[Job]) -> str | None:
        """Return why no visitor's run can start now, None if it can.

        Args:
            jobs: all jobs under the root.
        """
        if short := shortage(self._root, self._limits):
            return short
        most = self._limits.most_megabytes_all
        if most is not None and self._of_visitors(jobs) > most:
            return (
                f"visitors' runs fill the {most / 1000:g} GB that they may use: try again when "
                f"one of them is {KEPT_SECONDS // 60} minutes old; this page then deletes it"
            )
        return None

    def superfluous(self, jobs: list[Job]) -> list[Job]:
        """Return the runs to remove.

        If disk space is short, the runs go first that have taken the most for the longest, in
        megabytes times hours: a visitor who fills the disk with large runs loses their own. If
        there are too many runs, those go first that never began, at any age, then the oldest.

        Args:
            jobs: all jobs under the root.
        """
        least, most = self._limits.least_free_megabytes, self._limits.most_megabytes_all
        excess = max(
            0 if most is None else self._of_visitors(jobs) - most,
            0 if least is None else least - _free(self._root),
        )
        most_runs = self._limits.most_runs
        surplus = 0 if most_runs is None else sum(job.visitors for job in jobs) - most_runs
        if max(excess, surplus) <= 0:
            return []
        busy = [job for job in jobs if job.busy or job.phase is Phase.WAITING]
        ages = {
            job.id: age
            for job in jobs
            if job.visitors
            and job.phase in (Phase.ENDED, Phase.DAMAGED, Phase.COPIED)
            and (
                (age := time.time() - _changed_at(job)) > KEPT_SECONDS
                or (job.phase is Phase.ENDED and "started_at" not in job.record)
            )
            and not any(needs(other, job) for other in busy)
        }
        old = [job for job in jobs if job.id in ages]
        old.sort(key=lambda job: self._megabytes(job) * ages[job.id], reverse=True)
        removed: list[Job] = []
        for job in old:
            if excess <= 0:
                break
            removed.append(job)
            excess -= self._megabytes(job)
        rest = old[len(removed) :]
        rest.sort(key=lambda job: ("started_at" in job.record, -ages[job.id]))
        return removed + rest[: max(0, surplus - len(removed))]

    def _of_visitors(self, jobs: list[Job]) -> float:
        self._known = {job.id: self._known[job.id] for job in jobs if job.id in self._known}
        return sum(self._megabytes(job) for job in jobs if job.visitors)

    def _megabytes(self, job: Job) -> float:
        changed_at = _changed_at(job)
        known = self._known.get(job.id)
        if known and known[0] == changed_at and job.phase is Phase.ENDED:
            return known[1]
        taken = megabytes(job.run.folder)
        self._known[job.id] = changed_at, taken
        return taken


def shortage(folder: Path, limits: Limits) -> str | None:
    """Return why visitors may write nothing to the disk of a folder, None if they may.

    Args:
        folder: it need not exist yet.
        limits: the page's.
    """
    while not folder.exists():
        folder = folder.parent
    free, least = _free(folder), limits.least_free_megabytes
    if least is None or free >= least:
        return None
    return (
        f"the disk of this page has {free / 1000:.1f} GB left, and "
        f"{least / 1000:g} GB must stay free: try again later"
    )


@contextmanager
def in_words() -> Generator[None]:
    """Turn a failure to change a run's files into a sentence for people.

    Raises:
        JobError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobError(
                "the disk is full: delete runs that are no longer needed, then try again"
            ) from None
        raise JobError(f"the run's files cannot be changed ({error.strerror}): try again") from None


def megabytes(folder: Path) -> float:
    """Return the size of a folder on the disk, without files that vanish or cannot be read."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total / 1e6


def _free(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 1e6


def _changed_at(job: Job) -> float:
    """Return when a file of the run was last created or replaced, as its status is at the end."""
    try:
        return job.run.folder.stat().st_mtime
    except OSError:
        return time.time()
