"""Which two responses voters compare."""

import pytest

from rlhf_demo.data.pairs import SHIPPED, load_pairs
from rlhf_demo.server.pair_choice import ENOUGH, difference, four_that_differ, makes_a_pair


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("It was good.", "it was good", 0.0),  # capitals and signs do not count
        ("It was good.", "It was very good.", 1 - 6 / 7),  # 3 words match, of 3 + 4
        ("It was good.", "I hated every minute.", 1.0),
        ("a b c d", "c d a b", 1 - 4 / 8),  # only two of them are in one order
        ("", "", 0.0),
        ("", "a", 1.0),
    ],
)
def test_difference_is_the_share_of_words_that_do_not_match(left, right, expected):
    assert difference(left, right) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("left", "right", "feedback", "blind"),
    [
        (" is good.", " is very good.", False, True),  # 4 of 5 words match
        (" is good.", " bored me.", True, True),
        (" a b", " a c", True, True),  # exactly half
        (" is good.", " is good. ", False, False),
        ("", " is good.", False, False),
        (" is good.", " ", False, False),
    ],
)
def test_pairs_of_nearly_the_same_text_are_shown_in_a_blind_vote_alone(
    left, right, feedback, blind
):
    assert makes_a_pair(left, right, blind=False) is feedback
    assert makes_a_pair(left, right, blind=True) is blind


def test_few_of_the_shipped_pairs_share_most_of_their_words():
    sides = [load_pairs(SHIPPED, split) for split in ("train", "heldout")]
    values = [
        difference(*texts)
        for pairs in sides
        for texts in zip(pairs.chosen, pairs.rejected, strict=True)
    ]
    few = sum(value < ENOUGH for value in values) / len(values)
    assert few == pytest.approx(0.035, abs=0.001)


def test_first_four_texts_that_all_differ_are_ranked():
    one, two, three, four = " was good.", " bored me to tears.", " is on at nine.", " has a dog"
    near, empty = " was good, very.", " "
    assert four_that_differ([one, near, two, empty, three, one, four, " more"]) == (
        one, two, three, four,
    )  # fmt: skip
    assert four_that_differ([empty, one, near, two, three]) is None
