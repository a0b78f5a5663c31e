"""How much disk space the runs take, how much is free, and which runs to remove.

Only visitors' runs are removed: never those of a class, the instructor or the command line; none
that waits or runs, or that such a run needs; and none in the hour after it ended, so that its owner
has time to see and download it. Only an address with many runs may lose some of them sooner.
"""

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rlhf_demo.errors import JobError
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.fair_order import address_or_owner
from rlhf_demo.jobs.job import Job, Phase, needs

KEPT_SECONDS = 3600
KEPT_EACH = 20
"""Runs of an address that are kept for that time, its newest. Runs of a step take seconds, and one
address could otherwise fill the list with them, for which all older runs of others would go."""


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
        there are too many runs, those go first that never began, at any age, then the oldest of
        the address that has the most.

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
        idle = [
            job
            for job in jobs
            if job.visitors
            and job.phase in (Phase.ENDED, Phase.DAMAGED, Phase.COPIED)
            and not any(needs(other, job) for other in busy)
        ]
        ages = {job.id: time.time() - _changed_at(job) for job in idle}
        old = [job for job in idle if ages[job.id] > KEPT_SECONDS or _never_began(job)]
        old.sort(key=lambda job: self._megabytes(job) * ages[job.id], reverse=True)
        removed: list[Job] = []
        for job in old:
            if excess <= 0:
                break
            removed.append(job)
            excess -= self._megabytes(job)
        newer = _newer_of_the_same_address(jobs)
        left = {job.id for job in old[len(removed) :]}
        rest = [job for job in idle if job.id in left or newer[job.id] >= KEPT_EACH]
        rest.sort(key=lambda job: (not _never_began(job), -newer[job.id], -ages[job.id]))
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


def _never_began(job: Job) -> bool:
    return job.phase is Phase.ENDED and "started_at" not in job.record


def _newer_of_the_same_address(jobs: list[Job]) -> dict[str, int]:
    """Return how many newer visitors' runs the address of each run has, by the run's id."""
    seen: Counter[str | None] = Counter()
    newer: dict[str, int] = {}
    for job in sorted((job for job in jobs if job.visitors), key=lambda job: -job.queued_at):
        newer[job.id] = seen[address_or_owner(job)]
        seen[address_or_owner(job)] += 1
    return newer


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
