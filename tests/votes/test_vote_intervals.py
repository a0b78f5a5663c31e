"""Intervals hold what they promise, on simulated classes; `bench.vote_intervals` has them all."""

import random

import pytest

from bench.vote_intervals import (
    ALIKE,
    RIGHT,
    better_than_chance,
    better_than_chance_at_some_look,
    blind_vote,
    called_different,
    calls,
    coverage,
    judged,
    tells_apart,
    votes_alone,
)
from rlhf_demo.intervals import cluster_interval, watched_interval

CLASSES = 1000
"""A share of 5% comes out within 0.7 points of itself two times of three."""


def test_simulated_votes_have_the_share_and_the_likeness_that_they_are_said_to_have():
    values, pairs = judged(random.Random(0), 20_000, 2, 0.8, 0.6)
    by_pair = {}
    for value, pair in zip(values, pairs):
        by_pair.setdefault(pair, []).append(value)
    assert sum(values) / len(values) == pytest.approx(0.8, abs=0.01)
    # Two votes differ with 2 * 0.8 * 0.2 * (1 - 0.6) = 0.128.
    differ = [first != second for first, second in by_pair.values()]
    assert sum(differ) / len(differ) == pytest.approx(0.128, abs=0.01)


@pytest.mark.parametrize("students", [10, 20, 30])
def test_equal_models_are_called_different_in_5_percent_of_classes_at_most(students):
    found = calls(cluster_interval, random.Random(students), CLASSES, students)
    assert 0.02 < found < 0.065  # 5% and what a thousand classes scatter


def test_who_takes_votes_for_units_calls_them_different_three_times_as_often():
    assert calls(votes_alone, random.Random(0), CLASSES, 30) > 0.14


def test_who_watches_needs_the_watched_interval():
    rng = random.Random(0)
    streams = [judged(rng, 100, 1, 0.5, 0.0) for _ in range(200)]
    watched = sum(called_different(watched_interval, one, 1) for one in streams)
    at_one_look = sum(called_different(cluster_interval, one, 10) for one in streams)
    assert watched <= 0.05 * 200 < 0.2 * 200 < at_one_look


def test_class_watched_from_its_first_vote_on_is_safe_too():
    found = calls(watched_interval, random.Random(0), 100, 20, first_look=1)
    assert found <= 0.05


@pytest.mark.parametrize(("share", "least"), [(0.5, 0.92), (0.8, 0.91), (0.95, 0.9)])
@pytest.mark.parametrize(("pairs", "votes"), [(10, 3), (40, 1), (40, 5), (80, 3)])
def test_interval_over_pairs_covers(share, least, pairs, votes):
    rng = random.Random(0)
    assert coverage(cluster_interval, rng, CLASSES, pairs, votes, share, ALIKE) > least


def test_ten_held_out_pairs_seldom_tell_a_fair_model_from_a_coin_and_forty_do():
    rng = random.Random(0)
    assert better_than_chance(rng, CLASSES, 10, 3, 0.7) < 0.3
    assert better_than_chance(rng, CLASSES, 40, 3, 0.7) > 0.75


def test_curve_of_models_that_know_nothing_needs_the_watched_interval():
    at_one_look = better_than_chance_at_some_look(cluster_interval, random.Random(0), 200, 200)
    watched = better_than_chance_at_some_look(watched_interval, random.Random(0), 200, 200)
    assert watched <= 0.05 < 0.1 < at_one_look


def test_curve_of_models_that_know_the_taste_rises_above_a_coin():
    assert better_than_chance_at_some_look(watched_interval, random.Random(0), 100, 400, 0.8) > 0.85


def test_votes_of_a_class_follow_the_better_text_and_one_on_each_pair_tells_more():
    values, pairs = blind_vote(random.Random(0), 0.75, 2000, 10, 1)
    assert len(values) == len(set(pairs)) == 20_000
    # 0.75 * 0.77 + 0.25 * 0.23 = 0.635
    assert sum(values) / len(values) == pytest.approx(0.635, abs=0.01)
    few, many = (tells_apart(random.Random(1), 300, 0.75, 20, 12, seats) for seats in (3, 1))
    assert many > few + 0.02
    assert RIGHT == pytest.approx(0.1 * 0.5 + 0.9 * 0.8)
