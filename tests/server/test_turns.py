"""Who computes with the models, and when."""

import threading

import pytest

from rlhf_demo.server.turns import Rank, Turn
from tests.fake_jobs import wait_until


def order_of(callers, clock):
    """Return the names of callers, (name, rank, when it came in seconds), as they compute."""
    turn, order, waiting = Turn(clock), [], []

    def compute(rank, name):
        with turn.of(rank):
            order.append(name)

    with turn.of(Rank.VISITORS):
        for name, rank, came in callers:
            clock.now = came
            waiting.append(threading.Thread(target=compute, args=(rank, name)))
            waiting[-1].start()
            wait_until(lambda: len(turn._line) == len(waiting))
        assert turn.taken and not order
    for thread in waiting:
        thread.join()
    assert not turn.taken
    return order


def test_class_and_voters_compute_before_visitors_who_came_a_little_earlier(clock):
    callers = [
        ("visitor 1", Rank.VISITORS, 0.0), ("visitor 2", Rank.VISITORS, 0.0),
        ("voter", Rank.VOTERS, 1.9), ("class", Rank.CLASS, 60.0),
    ]  # fmt: skip
    assert order_of(callers, clock) == ["class", "voter", "visitor 1", "visitor 2"]


def test_visitor_waits_for_no_voters_without_end(clock):
    callers = [("visitor", Rank.VISITORS, 0.0)]
    callers += [(f"voter {number}", Rank.VOTERS, number) for number in range(6)]
    order = order_of(callers, clock)
    assert order.index("visitor") == 2  # at 2 s it is a tie, and the visitor came first


def test_turn_is_free_after_a_failure():
    turn = Turn()
    with pytest.raises(ZeroDivisionError), turn.of(Rank.VISITORS):
        1 / 0  # noqa: B018
    assert not turn.taken
