"""A class's open lesson and the predictions: who may do what, who sees what, what is deleted."""

import pytest
from sqlalchemy import func, select

from rlhf_demo.errors import Refused
from rlhf_demo.votes.arrivals import UNSEEN_SECONDS
from rlhf_demo.votes.predictions import ADDRESS_PACE, PACE, UNKNOWN, OpenLesson
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.tables import predictions
from tests.voting import GOOD, HAPPY, answer_one, join, new_pairs


@pytest.fixture(name="made")
def class_with_a_lesson(store, classes):
    made = classes.create_class(HAPPY)
    store.predictions.send(made.token, "attention")
    return made


def predict(store, secret, answer, lesson="attention", client="school"):
    store.clock.now += 1
    store.predictions.predict(secret, lesson, answer, client)


def rows(store):
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(predictions)).scalar_one()


def seen(store, secret):
    return store.predictions.for_student(secret)


def test_prediction_is_kept_and_may_change_until_the_reveal(store, classes, made):
    [ann] = join(classes, made, 1)
    assert seen(store, ann) == OpenLesson("attention", None, "", None)
    for answer in (2, UNKNOWN, 2, 0):
        predict(store, ann, answer)
        assert seen(store, ann).said == answer
    assert rows(store) == 1
    store.predictions.reveal(made.token, "attention", 1, "It looks at a noun.")
    with pytest.raises(Refused, match="the answer has been revealed"):
        predict(store, ann, 1)
    assert seen(store, ann) == OpenLesson("attention", 1, "It looks at a noun.", {0: 1}, 0)


def test_only_the_instructor_sees_the_numbers_before_the_reveal(store, classes, made):
    ann, bob, _late = join(classes, made, 3)
    predict(store, ann, 1)
    predict(store, bob, 1)
    assert store.predictions.for_instructor(made.token).counts == {1: 2}
    assert seen(store, ann).counts is None


def test_student_without_a_prediction_never_sees_the_numbers(store, classes, made):
    ann, late = join(classes, made, 2)
    predict(store, ann, 1)
    store.predictions.reveal(made.token, "attention", 1, "So it is.")
    assert seen(store, ann).counts == {1: 1}
    assert seen(store, late) == OpenLesson("attention", 1, "So it is.", None)


def test_nobody_else_sends_reveals_ends_or_predicts(store, classes, made):
    other = classes.create_class(GOOD)
    [ann], [stranger] = join(classes, made, 1), join(classes, other, 1)
    acts = (
        lambda token: store.predictions.send(token, "leash"),
        lambda token: store.predictions.reveal(token, "attention", 0, ""),
        lambda token: store.predictions.end(token),
        lambda token: store.predictions.for_instructor(token),
    )
    for token in (ann, made.code, f"{made.collection}.guess", "", None, 1, ["x"]):
        for act in acts:
            with pytest.raises(Refused, match="does not know you"):
                act(token)
    for secret in (made.token, f"{ann}x", "", None, 1, {"a": 1}):
        with pytest.raises(Refused, match="does not know you"):
            predict(store, secret, 0)
    with pytest.raises(Refused, match="this lesson is over"):
        predict(store, stranger, 0)
    with pytest.raises(Refused, match="this lesson is not on the phones"):
        store.predictions.reveal(other.token, "attention", 0, "")
    with pytest.raises(Refused, match="this lesson is over"):  # a visitor is in no class
        predict(store, store.visit("here"), 0)
    assert (rows(store), seen(store, ann)) == (0, OpenLesson("attention", None, "", None))


def test_classes_do_not_count_each_others_predictions(store, classes, made):
    other = classes.create_class(GOOD)
    store.predictions.send(other.token, "attention")
    predict(store, *join(classes, made, 1), 0)
    predict(store, *join(classes, other, 1), 2)
    assert store.predictions.for_instructor(made.token).counts == {0: 1}
    assert store.predictions.for_instructor(other.token).counts == {2: 1}


def test_lesson_ends_is_replaced_and_comes_again_with_its_predictions(store, classes, made):
    [ann] = join(classes, made, 1)
    predict(store, ann, 1)
    store.predictions.end(made.token)
    assert seen(store, ann) is None and store.predictions.for_instructor(made.token) is None
    with pytest.raises(Refused, match="this lesson is over"):
        predict(store, ann, 1)
    store.predictions.send(made.token, "leash")
    assert seen(store, ann) == OpenLesson("leash", None, "", None)
    store.predictions.reveal(made.token, "leash", 0, "Yes.")
    store.predictions.send(made.token, "attention")  # in place of a revealed one
    assert seen(store, ann) == OpenLesson("attention", None, "", None, 1)


def test_open_lesson_and_predictions_survive_a_restart(store, classes, made):
    [ann] = join(classes, made, 1)
    predict(store, ann, UNKNOWN)
    url = store.database.engine.url.render_as_string(hide_password=False)
    again = Store(url, clock=store.clock)
    assert again.predictions.for_student(ann).said == UNKNOWN
    store.predictions.reveal(made.token, "attention", 3, "As computed.")
    again.close()
    again = Store(url, clock=store.clock)
    kept = again.predictions.for_instructor(made.token)
    assert kept == OpenLesson("attention", 3, "As computed.", {UNKNOWN: 1})
    again.close()


def test_voting_goes_on_untouched(store, classes, made):
    from rlhf_demo.votes.rounds import Rounds

    Rounds(store).add_pairs(made.collection, new_pairs(2))
    [ann] = join(classes, made, 1)
    shown = store.next_pair(ann)
    predict(store, ann, 1)
    assert store.next_pair(ann).id == shown.id
    assert answer_one(store, ann)
    assert classes.student_view(ann)["votes"] == 1
    store.predictions.end(made.token)
    assert len(store.votes(made.collection)) == 1
    classes.pause(made.token)  # which stops the votes alone
    store.predictions.send(made.token, "attention")
    predict(store, ann, 2)


def test_predictions_are_deleted_with_their_student_and_their_class(store, classes, made):
    ann, bob = join(classes, made, 2)
    predict(store, ann, 1)
    predict(store, bob, 2)
    number = int(ann.partition(".")[0])
    classes.remove(made.token, number)
    assert store.predictions.for_instructor(made.token).counts == {2: 1}
    classes.delete_class(made.token)
    assert rows(store) == 0


def test_student_who_predicted_keeps_the_place_in_a_full_address(store, classes, made):
    classes.set_most_joins(made.token, 1)
    [ann] = join(classes, made, 1)
    predict(store, ann, 1)
    store.clock.now += 2 * UNSEEN_SECONDS
    with pytest.raises(Refused):
        join(classes, made, 1)
    assert seen(store, ann).said == 1


def test_predictions_come_at_a_bounded_pace(store, classes, made):
    [ann] = join(classes, made, 1)
    for _ in range(PACE[0]):
        store.predictions.predict(ann, "attention", 0, "school")
    with pytest.raises(Refused, match="answers from you"):
        store.predictions.predict(ann, "attention", 0, "school")
    store.clock.now += 100
    students = join(classes, made, 30)
    sent = 0
    with pytest.raises(Refused, match="answers from your address"):
        for secret in 3 * students:
            store.predictions.predict(secret, "attention", 0, "school")
            sent += 1
    assert sent == ADDRESS_PACE[0]
