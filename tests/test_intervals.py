"""Intervals of shares, on numbers worked by hand."""

import pytest

from rlhf_demo.intervals import (
    cluster_interval,
    t_95,
    t_quantile,
    watched_interval,
    wilson_interval,
)


def test_wilson_interval_of_8_in_10_equals_hand_working():
    # z = 1.959964, z^2 = 3.841459; centre = (0.8 + 0.192073) / 1.384146 = 0.716740
    # half = 1.959964 / 1.384146 * sqrt(0.8 * 0.2 / 10 + 3.841459 / 400) = 1.416010 * 0.160011 =
    # 0.226577
    assert wilson_interval(8, 10) == pytest.approx((0.490163, 0.943317), abs=2e-6)


def test_wilson_interval_at_the_ends_stays_inside_0_and_1():
    # No success in 10: low 0, high = z^2 / (10 + z^2) = 3.841459 / 13.841459 = 0.277533
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.277533), abs=2e-6)
    assert wilson_interval(10, 10) == pytest.approx((0.722467, 1.0), abs=2e-6)


def test_wilson_interval_without_trials_knows_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("freedom", "t"), [(3, 3.18245), (9, 2.26216), (79, 1.99045)])
def test_quantile_of_students_t_equals_the_printed_table(freedom, t):
    assert t_95(freedom) == pytest.approx(t, rel=0.01)


# Tables: 0.975 and 0.9975 quantiles of Student's t.
@pytest.mark.parametrize(
    ("freedom", "misses", "t", "error"),
    [
        (1, 0.05, 12.706, 1e-3), (2, 0.05, 4.303, 1e-3), (3, 0.05, 3.182, 0.01),
        (1, 0.005, 127.321, 1e-3), (2, 0.005, 14.089, 1e-3), (3, 0.005, 7.453, 0.06),
        (4, 0.005, 5.598, 0.03), (10, 0.005, 3.581, 0.01), (120, 0.005, 2.860, 0.001),
    ],
)  # fmt: skip
def test_t_quantile_is_that_of_the_tables(freedom, misses, t, error):
    assert t_quantile(freedom, misses) == pytest.approx(t, rel=error)


def test_one_value_in_each_group_gives_the_wilson_interval():
    assert cluster_interval([1, 1, 0, 0.5], "abcd") == wilson_interval(2.5, 4)


def test_groups_that_speak_with_one_voice_count_once():
    # Four groups of 3 equal values: share 0.5, variance 4/3 * 4 * 1.5^2 / 12^2 = 1/12, so worth
    # 0.25 / (1/12) = 3 values; a group is worth one at least: 12^2 / (4 * 3^2) = 4.
    values, groups = [1] * 6 + [0] * 6, "aaabbbcccddd"
    worth = 4 * (1.959964 / t_95(3)) ** 2
    assert cluster_interval(values, groups) == pytest.approx(wilson_interval(worth / 2, worth))


def test_design_effect_of_three_groups_of_two_equals_hand_working():
    # Sums 2, 1, 0, 1, so 1, 0, -1, 0 about the mean: variance 4/3 * 2 / 8^2 = 1/24, worth 6 of 8.
    values, groups = [1, 1, 1, 0, 0, 0, 0, 1], "aabbccdd"
    worth = 6 * (1.959964 / t_95(3)) ** 2
    assert cluster_interval(values, groups) == pytest.approx(wilson_interval(worth / 2, worth))


def test_groups_are_never_worth_more_than_their_values():
    # Every group has one of each: their sums do not scatter at all. Worth 6 values, not infinitely
    # many; but equal groups at a share of 1 say no more than that they are 3 groups.
    of_six = 6 * (1.959964 / t_95(2)) ** 2
    mixed = cluster_interval([1, 0, 0.5, 0.5, 0, 0.9], "aabbcc")
    assert mixed[0] == pytest.approx(wilson_interval(2.9 / 6 * of_six, of_six)[0])
    three = 3 * (1.959964 / t_95(2)) ** 2
    assert cluster_interval([1] * 6, "aabbcc") == pytest.approx(wilson_interval(three, three))


def test_a_group_of_many_values_outweighs_the_others():
    # Sizes 6, 1, 1, 1, 1, the share 0.7: sums about it 1.8, -0.7 three times, 0.3, so the variance
    # is 5/4 * 4.8 / 10^2 = 0.06, worth 0.21 / 0.06 = 3.5 values: fewer than the 5 groups, more than
    # the 10^2 / (6^2 + 4) = 2.5 where each group speaks with one voice.
    worth = 3.5 * (1.959964 / t_95(4)) ** 2
    found = cluster_interval([1] * 6 + [0, 0, 0, 1], "aaaaaabcde")
    assert found == pytest.approx(wilson_interval(0.7 * worth, worth))


def test_one_group_is_one_value():
    assert cluster_interval([1, 1, 0, 0], "aaaa") == wilson_interval(0.5, 1)


def test_intervals_of_nothing_know_nothing():
    assert cluster_interval([], []) == watched_interval([], []) == (0.0, 1.0)


def test_watched_interval_of_forty_pairs_equals_hand_working():
    # Variance 40 / 4 = 10, mixing 10 / 8 = 1.25: sqrt(11.25 * ln(11.25 / (1.25 * 0.0025))) / 40 =
    # sqrt(11.25 * 8.188689) / 40 = 9.598060 / 40 = 0.239952.
    found = watched_interval([1, 0] * 20, range(40))
    assert found == pytest.approx((0.5 - 0.239952, 0.5 + 0.239952), abs=2e-6)


def test_watched_interval_takes_a_pair_for_one_value_however_many_its_votes():
    once = watched_interval([1, 0] * 20, range(40))
    thrice = watched_interval([1, 0] * 60, [n // 2 % 20 * 2 + n % 2 for n in range(120)])
    assert thrice == pytest.approx(once)


def test_watched_interval_counts_uneven_pairs_by_their_votes():
    # Weights 4/3 and 2/3: variance (16/9 + 4/9) / 4 = 5/9; sqrt(1.805556 * ln(577.777778)) / 2 =
    # sqrt(1.805556 * 6.359189) / 2 = 1.694245. Two votes for, one against: 2/3.
    low, high = watched_interval([1, 1, 0], "aab")
    assert (low, high) == (0.0, 1.0)
    many = watched_interval([1, 1, 0] * 40, [n // 3 * 2 + (n % 3 == 2) for n in range(120)])
    # 40 times the variance, 200/9: sqrt(23.472222 * ln(7511.111)) / 80 = 14.472 / 80 = 0.1809.
    assert many == pytest.approx((2 / 3 - 0.1809, 2 / 3 + 0.1809), abs=1e-4)
