"""How often one visitor may do one thing, worked out by hand."""

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit


def test_bucket_is_emptied_at_once_and_fills_with_time(clock):
    limit = RateLimit(2, 0.5, clock)
    assert [limit.allow("ann") for _ in range(3)] == [True, True, False]
    clock.now += 1  # half a permit
    assert not limit.allow("ann")
    clock.now += 1  # a whole one
    assert [limit.allow("ann"), limit.allow("ann")] == [True, False]
    clock.now += 1000  # two, and no more than the bucket holds
    assert [limit.allow("ann") for _ in range(3)] == [True, True, False]


def test_each_key_has_a_bucket_of_its_own(clock):
    limit = RateLimit(1, 1.0, clock)
    assert [limit.allow(key) for key in ("ann", "bob", "ann")] == [True, True, False]


def test_looking_takes_no_permit_and_heeds_those_that_must_be_left(clock):
    limit = RateLimit(3, 1.0, clock)
    assert all(limit.has("ann", reserved=2) for _ in range(9))
    assert not limit.has("ann", reserved=3)
    limit.check("ann", "tries", reserved=2)
    limit.require("ann", "tries")  # two are left
    with pytest.raises(Refused):
        limit.check("ann", "tries", reserved=2)
    limit.check("ann", "tries", reserved=1)


def test_refusal_says_what_came_too_fast_and_how_long_to_wait(clock):
    limit = RateLimit(1, 0.2, clock)  # one in 5 s
    limit.require("ann", "guesses from your address")
    with pytest.raises(Refused, match=r"^too many guesses from your address: wait 5 s and try"):
        limit.require("ann", "guesses from your address")


def test_many_permits_are_taken_together_or_none(clock):
    limit = RateLimit(5, 1.0, clock)
    assert limit.allow("ann", 3)
    assert not limit.allow("ann", 3)
    assert limit.allow("ann", 2) and not limit.allow("ann")
    clock.now += 5
    assert limit.allow("ann", 100)  # more than there can be: all that there are, and then
    clock.now += 95
    assert not limit.allow("ann")
    clock.now += 1
    assert limit.allow("ann")
