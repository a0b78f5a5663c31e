"""The held-out report, on numbers worked by hand."""

import math
from dataclasses import replace

import pytest

from rlhf_demo.data.pairs import Pairs
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.reliability import (
    format_report,
    held_out_report,
    pair_loss,
    preference,
    quartile_table,
    read_report,
    reliability_table,
    same_pair,
)
from rlhf_demo.files import write_json
from rlhf_demo.intervals import cluster_interval, watched_interval, wilson_interval
from rlhf_demo.paths import CHECKPOINTS

LN3 = math.log(3)  # sigmoid(ln 3) = 3 / (1 + 3) = 0.75


@pytest.mark.parametrize(
    ("margin", "loss"), [(0.0, math.log(2)), (LN3, -math.log(0.75)), (-LN3, -math.log(0.25))]
)
def test_pair_loss_equals_minus_log_sigmoid(margin, loss):
    assert pair_loss(margin) == pytest.approx(loss)


def test_pair_loss_of_huge_margins_stays_finite():
    assert pair_loss(-1e4) == pytest.approx(1e4)
    assert pair_loss(1e4) == 0.0


def test_reliability_table_compares_confidence_with_how_often_it_is_right():
    # |margin| = ln 3 says 0.75; three of four are right. A margin of 0 says 0.5 and counts half.
    rows = reliability_table([LN3, LN3, -LN3, LN3, 0.0], range(5))
    (low, high), (half_low, half_high) = wilson_interval(3, 4), wilson_interval(0.5, 1)
    assert rows == [
        {
            "low": 0.5, "high": 0.6, "predicted": 0.5, "observed": 0.5,
            "observed_low": half_low, "observed_high": half_high, "pairs": 1,
        },
        {
            "low": 0.7, "high": 0.8, "predicted": pytest.approx(0.75), "observed": 0.75,
            "observed_low": low, "observed_high": high, "pairs": 4,
        },
    ]  # fmt: skip


def test_reliability_table_takes_votes_on_one_pair_for_one():
    [row] = reliability_table([LN3, LN3, LN3, -LN3], ["a", "a", "a", "b"])
    told = (row["observed_low"], row["observed_high"])
    assert told == cluster_interval([1, 1, 1, 0], ["a", "a", "a", "b"])
    assert told[0] < wilson_interval(3, 4)[0]


def test_reliability_table_keeps_pairs_of_full_confidence():
    [row] = reliability_table([1e4], [0])
    assert (row["low"], row["predicted"], row["observed"], row["pairs"]) == (0.9, 1.0, 1.0, 1)


def test_quartile_table_sorts_by_the_raters_margin():
    # Sorted by size: 0.1 wrong, 0.2 right | 0.3 wrong, 0.4 wrong | 0.5 right, 0.6 right | 0.7
    # right, 0.8 wrong
    margins = [0.5, -0.1, -0.8, 0.2, 0.3, 0.7, 0.4, 0.6]
    table = quartile_table(margins, [1, 0, 0, 1, 0, 1, 0, 1], range(8))
    assert [row["accuracy"] for row in table] == [0.5, 0.0, 1.0, 0.5]
    assert [(row["low"], row["high"]) for row in table] == [
        (0.1, 0.2),
        (0.3, 0.4),
        (0.5, 0.6),
        (0.7, 0.8),
    ]
    assert [row["pairs"] for row in table] == [2, 2, 2, 2]
    told = [(row["accuracy_low"], row["accuracy_high"]) for row in table]
    assert told == [wilson_interval(right, 2) for right in (1, 0, 2, 1)]


STD = 2.0
"""Logits to a score of 1."""


@pytest.fixture
def report():
    pairs = Pairs(
        ["p"] * 4,
        ["long one", "ab", "a", "same"],
        ["short", "abc", "b", "size"],
        [1.0, 2.0, 3.0, 4.0],
    )
    return held_out_report(pairs, [LN3, -LN3, -1.0, 0.0], STD)


def many(count, chosen="aa", rejected="b"):
    """Return a report of pairs that differ in their prompts, the first of which it gets wrong."""
    prompts = [f"p{index}" for index in range(count)]
    pairs = Pairs(prompts, [chosen] * count, [rejected] * count, [float(n) for n in range(count)])
    return held_out_report(pairs, [-LN3] + [LN3] * (count - 1), STD)


def test_held_out_report_equals_hand_working(report):
    # Right: 1, 0, 0 and a tie = 1.5 of 4. Longer wins: 1, 0, tie, tie = 2 of 4.
    assert report["accuracy"] == 0.375
    assert report["pairs"] == report["different_pairs"] == 4
    assert (report["baseline_length"], report["baseline_side"]) == (0.5, "longer")
    assert (report["accuracy_low"], report["accuracy_high"]) == wilson_interval(1.5, 4)
    # -ln 0.75 - ln 0.25 + ln(1 + e) + ln 2 = 0.287682 + 1.386294 + 1.313262 + 0.693147 = 3.680385
    assert report["loss"] == pytest.approx(3.680385 / 4, abs=1e-6)
    # It says 0.75, 0.75, 1 / (1 + 1/e) = 0.731059 and 0.5: 2.731059 / 4.
    assert report["stated"] == pytest.approx(2.731059 / 4, abs=1e-6)


def test_margins_of_the_worst_pairs_are_in_units_of_the_saved_score_worst_first(report):
    assert report["most_wrong"] == [
        {"prompt": "p", "chosen": "ab", "rejected": "abc", "margin": -LN3 / 2},
        {"prompt": "p", "chosen": "a", "rejected": "b", "margin": -0.5},
    ]
    # So the factor turns them back into the probability that the training meant: 1/4.
    assert preference(-LN3 / 2, report["score_std"]) == pytest.approx(0.25)


def test_report_on_long_texts_holds_their_nearest_parts_and_can_be_read_again(tmp_path):
    """One wrong pair with a prompt of 12,000 letters made a finished model look damaged."""
    prompt, text = "a" * 200_000 + "end", "start" + "\u05d0" * 200_000
    report = held_out_report(Pairs([prompt] * 10, [text] * 10, ["x"] * 10), [-1.0] * 10, STD)
    [worst, *_] = report["most_wrong"]
    assert worst["prompt"] == "\u2026" + "a" * 4997 + "end"
    assert worst["chosen"] == "start" + "\u05d0" * 4995 + "\u2026"
    assert worst["rejected"] == "x"
    write_json(tmp_path / "report.json", report)
    assert read_report(tmp_path)["most_wrong"] == report["most_wrong"]


@pytest.mark.parametrize(("longer_wins", "side"), [(8, "longer"), (2, "shorter")])
def test_length_baseline_is_the_better_side_and_says_which(longer_wins, side):
    chosen = ["aaa"] * longer_wins + ["b"] * (10 - longer_wins)
    report = held_out_report(Pairs(["p"] * 10, chosen, ["cc"] * 10), [1.0] * 10, STD)
    assert (report["baseline_length"], report["baseline_side"]) == (0.8, side)
    assert f"the {side:7} one wins 0.800" in format_report(report)


def test_tables_by_confidence_need_thirty_different_pairs():
    few, enough = many(29), many(30)
    assert few["reliability"] == few["margin_quartiles"] == []
    assert "Too few pairs to compare its confidence with how often it is right." in format_report(
        few
    )
    assert [row["pairs"] for row in enough["reliability"]] == [30]
    assert [row["pairs"] for row in enough["margin_quartiles"]] == [7, 8, 7, 8]
    thrice = Pairs(["p"] * 90, ["a"] * 90, ["b"] * 90)  # ninety votes on one pair
    assert held_out_report(thrice, [1.0] * 90, STD)["reliability"] == []


def test_held_out_report_without_rater_margins_has_no_quartiles():
    prompts = [f"p{index}" for index in range(40)]
    report = held_out_report(Pairs(prompts, ["a"] * 40, ["b"] * 40), [1.0] * 40, STD)
    assert report["margin_quartiles"] == report["most_wrong"] == []
    assert report["reliability"] and "labeller's margin" not in format_report(report)


def test_format_report_shows_accuracy_interval_baselines_and_what_a_score_means(report):
    text = format_report(report)
    told = f"0.375  (95% interval {report['accuracy_low']:.3f} to {report['accuracy_high']:.3f})"
    assert told in text and "the longer  one wins 0.500" in text and "0.693" in text
    assert "scores differ by -0.55" in text and "preferred ab" in text  # -ln 3 / 2
    # sigmoid(2 x 1) = 0.8808
    assert "scores 1 higher is preferred with probability 0.88 = sigmoid(2.00 x 1)" in text


def test_format_report_shows_the_interval_of_each_row():
    # Sure at 0.75 of each of 30, right on 29; in the first quartile of seven one is wrong.
    text, (low, high) = format_report(many(30)), wilson_interval(29, 30)
    assert f"0.75      0.97 ({low:.2f} to {high:.2f})      30" in text
    low, high = wilson_interval(6, 7)
    assert f"0.86 ({low:.2f} to {high:.2f})       7" in text


def test_votes_on_the_same_two_texts_are_one_pair_whoever_preferred_which():
    # Three say a, one says b, and another prompt has the same texts: two pairs, not five.
    pairs = Pairs(["p", "p", "p", "p", "q"], ["a", "a", "a", "b", "a"], ["b", "b", "b", "a", "b"])
    groups = same_pair(pairs)
    assert len(set(groups)) == 2 and groups[0] == groups[3] != groups[4]
    report = held_out_report(pairs, [1.0, 1.0, 1.0, -1.0, 1.0], STD)
    assert (report["pairs"], report["different_pairs"]) == (5, 2)
    told = (report["accuracy_low"], report["accuracy_high"])
    assert told == cluster_interval([1, 1, 1, 0, 1], [1, 1, 1, 1, 2])
    assert told[0] < wilson_interval(4, 5)[0]
    watched = (report["watched_low"], report["watched_high"])
    assert watched == watched_interval([1, 1, 1, 0, 1], [1, 1, 1, 1, 2])


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy_low": [0] * 9}, {"accuracy": "x"}, {"accuracy": True}, {"loss": 1e300},
        {"pairs": 1.5}, {"different_pairs": "x"}, {"baseline_side": 7}, {"reliability": {}},
        {"reliability": [{"low": "x"}]}, {"most_wrong": [7]}, {"dropped": {"empty": "x"}},
    ],
)  # fmt: skip
def test_a_report_with_a_figure_of_the_wrong_type_is_refused(tmp_path, report, change):
    write_json(tmp_path / "report.json", report)
    assert read_report(tmp_path) == report
    write_json(tmp_path / "report.json", report | change)
    with pytest.raises(DataError, match=r"report\.json has values of the wrong type"):
        read_report(tmp_path)


def test_a_report_above_a_megabyte_is_refused(tmp_path, report):
    write_json(tmp_path / "report.json", report | {"more": "x" * 2**20})
    with pytest.raises(DataError, match="more than 1 MB"):
        read_report(tmp_path)


def test_a_report_with_many_wrong_pairs_is_read_as_far_as_ours_go(tmp_path, report):
    write_json(tmp_path / "report.json", report | {"most_wrong": report["most_wrong"][:1] * 30})
    assert len(read_report(tmp_path)["most_wrong"]) == 10


def test_the_shipped_report_is_read():
    report = read_report(CHECKPOINTS / "examples" / "reward-shipped")
    assert report and report["pairs"] == 1256


def test_a_report_from_before_both_baselines_counts_as_none(tmp_path):
    assert read_report(tmp_path) is None
    write_json(tmp_path / "report.json", {"accuracy": 0.8, "baseline_longer": 0.5})
    assert read_report(tmp_path) is None
    report = {"accuracy": 0.8, "baseline_side": "longer", "baseline_length": 0.6}
    write_json(tmp_path / "report.json", report)
    assert read_report(tmp_path) == report


def test_pairs_of_a_ranking_are_right_or_wrong_together():
    texts = [("a", "b"), ("a", "c"), ("b", "c")]
    chosen, rejected = zip(*texts * 4, strict=True)
    prompts = [f"p{n}" for n in range(4) for _ in texts]
    named = [str(n) for n in range(4) for _ in texts]
    plain = Pairs(prompts, list(chosen), list(rejected))
    ranked = replace(plain, rankings=[*named])
    margins = [1.0] * 6 + [-1.0] * 6  # right in two rankings, wrong in two
    alone, together = (held_out_report(pairs, margins, STD) for pairs in (plain, ranked))
    assert alone["accuracy"] == together["accuracy"] == 0.5
    assert alone["different_pairs"] == together["different_pairs"] == 12
    assert (alone["accuracy_low"], alone["accuracy_high"]) == wilson_interval(6, 12)
    groups = [n for n in range(4) for _ in texts]
    right = [1.0] * 6 + [0.0] * 6
    assert (together["accuracy_low"], together["accuracy_high"]) == cluster_interval(right, groups)
    assert together["accuracy_low"] < alone["accuracy_low"]
