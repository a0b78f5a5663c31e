"""The held-out report, on numbers worked by hand."""

import math

import pytest

from rlhf_demo.intervals import cluster_interval, wilson_interval
from rlhf_demo.preferences import Pairs
from rlhf_demo.reliability import (
    format_report,
    held_out_report,
    pair_loss,
    quartile_table,
    reliability_table,
    same_pair,
)

LN3 = math.log(3)  # sigmoid(ln 3) = 3 / (1 + 3) = 0.75


@pytest.mark.parametrize(
    ("margin", "loss"), [(0.0, math.log(2)), (LN3, -math.log(0.75)), (-LN3, -math.log(0.25))]
)
def test_pair_loss_equals_minus_log_sigmoid(margin, loss):
    assert pair_loss(margin) == pytest.approx(loss)


def test_pair_loss_of_huge_margins_stays_finite():
    assert pair_loss(-1e4) == pytest.approx(1e4)
    assert pair_loss(1e4) == 0.0


def test_reliability_table_compares_sureness_with_how_often_it_is_right():
    # |margin| = ln 3 says 0.75; three of four are right. A margin of 0 says 0.5 and counts half.
    rows = reliability_table([LN3, LN3, -LN3, LN3, 0.0])
    assert rows == [
        {"low": 0.5, "high": 0.6, "predicted": 0.5, "observed": 0.5, "pairs": 1},
        {"low": 0.7, "high": 0.8, "predicted": pytest.approx(0.75), "observed": 0.75, "pairs": 4},
    ]


def test_reliability_table_keeps_pairs_of_full_sureness():
    assert reliability_table([1e4]) == [
        {"low": 0.9, "high": 1.0, "predicted": 1.0, "observed": 1.0, "pairs": 1}
    ]


def test_quartile_table_sorts_by_the_raters_margin():
    # Sorted by size: 0.1 wrong, 0.2 right | 0.3 wrong, 0.4 wrong | 0.5 right, 0.6 right | 0.7
    # right, 0.8 wrong
    table = quartile_table([0.5, -0.1, 0.8, 0.2, 0.3, 0.7, 0.4, 0.6], [1, 0, 0, 1, 0, 1, 0, 1])
    assert [row["accuracy"] for row in table] == [0.5, 0.0, 1.0, 0.5]
    assert [(row["low"], row["high"]) for row in table] == [
        (0.1, 0.2),
        (0.3, 0.4),
        (0.5, 0.6),
        (0.7, 0.8),
    ]
    assert [row["pairs"] for row in table] == [2, 2, 2, 2]


@pytest.fixture
def report():
    pairs = Pairs(
        ["p"] * 4,
        ["long one", "ab", "a", "same"],
        ["short", "abc", "b", "size"],
        [1.0, 2.0, 3.0, 4.0],
    )
    return held_out_report(pairs, [LN3, -LN3, -1.0, 0.0])


def test_held_out_report_equals_hand_working(report):
    # Right: 1, 0, 0 and a tie = 1.5 of 4. Longer wins: 1, 0, tie, tie = 2 of 4.
    assert report["accuracy"] == 0.375
    assert report["pairs"] == 4
    assert report["baseline_longer"] == 0.5
    assert (report["accuracy_low"], report["accuracy_high"]) == wilson_interval(1.5, 4)
    # -ln 0.75 - ln 0.25 + ln(1 + e) + ln 2 = 0.287682 + 1.386294 + 1.313262 + 0.693147 = 3.680385
    assert report["loss"] == pytest.approx(3.680385 / 4, abs=1e-6)
    assert [row["accuracy"] for row in report["margin_quartiles"]] == [1.0, 0.0, 0.0, 0.5]


def test_held_out_report_lists_wrong_pairs_worst_first(report):
    assert report["most_wrong"] == [
        {"prompt": "p", "chosen": "ab", "rejected": "abc", "margin": -LN3},
        {"prompt": "p", "chosen": "a", "rejected": "b", "margin": -1.0},
    ]


def test_held_out_report_without_rater_margins_has_no_quartiles():
    report = held_out_report(Pairs(["p"], ["a"], ["b"]), [1.0])
    assert report["margin_quartiles"] == []
    assert report["most_wrong"] == []
    assert "rater's margin" not in format_report(report)


def test_format_report_shows_accuracy_interval_and_baselines(report):
    text = format_report(report)
    assert (
        "0.375" in text and f"{report['accuracy_low']:.3f} to {report['accuracy_high']:.3f}" in text
    )
    assert "the longer one wins 0.500" in text and "0.693" in text
    assert "preferred ab" in text


def test_votes_on_the_same_two_texts_are_one_pair_whoever_preferred_which():
    # Three say a, one says b, and another prompt has the same texts: two pairs, not five.
    pairs = Pairs(["p", "p", "p", "p", "q"], ["a", "a", "a", "b", "a"], ["b", "b", "b", "a", "b"])
    groups = same_pair(pairs)
    assert len(set(groups)) == 2 and groups[0] == groups[3] != groups[4]
    report = held_out_report(pairs, [1.0, 1.0, 1.0, -1.0, 1.0])
    told = (report["accuracy_low"], report["accuracy_high"])
    assert told == cluster_interval([1, 1, 1, 0, 1], [1, 1, 1, 1, 2])
    assert told[0] < wilson_interval(4, 5)[0]
