"""The order in which waiting jobs start: classes first, then the visitors in rotation.

Whether the next one may start now, scheduler.py decides.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from rlhf_demo.jobs.job import Job, Phase


def start_order(jobs: list[Job]) -> list[Job]:
    """Return the waiting jobs, the next one first.

    Jobs of classes come first. The others rotate by owner and then by address, because a visitor
    can make up any number of secrets: a second job of an address comes after the first of every
    other. A running job counts as its owner's first; when it ends, the owner's next job counts as
    queued at that moment.
    """
    waiting = sorted(
        (job for job in jobs if job.phase is Phase.WAITING), key=lambda job: job.queued_at
    )
    classes = [job for job in waiting if job.first]
    others = [job for job in waiting if not job.first]
    begun = [job for job in jobs if not job.first and (job.busy or job.started)]
    for whose in (_owner, address_or_owner):
        others = _round_robin(others, begun, whose)
    return classes + others


def places(waiting: list[Job]) -> list[Job]:
    """Return the first job of each place in the queue: jobs that wait for one another share one."""
    ids = {job.id for job in waiting}
    return [job for job in waiting if job.after not in ids]


def jobs_to_displace(waiting: list[Job], owner: str | None, address: str) -> list[Job]:
    """Return the jobs that leave a full queue for a visitor's: the last place of who has most.

    Args:
        waiting: the jobs in the queue.
        owner: the visitor, as job records name them.
        address: the visitor's.

    Returns:
        none if the address with the most places, and then the owner with the most, would be left
        with fewer than the visitor gets.
    """
    taken = [job for job in places(waiting) if job.visitors]  # the instructor's stay
    for whose, visitor in ((address_or_owner, address or owner), (_owner, owner)):
        counts = Counter(map(whose, taken))
        most = max(counts.values(), default=0)
        if most >= counts[visitor] + 2:
            theirs = [job for job in taken if counts[whose(job)] == most]
            leaving = [max(theirs, key=lambda job: job.queued_at)]
            for job in leaving:
                leaving += [other for other in waiting if other.after == job.id]
            return leaving
    return []


def _round_robin(
    waiting: list[Job], begun: list[Job], whose: Callable[[Job], str | None]
) -> list[Job]:
    """Sort jobs by how many of the same owner come before, then by when they could have begun."""
    numbers = Counter(whose(job) for job in begun if job.busy)
    ended: dict[str | None, float] = {}
    for job in begun:
        if not job.busy:
            ended[whose(job)] = max(ended.get(whose(job), 0.0), _ended_at(job))
    keys: dict[str, tuple[int, float]] = {}
    for job in waiting:
        numbers[whose(job)] += 1
        begins = max(job.queued_at, ended.get(whose(job), 0.0))
        keys[job.id] = numbers[whose(job)], begins
    return sorted(waiting, key=lambda job: keys[job.id])


def _ended_at(job: Job) -> float:
    """Return when a job ended, in seconds since 1970, rounded up to a whole second."""
    try:
        return datetime.fromisoformat(job.status.get("updated_at", "")).timestamp() + 1
    except (ValueError, OverflowError):  # damaged
        return 0.0


def _owner(job: Job) -> str | None:
    return job.owner


def address_or_owner(job: Job) -> str | None:
    """Return the address that a run came from, or its owner: a restart forgets addresses."""
    return job.address or _owner(job)
