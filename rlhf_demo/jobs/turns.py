"""In which order waiting jobs are started: a class's first, then one person's after another's."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from rlhf_demo.jobs.job import Job, Phase


def in_order(jobs: list[Job]) -> list[Job]:
    """Return the waiting jobs, the next one first.

    Those of classes come first. All others take turns, by owner and then by address, since anybody
    makes up as many secrets as they like: somebody's second job comes after everybody's first.
    One that runs is its owner's first, and after its end the next counts as queued from then on.
    """
    waiting = sorted(
        (job for job in jobs if job.phase is Phase.WAITING), key=lambda job: job.note["queued_at"]
    )
    classes = [job for job in waiting if job.first]
    others = [job for job in waiting if not job.first]
    had = [job for job in jobs if not job.first and (job.busy or job.started)]
    for whose in (_owner, _address):
        others = _by_turns(others, had, whose)
    return classes + others


def crowding(waiting: list[Job], owner: str | None, address: str) -> Job | None:
    """Return which of a full line makes room for a visitor's: the last of whoever has most.

    Args:
        waiting: the jobs of the line.
        owner: the visitor's, as notes name it.
        address: the visitor's.

    Returns:
        None where the address that has most, and then the owner, would be left with fewer than the
        visitor gets.
    """
    for whose, visitor in ((_address, address or owner), (_owner, owner)):
        counts = Counter(map(whose, waiting))
        most = max(counts.values(), default=0)
        if most >= counts[visitor] + 2:
            theirs = [job for job in waiting if counts[whose(job)] == most]
            return max(theirs, key=lambda job: job.note["queued_at"])
    return None


def _by_turns(waiting: list[Job], had: list[Job], whose: Callable[[Job], str | None]) -> list[Job]:
    """Order jobs by which turn each is of its own, then by when that could have begun."""
    turns = Counter(whose(job) for job in had if job.busy)
    ended: dict[str | None, float] = {}
    for job in had:
        if not job.busy:
            ended[whose(job)] = max(ended.get(whose(job), 0.0), _ended_at(job))
    keys: dict[str, tuple[int, float]] = {}
    for job in waiting:
        turns[whose(job)] += 1
        begins = max(job.note["queued_at"], ended.get(whose(job), 0.0))
        keys[job.id] = turns[whose(job)], begins
    return sorted(waiting, key=lambda job: keys[job.id])


def _ended_at(job: Job) -> float:
    """Return when a job ended, in seconds since 1970: the end of the second that is noted."""
    try:
        return datetime.fromisoformat(job.status.get("updated_at", "")).timestamp() + 1
    except (ValueError, OverflowError):  # damaged
        return 0.0


def _owner(job: Job) -> str | None:
    return job.note.get("owner")


def _address(job: Job) -> str | None:
    return job.address or _owner(job)  # a restart forgets addresses
