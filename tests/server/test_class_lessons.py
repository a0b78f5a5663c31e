"""A lesson for a class: which lessons and answers there are, and what each screen is sent."""

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError, DataError, Refused
from rlhf_demo.server import payloads
from rlhf_demo.server.class_lessons import HUNT, ClassLessons
from rlhf_demo.server.compute_lock import Priority
from rlhf_demo.server.learn import find
from rlhf_demo.votes.predictions import UNKNOWN
from tests.declared import misfits
from tests.fake_jobs import wait_until
from tests.voting import HAPPY, join

NAME = "attention"
LAST = len(LESSONS[NAME].answers) - 1


class Learn:
    """Computes the same outcome for all lessons."""

    def __init__(self):
        self.asked, self.problem = [], None

    def outcome(self, name, *, priority):
        assert priority is Priority.CLASS
        self.asked.append(find(name))
        if self.problem:
            raise self.problem
        return {"answer": 1, "result": "Head 2 looks at a noun."}

    def score(self, text):
        self.asked.append(text)
        return len(text) / 10


@pytest.fixture
def lessons(store):
    return ClassLessons(store, Learn())


@pytest.fixture
def made(classes, lessons):
    made = classes.create_class(HAPPY)
    lessons.send(made.token, NAME)
    return made


def predict(lessons, secret, answer, name=NAME):
    lessons.predictions.clock.now += 1
    lessons.predict(secret, name, answer, "school")


@pytest.mark.parametrize("odd", [None, "", "nothing", 3, ["attention"], {"a": 1}])
def test_only_lessons_are_sent_and_predicted(lessons, classes, made, odd):
    with pytest.raises(ConfigError, match="there is no lesson"):
        lessons.send(made.token, odd)
    with pytest.raises(ConfigError, match="there is no lesson"):
        predict(lessons, *join(classes, made, 1), 0, odd)


@pytest.mark.parametrize("odd", [None, "", "0", 0.0, True, -2, LAST + 1, 10**30, [0], {"a": 0}])
def test_only_answers_of_the_lesson_are_kept(lessons, classes, made, odd):
    [ann] = join(classes, made, 1)
    with pytest.raises(ConfigError, match=f"choose -1 .* to {LAST}"):
        predict(lessons, ann, odd)
    assert lessons.for_student(ann)["said"] is None
    for answer in (UNKNOWN, 0, LAST):
        predict(lessons, ann, answer)
        assert lessons.for_student(ann)["said"] == answer


def test_answer_is_computed_once_when_an_instructor_sends_the_lesson(lessons, classes, made):
    [ann] = join(classes, made, 1)
    wait_until(lambda: lessons.learn.asked == [NAME])
    for ask in (lessons.reveal, lambda secret: lessons.send(secret, HUNT)):
        with pytest.raises(Refused, match="does not know you"):
            ask(ann)
    lessons.reveal(made.token)
    lessons.send(made.token, NAME)
    lessons.reveal(made.token)
    assert lessons.learn.asked == [NAME]
    lessons.end(made.token)
    with pytest.raises(Refused, match="no lesson is on the phones"):
        lessons.reveal(made.token)


def test_reveal_computes_what_an_app_before_a_restart_sent(store, lessons, made):
    again = ClassLessons(store, Learn())
    again.reveal(made.token)
    assert again.learn.asked == [NAME]
    assert again.for_instructor(made.token)["came"] == 1


def test_answer_that_could_not_be_computed_is_computed_again_at_the_reveal(lessons, made):
    lessons.learn.problem = DataError("the model is damaged")
    lessons.send(made.token, HUNT)
    with pytest.raises(DataError, match="the model is damaged"):
        lessons.reveal(made.token)
    lessons.learn.problem = None
    lessons.reveal(made.token)
    assert lessons.for_instructor(made.token)["came"] == 1


def test_each_screen_is_sent_what_it_may_show(lessons, classes, made):
    ann, late = join(classes, made, 2)
    predict(lessons, ann, UNKNOWN)
    before = lessons.for_instructor(made.token)
    assert before["counts"] == [0] * (LAST + 1) + [1]
    assert before["question"] == LESSONS[NAME].question
    phones = [lessons.for_student(secret) for secret in (ann, late)]
    assert [phone["counts"] for phone in phones] == [None, None]
    lessons.reveal(made.token)
    phones += [lessons.for_student(secret) for secret in (ann, late)]
    assert [phone["counts"] for phone in phones[2:]] == [before["counts"], None]
    assert {(phone["came"], phone["result"]) for phone in phones[2:]} == {
        (1, "Head 2 looks at a noun.")
    }
    assert list(misfits(before, payloads.ClassLesson)) == []
    for phone in phones:
        assert list(misfits(phone, payloads.StudentLesson)) == []


def test_texts_are_scored_and_each_screen_shows_its_own(lessons, classes):
    made = classes.create_class(HAPPY)
    ann, bob = join(classes, made, 2)
    lessons.send(made.token, HUNT)
    with pytest.raises(Refused, match="is not accepting texts now"):
        lessons.try_text(ann, "Before the reveal.", "school")
    screens = (lessons.for_instructor, made.token), (lessons.for_student, ann)
    assert [show(who)["tries"] for show, who in screens] == [None, None]
    lessons.reveal(made.token)
    assert [show(who)["tries"] for show, who in screens] == [[], []]
    lessons.learn.asked.clear()
    with pytest.raises(Refused, match="rude word"):
        lessons.try_text(ann, "What a shitty film.", "school")
    assert lessons.learn.asked == []  # no model reads what is refused
    told = [lessons.try_text(ann, text, "school") for text in ("A long text.", " Short. ")]
    assert [(one["score"], one["best"]["text"]) for one in told] == [
        (1.2, "A long text."),
        (0.6, "A long text."),
    ]
    lessons.try_text(bob, "A longer text.", "school")
    board = lessons.for_instructor(made.token)
    assert [(one["text"], one["score"]) for one in board["tries"]] == [
        ("A longer text.", 1.4),
        ("A long text.", 1.2),
    ]
    phone = lessons.for_student(ann)
    assert phone["tries"] == [told[0]["best"]]
    assert list(misfits(board, payloads.ClassLesson)) == []
    assert list(misfits(phone, payloads.StudentLesson)) == []
    assert list(misfits(told[0], payloads.TriedText)) == []


@pytest.mark.parametrize("odd", [None, True, "1", 0.5, 10**30, [1], {"a": 1}])
def test_only_the_number_of_a_text_is_removed(lessons, classes, made, odd):
    [ann] = join(classes, made, 1)
    lessons.send(made.token, HUNT)
    lessons.reveal(made.token)
    kept = lessons.try_text(ann, "A text.", "school")["best"]
    with pytest.raises((ConfigError, Refused)):
        lessons.remove_text(made.token, odd)
    assert lessons.remove_text(made.token, kept["id"])
    assert not lessons.remove_text(made.token, kept["id"])
    assert lessons.for_instructor(made.token)["tries"] == []


def test_lesson_that_this_version_lacks_is_not_shown(lessons, classes, made):
    [ann] = join(classes, made, 1)
    lessons.predictions.send(made.token, "of-another-version")
    assert lessons.for_instructor(made.token) is None and lessons.for_student(ann) is None
    lessons.send(made.token, NAME)
    assert lessons.for_student(ann)["id"] == NAME
