"""Who is shown which pair; what the store does with it is in test_store.py and test_classes.py."""

from collections import Counter

import pytest

from rlhf_demo.votes.assignment import answers_for
from tests.voting import HAPPY, answer_one, join, new_pairs, take_turns


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


def answer_all(store, classes, secrets, goal):
    """Let one after the other answer until there is no pair; return how many pairs each has."""
    for secret in secrets:
        while assignment := store.next_pair(secret, goal=goal):
            store.clock.now += 1
            store.vote(secret, assignment.id, "left")
    return [classes.student_view(secret)["done"] for secret in secrets]


def test_students_who_only_join_stop_nobody_who_answers(store, classes, rounds):
    """Twelve pairs for two students with a goal of six; then a phone joins eight times."""
    opened = classes.create_class(HAPPY, overlap=1)
    first = join(classes, opened, 2)
    rounds.add_pairs(opened.collection, new_pairs(12))
    for secret in first:
        answer_one(store, secret)
    join(classes, opened, 8)
    assert answer_all(store, classes, first, goal=6) == [6, 6]


def test_those_who_have_answered_come_before_phones_that_joined_earlier(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    join(classes, opened, 8)
    rounds.add_pairs(opened.collection, new_pairs(12))
    late = join(classes, opened, 2)
    for secret in late:
        answer_one(store, secret)  # a first pair is there for everybody
    assert answer_all(store, classes, late, goal=6) == [6, 6]


def test_no_student_gets_more_than_the_goal_before_the_others_have_theirs(store, classes, rounds):
    """Nine pairs for three students with a goal of four: the last gets a third of nine."""
    opened = classes.create_class(HAPPY, overlap=1)
    students = join(classes, opened, 3)
    rounds.add_pairs(opened.collection, new_pairs(9))
    assert answer_all(store, classes, students, goal=4) == [4, 4, 3]
    rounds.add_pairs(opened.collection, new_pairs(3, start=9))
    assert answer_all(store, classes, students, goal=4) == [4, 4, 4]
