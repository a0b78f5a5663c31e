"""The store's part for predictions: what a class expects of a lesson, before the answer is shown.

An instructor sends one lesson of the Learn tab at a time to the class. Each student predicts once
and may change the prediction until the reveal. Sending a lesson again keeps its predictions. A
prediction is no vote: voting, its pairs and its rounds do not know of it, and no file has it.

The instructor sees how many gave each answer, never who. A student sees these numbers after the
reveal, and only with a prediction of the student's own. The database keeps which lesson is open and
what came true, so a restart of the app changes nothing for the class. Which lessons and answers
there are, the caller checks. The store's secrets hold here too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.queries import by_id, owner
from rlhf_demo.votes.tables import REMOVED, collections, predictions, tries, voters

UNKNOWN = -1
"""The answer "I do not know"."""

PACE = (5, 1.0)
"""Predictions from one voter: burst, then per second."""

ADDRESS_PACE = (60, 15.0)
"""Predictions from one address: burst, then per second. A class of sixty answers at once."""

NONE_OPEN = {
    "open_lesson": None, "lesson_answer": None, "lesson_result": None, "texts_closed": False
}  # fmt: skip
"""The columns of a class that votes."""


@dataclass(frozen=True)
class OpenLesson:
    """The lesson that a class's phones show.

    Attributes:
        lesson: its id.
        came: the answer that came true; None before the reveal.
        result: a sentence with the computed figures; empty before the reveal.
        counts: answer -> how many predicted it; None for a student who must not see it.
        said: the student's own prediction; None without one, and for the instructor.
        texts_closed: whether the instructor has ended its texts (tries.py).
    """

    lesson: str
    came: int | None
    result: str
    counts: dict[int, int] | None
    said: int | None = None
    texts_closed: bool = False


class Predictions:
    """The predictions of one store, and the open lesson of each class."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database, self.clock = database, clock
        self._pace = RateLimit(*PACE, clock)
        self._address_pace = RateLimit(*ADDRESS_PACE, clock)

    # -- the instructor's --------------------------------------------------------------------------

    def send(self, token: str, lesson: str) -> None:
        """Show a lesson on the phones of the token's class, in place of another one.

        Students whose text was removed in an earlier lesson may send texts again.
        """
        with self.database.writing() as connection:
            collection = self._change(connection, token, NONE_OPEN | {"open_lesson": lesson})
            here = tries.c.collection_id == collection
            connection.execute(delete(tries).where(here, tries.c.text == REMOVED))

    def reveal(self, token: str, lesson: str, answer: int, result: str) -> None:
        """End the predictions of the open lesson, and show what came true.

        Args:
            token: the instructor's.
            lesson: whose answer was computed.
            answer: that came true.
            result: a sentence with the figures.

        Raises:
            Refused: this lesson is not open.
        """
        with self.database.writing() as connection:
            if owner(connection, collections, token, lock=True).open_lesson != lesson:
                raise Refused("this lesson is not on the phones: send it first")
            self._change(connection, token, {"lesson_answer": answer, "lesson_result": result})

    def end(self, token: str) -> None:
        """Let the phones of the class show its pairs again; the predictions stay."""
        with self.database.writing() as connection:
            self._change(connection, token, NONE_OPEN)

    def for_instructor(self, token: str) -> OpenLesson | None:
        """Return the open lesson of the token's class, if there is one."""
        with self.database.reading() as connection:
            return _seen(connection, owner(connection, collections, token))

    @staticmethod
    def _change(connection: Connection, token: str, values: dict[str, Any]) -> int:
        """Change the lesson of the token's class; return the class's id."""
        collection = owner(connection, collections, token, lock=True)
        this = update(collections).where(collections.c.id == collection.id)
        connection.execute(this.values(values))
        return collection.id

    # -- the student's -----------------------------------------------------------------------------

    def predict(self, secret: str, lesson: str, answer: int, client: str) -> None:
        """Keep a student's prediction, in place of an earlier one; it is then on disk.

        Args:
            secret: the student's.
            lesson: on the student's phone.
            answer: its place among the lesson's answers, or UNKNOWN.
            client: the address of the request.

        Raises:
            Refused: the lesson is not open in the student's class, or its answer has been shown; or
                predictions come too fast.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            self._pace.require(voter.id, "answers from you")
            self._address_pace.require(client, "answers from your address")
            collection = by_id(connection, collections, voter.collection_id)
            if collection.open_lesson != lesson:
                raise Refused("this lesson is over: look at the class screen")
            if collection.lesson_answer is not None:
                raise Refused("the answer has been revealed: predictions can no longer change")
            mine = (predictions.c.voter_id == voter.id, predictions.c.lesson == lesson)
            values = {"answer": answer, "predicted_at": self.clock()}
            changed = update(predictions).where(*mine).values(values)
            if not connection.execute(changed).rowcount:
                row = {"collection_id": collection.id, "voter_id": voter.id, "lesson": lesson}
                connection.execute(insert(predictions).values(row | values))

    def for_student(self, secret: str) -> OpenLesson | None:
        """Return the open lesson of the student's class, if there is one."""
        with self.database.reading() as connection:
            voter = owner(connection, voters, secret)
            return _seen(connection, by_id(connection, collections, voter.collection_id), voter.id)


def _seen(
    connection: Connection, collection: Row[Any], student: int | None = None
) -> OpenLesson | None:
    """Return what the instructor of a class, or one of its students, may know of its lesson."""
    if collection.open_lesson is None:
        return None
    here = (
        predictions.c.collection_id == collection.id,
        predictions.c.lesson == collection.open_lesson,
    )
    said, counts = None, None
    if student is not None:
        own = select(predictions.c.answer).where(*here, predictions.c.voter_id == student)
        said = connection.execute(own).scalar()
    if student is None or (said is not None and collection.lesson_answer is not None):
        number = select(predictions.c.answer, func.count()).where(*here)
        counts = dict(connection.execute(number.group_by(predictions.c.answer)).tuples().all())
    return OpenLesson(
        collection.open_lesson,
        collection.lesson_answer,
        collection.lesson_result or "",
        counts,
        said,
        collection.texts_closed,
    )
