"""Who computes with the models, and when."""

import threading

import pytest

from rlhf_demo.server.compute_lock import ComputeLock, Priority
from tests.fake_jobs import wait_until


def order_of(callers, clock):
    """Return the names of callers, (name, priority, when it came in seconds), as they compute."""
    lock, order, waiting = ComputeLock(clock), [], []

    def compute(priority, name):
        with lock.hold(priority):
            order.append(name)

    with lock.hold(Priority.VISITORS):
        for name, priority, came in callers:
            clock.now = came
            waiting.append(threading.Thread(target=compute, args=(priority, name)))
            waiting[-1].start()
            wait_until(lambda: len(lock._waiting) == len(waiting))
        assert lock.held and not order
    for thread in waiting:
        thread.join()
    assert not lock.held
    return order


def test_class_and_voters_compute_before_visitors_who_came_a_little_earlier(clock):
    callers = [
        ("visitor 1", Priority.VISITORS, 0.0), ("visitor 2", Priority.VISITORS, 0.0),
        ("voter", Priority.VOTERS, 1.9), ("class", Priority.CLASS, 60.0),
    ]  # fmt: skip
    assert order_of(callers, clock) == ["class", "voter", "visitor 1", "visitor 2"]


def test_visitor_waits_for_no_voters_without_end(clock):
    callers = [("visitor", Priority.VISITORS, 0.0)]
    callers += [(f"voter {number}", Priority.VOTERS, number) for number in range(6)]
    order = order_of(callers, clock)
    assert order.index("visitor") == 2  # at 2 s it is a tie, and the visitor came first


def test_lock_is_free_after_a_failure():
    lock = ComputeLock()
    with pytest.raises(ZeroDivisionError), lock.hold(Priority.VISITORS):
        1 / 0  # noqa: B018
    assert not lock.held
