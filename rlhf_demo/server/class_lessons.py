"""A lesson for a class: sent to all phones, predicted, revealed, and ended.

After the reveal, one lesson asks for texts that fool the reward model.

The answer is computed in the background when the lesson is sent, before all that visitors ask for,
and each lesson's once. So visitors cannot delay the reveal, and classes cannot delay visitors for
long. The reveal keeps it with the class, so phones that ask for it need no model. The store checks
in each transaction who may do what.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.lessons.looks import Outcome
from rlhf_demo.server.compute_lock import Priority
from rlhf_demo.server.learn import Learn, find
from rlhf_demo.server.payloads import BoardText, ClassLesson, StudentLesson, TriedText
from rlhf_demo.votes.predictions import UNKNOWN, OpenLesson
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.tries import Try

HUNT = "reward_head"
"""The lesson that asks for texts."""
MOST_NUMBER = 2**31 - 1
"""The largest number of a text that a database takes."""


class ClassLessons:
    """The open lessons of the classes of one store."""

    def __init__(self, store: Store, learn: Learn) -> None:
        self.predictions, self.tries, self.learn = store.predictions, store.tries, learn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lessons")
        self._outcomes: dict[str, Future[Outcome]] = {}
        self._lock = threading.Lock()

    def send(self, token: Any, name: Any) -> None:
        """Show a lesson on all phones of the token's class, and begin to compute its answer.

        Raises:
            ConfigError: there is no such lesson.
            Refused: the token belongs to no class.
        """
        lesson = find(name)
        self.predictions.send(token, lesson)
        self._outcome(lesson)

    def _outcome(self, lesson: str) -> "Future[Outcome]":
        """Return a lesson's answer, which is computed again only if that failed before."""
        with self._lock:
            known = self._outcomes.get(lesson)
            if known is None or (known.done() and known.exception()):
                known = self._thread.submit(self.learn.outcome, lesson, priority=Priority.CLASS)
                self._outcomes[lesson] = known
            return known

    def reveal(self, token: Any) -> None:
        """Show the answer of the open lesson to the class, as soon as it is computed.

        Raises:
            Refused: the token belongs to no class, or no lesson is open.
            DemoError: the answer cannot be computed.
        """
        sent = self.predictions.for_instructor(token)
        if sent is None:
            raise Refused("no lesson is on the phones: send one first")
        outcome = self._outcome(sent.lesson).result()
        self.predictions.reveal(token, sent.lesson, outcome["answer"], outcome["result"])

    def end(self, token: Any) -> None:
        """Let the class vote again.

        Raises:
            Refused: the token belongs to no class.
        """
        self.predictions.end(token)

    def predict(self, secret: Any, name: Any, answer: Any, client: str) -> None:
        """Keep a student's prediction; it is then on disk.

        Args:
            secret: the student's.
            name: the lesson's id.
            answer: its place among the lesson's answers, or UNKNOWN.
            client: the address of the request.

        Raises:
            ConfigError: there is no such lesson or answer.
            Refused: see `Predictions.predict`.
        """
        lesson = find(name)
        last = len(LESSONS[lesson].answers) - 1
        if type(answer) is not int or not UNKNOWN <= answer <= last:
            shown = str(answer)[:60]
            raise ConfigError(f"the answer is {shown!r}: choose {UNKNOWN} (unknown) to {last}")
        self.predictions.predict(secret, lesson, answer, client)

    def try_text(self, secret: Any, text: Any, client: str) -> TriedText:
        """Score a student's text, and keep it if it is the student's best.

        Args:
            secret: the student's.
            text: as typed.
            client: the address of the request.

        Raises:
            DemoError: see `Tries.check`; or the text is not in Latin letters.
        """
        checked = self.tries.check(secret, HUNT, text, client)
        score = self.learn.score(checked)
        best = self.tries.keep(secret, HUNT, checked, score)
        return {"score": score, "best": _board([best])[0]}

    def remove_text(self, token: Any, number: Any) -> bool:
        """Delete a text of the token's class; return False if it is not there.

        Raises:
            DemoError: the token belongs to no class, or this is not the number of a text.
        """
        if type(number) is not int or not 0 < number <= MOST_NUMBER:
            raise ConfigError(f"{str(number)[:40]!r} is not the number of a text: reload the page")
        return self.tries.remove(token, number)

    def remove_texts(self, token: Any) -> int:
        """Delete all texts of the token's class; return how many there were.

        Raises:
            Refused: the token belongs to no class.
        """
        return self.tries.remove_all(token)

    def for_instructor(self, token: Any) -> ClassLesson | None:
        """Return the open lesson for the instructor's screen."""
        sent = self.predictions.for_instructor(token)
        return _shown(sent, self.tries.for_instructor(token) if _hunts(sent) else None)

    def for_student(self, secret: Any) -> StudentLesson | None:
        """Return the open lesson for a student's phone."""
        sent, tries = self.predictions.for_student(secret), None
        if _hunts(sent):
            best = self.tries.for_student(secret)
            tries = [best] if best else []
        shown = _shown(sent, tries)
        return sent and shown and {**shown, "said": sent.said}


def _hunts(sent: OpenLesson | None) -> bool:
    """Whether the class may send texts now."""
    if sent is None or sent.texts_closed:
        return False
    return sent.lesson == HUNT and sent.came is not None


def _board(tries: list[Try]) -> list[BoardText]:
    return [{"id": one.id, "text": one.text, "score": one.score} for one in tries]


def _shown(sent: OpenLesson | None, tries: list[Try] | None) -> ClassLesson | None:
    """Return an open lesson with its texts; None too if this version of the app lacks it."""
    lesson = LESSONS.get(sent.lesson) if sent else None
    if sent is None or lesson is None:
        return None
    places = [*range(len(lesson.answers)), UNKNOWN]
    counts = sent.counts
    return {
        "id": sent.lesson,
        "title": lesson.title,
        "before": lesson.before,
        "question": lesson.question,
        "answers": list(lesson.answers),
        "came": sent.came,
        "result": sent.result,
        "counts": None if counts is None else [counts.get(place, 0) for place in places],
        "tries": None if tries is None else _board(tries),
    }
