"""What a step gets by its number: rates worked out by hand."""

from types import SimpleNamespace

import pytest

from rlhf_demo.train.schedule import cosine_rate, linear_rate


def options(**changes):
    return SimpleNamespace(**{"learning_rate": 1.0, "warmup_steps": 2, "total_steps": 6} | changes)


def test_linear_rate_rises_evenly_and_falls_by_a_quarter_each_step():
    # Four steps after the warm-up: 4/4, 3/4, 2/4, 1/4 of the highest rate.
    rates = [linear_rate(options(), step) for step in range(1, 7)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])


def test_cosine_rate_rises_evenly_and_falls_along_half_a_cosine():
    # cos(pi/4), cos(pi/2), cos(3 pi/4), cos(pi), each as (1 + cos) / 2.
    rates = [cosine_rate(options(), step) for step in range(1, 7)]
    assert rates == pytest.approx([0.5, 1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)


def test_cosine_rate_ends_at_the_share_that_is_asked_for():
    assert cosine_rate(options(), 4, last=0.2) == pytest.approx(0.2 + 0.8 * 0.5)
    assert cosine_rate(options(), 6, last=0.2) == pytest.approx(0.2)


@pytest.mark.parametrize("rate", [linear_rate, cosine_rate])
def test_warm_up_as_long_as_the_run_only_rises(rate):
    assert [rate(options(warmup_steps=6), step) for step in (1, 6)] == pytest.approx([1 / 6, 1.0])
