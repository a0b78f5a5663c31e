import math

import pytest

from rlhf_demo.runs.trend import Trend, number, trend


def rows(values):
    return [{"step": step, "score": value} for step, value in enumerate(values, start=1)]


def test_trend_of_a_step_up_has_its_ends_and_the_noise_of_its_jumps():
    # 6 steps: ends of 6 // 3 = 2 steps, means 0 and 1. One jump of 1 among 5 neighbours: variance
    # of a step 1/5/2 = 0.1; of a mean of two 0.05; of the difference 0.1; noise 2 sqrt(0.1).
    found = trend(rows([0, 0, 0, 1, 1, 1]), "score")
    assert (found.start, found.now, found.best) == (0, 1, 1)
    assert found.noise == pytest.approx(2 * math.sqrt(0.1))
    assert found.rose and not found.fell


def test_trend_of_a_hill_names_its_best_and_where_it_was():
    # Ends of 9 // 3 = 3 steps; the best three are 2, 3, 2 around step 5.
    found = trend(rows([0, 0, 0, 2, 3, 2, 0, 0, 0]), "score")
    assert found.best == pytest.approx(7 / 3)
    assert found.best_step == 5
    assert found.gain == 0


def test_trend_of_alternating_figures_is_noise():
    # Jumps of 1: variance 0.5, ends of 5 steps: noise 2 sqrt(2 * 0.5 / 5) = 0.89; the ends are
    # 2/5 (0 1 0 1 0) and 3/5 (1 0 1 0 1).
    found = trend(rows([0, 1] * 10), "score")
    assert found.gain == pytest.approx(0.2)
    assert found.noise == pytest.approx(2 * math.sqrt(0.2))
    assert not found.rose and not found.fell


def test_trend_of_a_fall_with_little_noise_fell():
    found = trend(rows([1.0, 1.0, 0.9, 0.8, 0.7, 0.6]), "score")
    assert found.fell and not found.rose
    assert found.ratio == pytest.approx(0.65)


def test_trend_of_five_steps_knows_nothing():
    found = trend(rows([0, 1, 2, 3, 4]), "score")
    assert not (found.rose or found.fell or found.now < 100 or found.ratio > 0)


def test_ratio_of_a_series_that_starts_at_zero_is_unknown():
    assert math.isnan(Trend(start=0.0, now=1.0, best=1.0, best_step=3, noise=0.1).ratio)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0.9, "rose by 0.90 nats"), (-0.9, "fell by 0.90 nats"),
     (0.05, "moved by +0.05 nats (noise: 0.12)"), (-0.001, "moved by +0.00 nats (noise: 0.12)")],
)  # fmt: skip
def test_words_say_whether_it_moved_and_how_far(now, expected):
    assert Trend(start=0.0, now=now, best=1.0, best_step=3, noise=0.12).words("nats") == expected


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0.905, "0.91"), (-0.001, "0.00"), (2.84, "2.8"), (-2.84, "-2.8"), (12.34, "12.3"),
     (104.2, "104")],
)  # fmt: skip
def test_number_has_two_or_three_digits(x, expected):
    assert number(x) == expected
