"""How good votes are, on examples worked by hand."""

import math
import random
from dataclasses import replace
from statistics import mean

import pytest

from bench.vote_intervals import named_within
from rlhf_demo.intervals import cluster_interval, watched_interval
from rlhf_demo.votes.quality import (
    agreement_with_others,
    careless_reasons,
    caught_share,
    check_evidence,
    highest_accuracy,
    krippendorff_alpha,
    left_share,
    self_agreement,
    side_evidence,
    tie_share,
    vote_quality,
    voter_table,
    votes_alpha,
    win_rate,
)
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL, PLAIN, Vote

VOTE = Vote(
    id=1, collection=1, round=1, kind=PLAIN, pair=1, prompt="The film", first=" is good.",
    second=" is bad.", first_model="m", second_model="m", question="Which is happier?", voter=1,
    choice="first", swapped=False, repeat=False, time=0.0, seconds=2.0, simulated=False,
    left_out=False,
)  # fmt: skip


def votes_on(pair, *choices):
    return [replace(VOTE, pair=pair, voter=n, choice=c) for n, c in enumerate(choices, start=1)]


def test_alpha_of_krippendorffs_four_observers_equals_his_0743():
    # Krippendorff 2011, section C: 12 units, 4 observers, labels 1 to 5, "." = missing.
    table = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    ratings = [
        (unit, observer, label)
        for observer, row in enumerate(table)
        for unit, label in enumerate(row)
        if label != "."
    ]
    # The last unit has one label and drops out, n = 40 remain: n_c = 9, 13, 10, 5, 3. Coincidences
    # of equal labels are 7, 10, 8, 4, 3, together 32; sum of n_c (n_c - 1) = 72 + 156 + 90 + 20 +
    # 6 = 344. alpha = (39 * 32 - 344) / (40 * 39 - 344) = 904 / 1216.
    assert krippendorff_alpha(ratings) == pytest.approx(904 / 1216)
    assert round(krippendorff_alpha(ratings), 3) == 0.743


def test_alpha_of_opposite_labels_is_below_zero():
    # Two units, both split: n = 4, n_c = 2, 2; none agree: (0 - 4) / (12 - 4).
    assert krippendorff_alpha([(1, 1, "a"), (1, 2, "b"), (2, 1, "a"), (2, 2, "b")]) == -0.5


@pytest.mark.parametrize("ratings", [[], [(1, 1, "a"), (2, 1, "b")], [(1, 1, "a"), (1, 2, "a")]])
def test_alpha_without_overlap_or_variation_is_unknown(ratings):
    assert krippendorff_alpha(ratings) is None


def test_votes_alpha_leaves_out_skips_repeats_and_catch_pairs():
    full = [*votes_on(1, "first", "first"), *votes_on(2, "second", "second")]
    noise = [
        replace(VOTE, pair=1, voter=3, choice="skip"),
        replace(VOTE, pair=1, voter=1, choice="second", repeat=True),
        *[replace(v, kind=ATTENTION_CHECK) for v in votes_on(3, "first", "second")],
    ]
    assert votes_alpha(full + noise) == 1.0


def test_votes_alpha_keeps_questions_apart():
    other = [replace(v, question="Which is longer?") for v in votes_on(1, "second", "second")]
    assert votes_alpha([*votes_on(1, "first", "first"), *other]) == 1.0


def test_tie_share_counts_all_answers_but_skips():
    found = tie_share(votes_on(1, "tie", "first", "both_bad", "skip", "second"))
    assert (found["share"], found["count"], found["units"]) == (0.25, 4, 1)
    assert (found["low"], found["high"]) == cluster_interval([1, 0, 0, 0], [1] * 4)


def test_left_share_follows_the_screen_not_the_text():
    # first on the left, second on the right, second on the left: two of three went left.
    votes = [
        replace(VOTE, choice="first", swapped=False),
        replace(VOTE, choice="second", swapped=False),
        replace(VOTE, choice="second", swapped=True),
        replace(VOTE, choice="first", swapped=None),  # imported, side unknown
        replace(VOTE, choice="tie"),
    ]
    found = left_share(votes)
    assert (found["share"], found["count"]) == (pytest.approx(2 / 3), 3)


def test_shares_of_nothing_are_unknown():
    quality = vote_quality([])
    assert quality["alpha"] is None
    nothing = {"share": None, "low": 0.0, "high": 1.0, "count": 0, "units": 0}
    assert quality["ties"] == quality["left"] == quality["with_others"] == nothing
    assert quality["highest_accuracy"] is None


def test_self_agreement_compares_repeats_with_first_answers():
    votes = [
        replace(VOTE, pair=1, choice="first"),
        replace(VOTE, pair=1, choice="first", repeat=True),
        replace(VOTE, pair=2, choice="first"),
        replace(VOTE, pair=2, choice="tie", repeat=True),
        replace(VOTE, pair=3, choice="first"),
    ]
    assert (self_agreement(votes)["share"], self_agreement(votes)["count"]) == (0.5, 2)


def test_caught_share_forgives_tie_both_bad_and_skip():
    votes = [
        replace(v, kind=ATTENTION_CHECK) for v in votes_on(1, "tie", "both_bad", "skip", "first")
    ]
    assert (caught_share(votes)["share"], caught_share(votes)["count"]) == (0.25, 4)


def test_agreement_with_others_is_leave_one_out():
    # Pair 1, first first second: each "first" faces one of each (1/2), "second" two others (0).
    # Pair 2, both second: each is predicted by the other (1). Pair 3 has one vote: nobody to ask.
    votes = [
        *votes_on(1, "first", "first", "second"),
        *votes_on(2, "second", "second", "tie"),
        *votes_on(3, "first"),
    ]
    found = agreement_with_others(votes)
    assert (found["share"], found["count"]) == (pytest.approx((0.5 + 0.5 + 0 + 1 + 1) / 5), 5)
    assert found["units"] == 2
    assert (found["low"], found["high"]) == cluster_interval([0.5, 0.5, 0, 1, 1], [1, 1, 1, 2, 2])


def test_highest_accuracy_is_the_larger_side_of_each_pair():
    # 2 of 3, 2 of 2, 1 of 2 (split), 1 of 1: six of eight.
    votes = [
        *votes_on(1, "first", "first", "second"),
        *votes_on(2, "second", "second", "tie"),
        *votes_on(3, "first", "second"),
        *votes_on(4, "first"),
    ]
    assert highest_accuracy(votes) == 6 / 8


def test_pairs_with_one_preference_raise_the_highest_accuracy():
    # 2 of 3, and 6 of the 6 pairs of a ranking: eight of nine.
    votes = votes_on(1, "first", "first", "second")
    assert highest_accuracy(votes, 6) == pytest.approx(8 / 9)
    assert highest_accuracy([], 6) is None


def test_highest_accuracy_of_single_votes_says_nothing():
    single = [*votes_on(1, "first"), *votes_on(2, "second", "tie")]
    assert highest_accuracy(single) is None
    again = replace(single[0], repeat=True)
    assert highest_accuracy([*single, again]) is None


def a_class_that_agrees(rng, pairs, voters, right):
    """Make votes on pairs whose better text is drawn by lot and preferred by `right` of people."""
    votes = []
    for pair in range(pairs):
        better, other = rng.sample(("first", "second"), 2)
        choices = [better if rng.random() < right else other for _ in range(voters)]
        votes += [(vote, better) for vote in votes_on(pair, *choices)]
    return votes


@pytest.mark.parametrize("voters", [2, 3, 5])
def test_who_knows_the_taste_beats_the_few_others_and_never_the_highest_accuracy(voters):
    rng = random.Random(voters)
    knows, others, highest = [], [], []
    for _ in range(50):
        judged = a_class_that_agrees(rng, 60, voters, 0.8)
        votes = [vote for vote, _ in judged]
        knows.append(mean(vote.choice == better for vote, better in judged))
        others.append(agreement_with_others(votes)["share"])
        highest.append(highest_accuracy(votes))
        assert knows[-1] <= highest[-1]
    # Two others: 0.8^2 + 0.2^2 = 0.68 by either, a split counted half; four others do better.
    assert mean(knows) == pytest.approx(0.8, abs=0.02)
    assert mean(others) == pytest.approx({2: 0.68, 3: 0.68, 5: 0.738}[voters], abs=0.02)


def test_evidence_equals_hand_working():
    # Ten left of ten: 1/11 from any habit, 0.6^10 from a careful reader's strongest.
    assert side_evidence(10, 10) == pytest.approx(math.log(1 / 11 / 0.6**10))
    # Five of ten: 1 / (11 * 252) against 0.5^10.
    assert side_evidence(5, 10) == pytest.approx(math.log(2**10 / (11 * 252)))
    assert side_evidence(0, 0) == check_evidence(0, 0) == 0.0
    # Two of three: 0.7^2 * 0.3 against 0.05^2 * 0.95.
    assert check_evidence(2, 3) == pytest.approx(math.log(0.147 / 0.002375))


def test_who_prefers_identical_texts_is_named_when_it_cannot_be_a_slip_of_any_voter():
    caught = replace(VOTE, kind=ATTENTION_CHECK, choice="first", swapped=None)
    # Against 20 * 30 = 600: two slips are 14^2 = 196 times likelier, three 2,744 times.
    assert careless_reasons([caught] * 2, 30) == []
    three = ["preferred one of two identical texts 3 times out of 3"]
    assert careless_reasons([caught] * 3, 30) == three
    # In a class of nine, against 180, two are enough; and a pair passed takes them back.
    assert careless_reasons([caught] * 2, 9) == [three[0].replace("3", "2")]
    assert careless_reasons([caught, caught, replace(caught, choice="tie")], 9) == []


@pytest.mark.parametrize(
    ("lefts", "rights", "reasons"),
    [
        # 0.6^-n / (n + 1) passes 600 at 19: 16,411 / 20 = 820; at 18 it is 9,846 / 19 = 518.
        (19, 0, ["chose the left text 19 times out of 19"]),
        (0, 19, ["chose the right text 19 times out of 19"]),
        (18, 0, []),
        (14, 5, []),
    ],
)
def test_careless_who_always_taps_one_side_is_named(lefts, rights, reasons):
    votes = [VOTE] * lefts + [replace(VOTE, choice="second")] * rights
    assert careless_reasons(votes, 30) == reasons


@pytest.mark.parametrize("voters", [1, 10, 30, 60])
@pytest.mark.parametrize("careful", [{}, {"slips": 0.0}, {"left": 0.6}, {"left": 0.42}])
def test_any_careful_voter_of_a_class_is_named_with_5_percent_at_most(voters, careful):
    assert 1 - (1 - named_within(60, voters, **careful)) ** voters <= 0.05


@pytest.mark.parametrize(
    ("answers", "careless", "found"),
    [
        (15, {"left": 1.0, "slips": 1.0}, 1.0),  # a thumb that rests on one side
        (25, {"slips": 1.0}, 1.0),  # either side, whatever the texts
        (25, {"left": 0.8, "slips": 1.0}, 1.0),
        (40, {"left": 1.0, "slips": 0.0}, 1.0),  # sees identical texts, and else taps one side
    ],
)
def test_careless_voter_of_a_class_of_30_is_named_within_a_collection(answers, careless, found):
    assert named_within(answers, 30, **careless) == pytest.approx(found)


def test_side_of_a_catch_pair_is_no_evidence_beside_the_slip():
    caught = replace(VOTE, kind=ATTENTION_CHECK)
    assert careless_reasons([VOTE] * 19 + [caught] * 3, 30) == [
        "preferred one of two identical texts 3 times out of 3",
        "chose the left text 19 times out of 19",
    ]


def test_voter_table_has_a_row_for_each_voter():
    votes = [*votes_on(1, "first", "first", "second"), *votes_on(2, "tie")]
    rows = voter_table([replace(v, left_out=v.voter == 3) for v in votes])
    assert [row["voter"] for row in rows] == [1, 2, 3]
    assert [row["votes"] for row in rows] == [2, 1, 1]
    assert [row["left_out"] for row in rows] == [False, False, True]
    assert [row["with_others"]["share"] for row in rows] == [0.5, 0.5, 0.0]
    assert rows[0]["ties"]["share"] == 0.5
    assert rows[0]["seconds"] == 2.0


def test_win_rate_counts_ties_half_and_no_skips():
    duels = [
        replace(v, kind=DUEL)
        for v in votes_on(1, "second", "second", "first", "tie", "both_bad", "skip")
    ]
    found = win_rate([*duels, VOTE])
    # (2 + 2 / 2) / 5
    assert (found["rate"], found["votes"], found["wins"], found["losses"]) == (0.6, 5, 2, 1)
    assert win_rate(duels, "first")["rate"] == 0.4
    assert win_rate([])["rate"] is None


def test_interval_of_a_win_rate_counts_pairs_and_heeds_who_watches():
    duels = [
        replace(vote, kind=DUEL)
        for pair in range(12)
        for vote in votes_on(pair, "second", "second", "first" if pair < 4 else "tie")
    ]
    points, pairs = [1, 1, 0] * 4 + [1, 1, 0.5] * 8, [n // 3 for n in range(36)]
    found, watched = win_rate(duels), win_rate(duels, watched=True)
    assert (found["votes"], found["pairs"]) == (36, 12)
    assert (found["low"], found["high"]) == cluster_interval(points, pairs)
    assert (watched["low"], watched["high"]) == watched_interval(points, pairs)
    # Eight pairs of 12 decide what 36 votes only seem to.
    assert watched["low"] < 0.5 < found["low"]
