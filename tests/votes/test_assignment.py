"""Who is shown which pair; what the store does with it is in test_store.py and test_classes.py."""

from collections import Counter

import pytest

from rlhf_demo.votes.assignment import answers_for
from tests.voting import HAPPY, join, new_pairs, take_turns


@pytest.mark.parametrize(
    ("pairs", "answers"),
    # In each ten answers the fifth is to an attention check and the tenth to a repeat. After 24
    # answers 20 pairs are done, and the fifth of its ten, the attention check, still comes.
    [(0, 0), (4, 5), (5, 6), (8, 10), (9, 11), (15, 18), (20, 25)],
)
def test_answers_for_a_number_of_pairs_count_the_checks(pairs, answers):
    assert answers_for(pairs) == answers


def test_students_give_as_many_answers_as_are_expected(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(40))
    take_turns(store, join(classes, opened, 2))
    given = Counter(vote.voter for vote in classes.votes(opened.token))
    assert list(given.values()) == [answers_for(20)] * 2
