"""How good votes are, on examples worked by hand."""

from dataclasses import replace

import pytest

from rlhf_demo.agreement import (
    careless_reasons,
    caught_share,
    human_ceiling,
    krippendorff_alpha,
    left_share,
    rater_table,
    self_agreement,
    tie_share,
    vote_quality,
    votes_alpha,
    win_rate,
)
from rlhf_demo.ballots import CATCH, DUEL, PLAIN, Vote

VOTE = Vote(
    id=1, lesson=1, round=1, kind=PLAIN, pair=1, prompt="The film", first=" is good.",
    second=" is bad.", first_model="m", second_model="m", question="Which is happier?", rater=1,
    choice="first", swapped=False, repeat=False, time=0.0, seconds=2.0, simulated=False,
    left_out=False,
)  # fmt: skip


def votes_on(pair, *choices):
    return [replace(VOTE, pair=pair, rater=n, choice=c) for n, c in enumerate(choices, start=1)]


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
        replace(VOTE, pair=1, rater=3, choice="skip"),
        replace(VOTE, pair=1, rater=1, choice="second", repeat=True),
        *[replace(v, kind=CATCH) for v in votes_on(3, "first", "second")],
    ]
    assert votes_alpha(full + noise) == 1.0


def test_votes_alpha_keeps_questions_apart():
    other = [replace(v, question="Which is longer?") for v in votes_on(1, "second", "second")]
    assert votes_alpha([*votes_on(1, "first", "first"), *other]) == 1.0


def test_tie_share_counts_all_answers_but_skips():
    found = tie_share(votes_on(1, "tie", "first", "both_bad", "skip", "second"))
    assert (found.share, found.count) == (0.25, 4)


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
    assert (found.share, found.count) == (pytest.approx(2 / 3), 3)


def test_shares_of_nothing_are_unknown():
    quality = vote_quality([])
    assert quality["alpha"] is None
    nothing = {"share": None, "low": 0.0, "high": 1.0, "count": 0}
    assert quality["ties"] == quality["left"] == quality["human_ceiling"] == nothing


def test_self_agreement_compares_repeats_with_first_answers():
    votes = [
        replace(VOTE, pair=1, choice="first"),
        replace(VOTE, pair=1, choice="first", repeat=True),
        replace(VOTE, pair=2, choice="first"),
        replace(VOTE, pair=2, choice="tie", repeat=True),
        replace(VOTE, pair=3, choice="first"),
    ]
    assert (self_agreement(votes).share, self_agreement(votes).count) == (0.5, 2)


def test_caught_share_forgives_tie_both_bad_and_skip():
    votes = [replace(v, kind=CATCH) for v in votes_on(1, "tie", "both_bad", "skip", "first")]
    assert (caught_share(votes).share, caught_share(votes).count) == (0.25, 4)


def test_human_ceiling_is_leave_one_out():
    # Pair 1, first first second: each "first" faces one of each (1/2), "second" two others (0).
    # Pair 2, both second: each is foretold by the other (1). Pair 3 has one vote: nobody to ask.
    votes = [
        *votes_on(1, "first", "first", "second"),
        *votes_on(2, "second", "second", "tie"),
        *votes_on(3, "first"),
    ]
    found = human_ceiling(votes)
    assert (found.share, found.count) == (pytest.approx((0.5 + 0.5 + 0 + 1 + 1) / 5), 5)


def test_careless_needs_two_catch_pairs():
    caught = [replace(VOTE, kind=CATCH, choice="first")]
    assert careless_reasons(caught) == []
    assert careless_reasons(caught * 2) == ["preferred one of two identical texts 2 times of 2"]
    passed = [replace(VOTE, kind=CATCH, choice="tie")]
    assert careless_reasons(caught + passed * 2) == []


@pytest.mark.parametrize(
    ("lefts", "rights", "reasons"),
    [
        (9, 1, ["chose the left text 9 times of 10"]),
        (1, 9, ["chose the right text 9 times of 10"]),
        (8, 2, []),
        (9, 0, []),
    ],
)
def test_careless_who_always_taps_one_side_is_named(lefts, rights, reasons):
    votes = [VOTE] * lefts + [replace(VOTE, choice="second")] * rights
    assert careless_reasons(votes) == reasons


def test_rater_table_has_a_row_for_each_rater():
    votes = [*votes_on(1, "first", "first", "second"), *votes_on(2, "tie")]
    rows = rater_table([replace(v, left_out=v.rater == 3) for v in votes])
    assert [row["rater"] for row in rows] == [1, 2, 3]
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
