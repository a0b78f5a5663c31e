"""Who computes with the models, and when."""

import threading

import pytest

from rlhf_demo.models.pauses import pause
from rlhf_demo.server import compute_lock
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


def test_caller_who_computes_for_long_lets_others_compute_in_its_pauses(clock):
    lock, order = ComputeLock(clock), []

    def compute(name):
        with lock.hold(Priority.VISITORS):
            order.append(name)

    with lock.hold(Priority.VISITORS):
        other = threading.Thread(target=compute, args=("other",))
        other.start()
        wait_until(lambda: lock._waiting)
        pause()  # it has only just begun
        order.append("first")
        clock.now += 1
        pause()
        assert lock.held
        order.append("again")
        pause()  # there are no others
    other.join()
    assert order == ["first", "other", "again"]
    assert not lock.held
    pause()  # of no computation


def test_class_does_not_pause_for_visitors(clock):
    lock, order = ComputeLock(clock), []

    def compute():
        with lock.hold(Priority.VISITORS):
            order.append("visitor")

    with lock.hold(Priority.CLASS):
        visitor = threading.Thread(target=compute)
        visitor.start()
        wait_until(lambda: lock._waiting)
        clock.now += 60
        pause()
        order.append("class")
    visitor.join()
    assert order == ["class", "visitor"]


def test_few_visitors_computations_have_begun_at_once_and_voters_pass_them(clock, monkeypatch):
    monkeypatch.setattr(compute_lock, "MOST_BEGUN", 2)
    lock, order = ComputeLock(clock), []

    def compute(name, priority, pauses):
        with lock.hold(priority):
            order.append(name)
            for _ in range(pauses):
                clock.now += 1
                pause()
            order.append(f"{name} ends")

    threads = []
    with lock.hold(Priority.VISITORS):
        for name, priority in [("one", Priority.VISITORS), ("two", Priority.VISITORS),
                               ("voter", Priority.VOTERS)]:  # fmt: skip
            threads.append(threading.Thread(target=compute, args=(name, priority, 1)))
            threads[-1].start()
            wait_until(lambda: len(lock._waiting) == len(threads))
        clock.now += 1
        pause()
        order.append("first ends")
    for thread in threads:
        thread.join()
    # Of the visitors, the first and "one" have begun, so "two" waits until one of them ends.
    assert order == [
        "voter", "one", "voter ends", "first ends", "two", "one ends", "two ends",
    ]  # fmt: skip
    assert not lock.held
