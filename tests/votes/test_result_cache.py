"""Costly results that may be a moment old."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf_demo.votes.result_cache import LIFETIME, ResultCache


def test_result_is_kept_for_twenty_times_as_long_as_it_took(clock):
    spent, made = [0.0], []

    def make():
        spent[0] += 0.5
        made.append(clock.now)
        return len(made)

    cache = ResultCache(clock, lambda: spent[0])
    assert [cache.get("a", make), cache.get("a", make), cache.get("b", make)] == [1, 1, 2]
    clock.now += 0.5 * LIFETIME - 0.1
    assert cache.get("a", make) == 1
    clock.now += 0.2
    assert cache.get("a", make) == 3
    assert len(cache._entries) == 1  # an expired result takes no memory


def test_result_that_takes_long_lets_others_be_computed_and_is_computed_once():
    may_end, begun, made = threading.Event(), threading.Event(), []

    def slow():
        made.append("slow")
        begun.set()
        assert may_end.wait(60)
        return "slow"

    cache = ResultCache(work=iter([0.0, 100.0] * 9).__next__)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(cache.get, "a", slow) for _ in range(2)]
        assert begun.wait(60)
        assert cache.get("b", lambda: "quick") == "quick"
        may_end.set()
        assert [one.result(60) for one in waiting] == ["slow", "slow"]
    assert made == ["slow"] and not cache._computing


def test_result_that_cannot_be_computed_is_tried_again():
    cache = ResultCache()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get("a", lambda: 1 / 0)
