"""Costly results that may be a moment old."""

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
