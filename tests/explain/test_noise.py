"""Agreement of voters who err, against a count of all cases and of many draws."""

import random

import pytest

from rlhf_demo.explain.noise import agreement, ceiling


def test_two_voters_by_hand():
    """Of 25 equal cases with 1 in 5 wrong, both are right in 16 and both wrong in 1."""
    assert agreement(0.2) == pytest.approx(17 / 25)
    assert agreement(0.0) == 1
    assert agreement(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("error_rate", [0.1, 0.2, 0.3])
def test_many_draws_agree_as_often(error_rate):
    rng = random.Random(0)
    draws = 20_000
    same = right = 0
    for _ in range(draws):
        first, second = (rng.random() < error_rate for _ in range(2))
        same += first == second
        right += not first
    assert same / draws == pytest.approx(agreement(error_rate), abs=0.01)
    assert right / draws == pytest.approx(ceiling(error_rate), abs=0.01)
