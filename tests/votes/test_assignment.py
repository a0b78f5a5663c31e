"""Who is shown which pair; what the store does with it is in test_store.py and test_classes.py."""

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.event import listen

from rlhf_demo.votes.assignment import answers_for, seats_left
from rlhf_demo.votes.tables import rounds as round_table
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


GOAL = 6
TOO_MANY = 8
"""More students than the pairs of the tests were written for."""


def answer_all(store, classes, students, goal=GOAL):
    """Let them take turns until nobody gets a pair; return how many pairs each has answered."""
    waiting = list(students)
    while waiting:
        waiting = [one for one in waiting if answer_one(store, one, goal=goal)]
    return [classes.student_view(one)["done"] for one in students]


def hold(store, students, goal=GOAL):
    """Let them take two pairs each, as a phone does, and answer none."""
    for secret in students:
        if first := store.next_pair(secret, goal=goal):
            store.next_pair(secret, goal=goal, after=first.id)


@pytest.fixture(params=["feedback", "blind"])
def opened(request, store, classes, rounds):
    """A class whose round needs one vote for each pair."""
    opened = classes.create_class(HAPPY, overlap=1)
    if request.param == "blind":
        rounds.open_blind(opened.token, "m", "n")
    return opened


def write(rounds, opened, count, start=0):
    """Add pairs to the round, as the server does while the class votes."""
    new = [replace(pair, second_model="n") for pair in new_pairs(count, start)]
    rounds.add_pairs(opened.collection, new)


def test_students_who_only_join_stop_nobody(store, classes, rounds, opened):
    first = join(classes, opened, 2)
    write(rounds, opened, 12)
    for secret in first:
        answer_one(store, secret, goal=GOAL)
    join(classes, opened, TOO_MANY)
    assert answer_all(store, classes, first) == [6, 6]


def test_students_who_joined_first_and_hold_all_pairs_stop_nobody(store, classes, rounds, opened):
    """The first pair comes without a seat, and the server writes more for those who answer."""
    hold(store, join(classes, opened, TOO_MANY))
    write(rounds, opened, 10)
    hold(store, join(classes, opened, TOO_MANY))
    late = join(classes, opened, 2)
    assert [answer_one(store, secret, goal=GOAL) for secret in late] == [True, True]
    write(rounds, opened, 2 * GOAL, start=10)
    assert answer_all(store, classes, late) == [6, 6]


def test_pairs_that_only_the_idle_hold_are_free_when_there_are_no_others(
    store, classes, rounds, opened
):
    """Two phones that joined sixty times each held all pairs of a blind vote without end."""
    write(rounds, opened, 2)
    late = join(classes, opened, 2)
    for secret in late:
        answer_one(store, secret, goal=GOAL)
    write(rounds, opened, 2 * GOAL - 2, start=2)
    hold(store, join(classes, opened, TOO_MANY))
    assert answer_all(store, classes, late) == [6, 6]


def test_students_who_answered_once_and_left_stop_nobody(store, classes, rounds, opened):
    write(rounds, opened, 20)
    for secret in join(classes, opened, TOO_MANY):
        answer_one(store, secret, goal=GOAL)
    store.clock.now += 60
    late = join(classes, opened, 2)
    assert answer_all(store, classes, late) == [6, 6]


def test_students_with_fewer_pairs_come_first_in_a_blind_vote(store, classes, rounds):
    """Bob has one of nine pairs, and Ann asks again and again: she leaves one for him."""
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.open_blind(opened.token, "m", "n")
    ann, bob = join(classes, opened, 2)
    write(rounds, opened, 6)
    answer_one(store, bob, goal=GOAL)
    assert answer_all(store, classes, [ann]) == [4]
    assert answer_one(store, bob, goal=GOAL)
    write(rounds, opened, 6, start=6)
    assert answer_all(store, classes, [ann, bob]) == [6, 6]


def test_student_who_has_reached_the_goal_gets_no_more(store, classes, rounds, opened):
    [ann] = join(classes, opened, 1)
    write(rounds, opened, 20)
    assert answer_all(store, classes, [ann], goal=4) == [4]


def test_seats_are_counted_in_the_round_alone(store, classes, rounds):
    """A database has the answers of all earlier classes: reading them made each vote wait."""
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(3))
    asked = []
    with store.database.reading() as connection:
        listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        number = connection.execute(select(func.max(round_table.c.id))).scalar_one()
        assert seats_left(connection, number, 1, 0.0) == 3
        statement, values = asked[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    steps = [step[-1] for step in plan]
    assert any("pair" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN") and "anon" not in step] == []
