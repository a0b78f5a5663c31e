"""Texts that try to fool the reward model: who may send, see or remove them, and which is kept."""

import pytest
from sqlalchemy import func, select

from rlhf_demo.errors import Refused
from rlhf_demo.votes.arrivals import UNSEEN_SECONDS
from rlhf_demo.votes.tables import tries
from rlhf_demo.votes.tries import ADDRESS_PACE, LONGEST, MOST_SHOWN, PACE
from tests.voting import GOOD, HAPPY, join

LESSON = "reward_head"


@pytest.fixture(name="hunting")
def class_that_tries(store, classes):
    hunting = classes.create_class(HAPPY)
    store.predictions.send(hunting.token, LESSON)
    store.predictions.reveal(hunting.token, LESSON, 3, "It scores -1.16.")
    return hunting


def send(store, secret, text, score, lesson=LESSON):
    """Send a text that gets this score, as the server does; return the student's best one."""
    store.clock.now += 10
    checked = store.tries.check(secret, lesson, text, "school")
    return store.tries.keep(secret, lesson, checked, score)


def board(store, hunting):
    return [(one.text, one.score) for one in store.tries.for_instructor(hunting.token)]


def rows(store):
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(tries)).scalar_one()


def test_student_keeps_the_text_with_the_highest_score(store, classes, hunting):
    ann, bob = join(classes, hunting, 2)
    assert store.tries.for_student(ann) is None
    for text, score, best in (("dull", 0.1, "dull"), ("worse", -1.0, "dull"), ("x", 0.5, "x")):
        assert send(store, ann, text, score).text == best
        assert store.tries.for_student(ann).text == best
    assert send(store, ann, "equal", 0.5).text == "x"
    send(store, bob, "of Bob", 2.0)
    assert board(store, hunting) == [("of Bob", 2.0), ("x", 0.5)]
    assert rows(store) == 2


def test_board_has_the_best_of_its_own_class_and_no_names(store, classes, hunting):
    other = classes.create_class(GOOD)
    store.predictions.send(other.token, LESSON)
    store.predictions.reveal(other.token, LESSON, 0, "So.")
    [stranger] = join(classes, other, 1)
    send(store, stranger, "elsewhere", 9.0)
    for number, secret in enumerate(join(classes, hunting, MOST_SHOWN + 2)):
        send(store, secret, f"text {number}", float(number))
    shown = board(store, hunting)
    assert shown == [(f"text {n}", float(n)) for n in range(MOST_SHOWN + 1, 1, -1)]
    assert board(store, other) == [("elsewhere", 9.0)]
    assert set(vars(store.tries.for_instructor(hunting.token)[0])) == {"id", "text", "score"}


def test_texts_are_taken_between_the_reveal_and_the_end(store, classes):
    hunting = classes.create_class(HAPPY)
    [ann] = join(classes, hunting, 1)
    over = "this lesson is not accepting texts now"
    for act in (
        lambda: None,
        lambda: store.predictions.send(hunting.token, LESSON),  # a score would tell the answer
        lambda: (
            store.predictions.reveal(hunting.token, LESSON, 0, "So.") or send(store, ann, "a", 1)
        ),
        lambda: store.predictions.end(hunting.token),
        lambda: store.predictions.send(hunting.token, "attention"),
    ):
        act()
        with pytest.raises(Refused, match=over):
            send(store, ann, "b", 2.0, "leash")
    for act in (store.tries.check, store.tries.keep):
        with pytest.raises(Refused, match=over):
            act(ann, LESSON, "c", 3.0)
    assert board(store, hunting) == [("a", 1.0)]
    with pytest.raises(Refused, match=over):  # a visitor is in no class
        send(store, store.visit("here"), "d", 1.0)


def test_nobody_else_sees_sends_or_removes(store, classes, hunting):
    [ann] = join(classes, hunting, 1)
    kept = send(store, ann, "mine", 1.0)
    for token in (ann, hunting.code, f"{hunting.collection}.guess", "", None, 1, ["x"]):
        for act in (store.tries.for_instructor, lambda token: store.tries.remove(token, kept.id)):
            with pytest.raises(Refused, match="does not know you"):
                act(token)
    for secret in (hunting.token, f"{ann}x", "", None, 1, {"a": 1}):
        for act in (
            lambda secret: store.tries.check(secret, LESSON, "a", "school"),
            lambda secret: store.tries.keep(secret, LESSON, "a", 2.0),
            store.tries.for_student,
        ):
            with pytest.raises(Refused, match="does not know you"):
                act(secret)
    assert board(store, hunting) == [("mine", 1.0)]


def test_instructor_removes_a_text_of_the_class_and_of_no_other(store, classes, hunting):
    other = classes.create_class(GOOD)
    ann, bob = join(classes, hunting, 2)
    kept = send(store, ann, "mine", 1.0)
    assert not store.tries.remove(other.token, kept.id)
    assert store.tries.remove(hunting.token, kept.id)
    assert not store.tries.remove(hunting.token, kept.id)
    assert (board(store, hunting), store.tries.for_student(ann)) == ([], None)
    assert send(store, bob, "of Bob", -2.0).text == "of Bob"
    assert board(store, hunting) == [("of Bob", -2.0)]


def test_instructor_removes_all_texts_of_the_class_at_once(store, classes, hunting):
    other = classes.create_class(GOOD)
    *students, silent = join(classes, hunting, MOST_SHOWN + 3)
    for number, student in enumerate(students):
        send(store, student, f"bad {number}", number)
    assert store.tries.remove_all(other.token) == 0
    assert len(board(store, hunting)) == MOST_SHOWN
    assert store.tries.remove_all(hunting.token) == len(students)
    assert (board(store, hunting), store.tries.remove_all(hunting.token)) == ([], 0)
    [late] = join(classes, hunting, 1)
    for student in (*students, silent, late):
        with pytest.raises(Refused, match="your instructor is not accepting more texts"):
            store.tries.check(student, LESSON, "back at once", "school")
        with pytest.raises(Refused, match="your instructor is not accepting more texts"):
            store.tries.keep(student, LESSON, "checked before", 9.0)
    assert store.predictions.for_student(silent).texts_closed
    store.predictions.send(hunting.token, LESSON)
    store.predictions.reveal(hunting.token, LESSON, 3, "It scores -1.16.")
    assert not store.predictions.for_student(silent).texts_closed
    for student in (students[0], silent, late):
        assert send(store, student, "new", 1.0).text == "new"


def test_student_who_sent_nothing_is_none_who_did_after_all_texts_were_removed(
    store, classes, hunting
):
    """Otherwise a phone's silent joins would keep their places at a school's address for good."""
    for number in range(60):
        store.clock.now += 1
        secret = classes.join(hunting.code, f"Bot {number}", "school").secret
    send(store, secret, "rude", 1.0)
    store.tries.remove_all(hunting.token)
    store.clock.now += UNSEEN_SECONDS + 1
    assert classes.join(hunting.code, "Zoe", "school").secret


def test_student_whose_text_was_removed_sends_no_other(store, classes, hunting):
    [ann] = join(classes, hunting, 1)
    checked = store.tries.check(ann, LESSON, "sent before, scored after", "school")
    kept = send(store, ann, "rude", 1.0)
    store.tries.remove(hunting.token, kept.id)
    for act in (
        lambda: store.tries.check(ann, LESSON, "rude", "school"),
        lambda: store.tries.keep(ann, LESSON, checked, 9.0),
    ):
        with pytest.raises(Refused, match="your instructor is not accepting more texts"):
            act()
    assert board(store, hunting) == []
    with store.database.reading() as connection:
        assert connection.execute(select(tries.c.text)).scalars().all() == [""]
    store.predictions.send(hunting.token, LESSON)  # once more
    store.predictions.reveal(hunting.token, LESSON, 3, "It scores -1.16.")
    assert send(store, ann, "polite", 0.5).text == "polite"


@pytest.mark.parametrize("odd", [None, 3, "", " \n", "x" * (LONGEST + 1), ["a"], {"a": 1}])
def test_text_is_one_line_of_limited_length(store, classes, hunting, odd):
    [ann] = join(classes, hunting, 1)
    with pytest.raises(Refused, match="the text"):
        send(store, ann, odd, 1.0)
    assert send(store, ann, " a\n<b>\u202e ", 1.0).text == "a <b>"
    assert send(store, ann, "x" * LONGEST, 2.0).score == 2.0


def test_coarse_words_are_refused_where_the_class_excludes_them(store, classes, hunting):
    [ann] = join(classes, hunting, 1)
    with pytest.raises(Refused, match="rude word"):
        send(store, ann, "What a shitty film.", 1.0)
    free = classes.create_class(GOOD, clean_words=False)
    store.predictions.send(free.token, LESSON)
    store.predictions.reveal(free.token, LESSON, 0, "So.")
    assert send(store, *join(classes, free, 1), "What a shitty film.", 1.0)


def test_texts_are_deleted_with_their_student_and_their_class(store, classes, hunting):
    ann, bob = join(classes, hunting, 2)
    send(store, ann, "of Ann", 1.0)
    send(store, bob, "of Bob", 2.0)
    classes.remove(hunting.token, int(bob.partition(".")[0]))
    assert board(store, hunting) == [("of Ann", 1.0)]
    classes.delete_class(hunting.token)
    assert rows(store) == 0


def test_student_who_sent_a_text_keeps_the_place_in_a_full_address(store, classes, hunting):
    classes.set_most_joins(hunting.token, 1)
    [ann] = join(classes, hunting, 1)
    send(store, ann, "mine", 1.0)
    store.clock.now += 2 * UNSEEN_SECONDS
    with pytest.raises(Refused):
        join(classes, hunting, 1)
    assert store.tries.for_student(ann).text == "mine"


def test_texts_come_at_a_bounded_pace(store, classes, hunting):
    [ann] = join(classes, hunting, 1)
    for _ in range(PACE[0]):
        store.tries.check(ann, LESSON, "a", "school")
    with pytest.raises(Refused, match="texts from you"):
        store.tries.check(ann, LESSON, "a", "school")
    store.clock.now += 100
    students = join(classes, hunting, 30)
    sent = 0
    with pytest.raises(Refused, match="texts from your address"):
        for secret in 3 * students:
            store.tries.check(secret, LESSON, "a", "school")
            sent += 1
    assert sent == ADDRESS_PACE[0]
