"""The store's part for tries: texts with which the students of a class try to fool a reward model.

They are taken while the lesson that asks for them is open and its answer has been revealed: before
that, a score could tell the answer. A student has one, and another replaces it if it scores higher.
The instructor sees the best ones without names, and can remove one or all. Whoever wrote a removed
one sends no other, or it would be back at once; after all were removed, the lesson takes none. No
export has them, and nothing is trained on them. Which lesson asks for texts, and how they are
scored, the caller knows. The store's secrets hold here too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.queries import by_id, owner
from rlhf_demo.votes.tables import REMOVED, collections, tries, voters
from rlhf_demo.votes.vote import clean_text

LONGEST = 200
"""Characters of a text."""

MOST_SHOWN = 10
"""Texts on the instructor's screen."""

PACE = (5, 0.2)
"""Texts from one voter: burst, then per second."""

ADDRESS_PACE = (60, 3.0)
"""Texts from one address: burst, then per second. Each costs a pass of the reward model."""


@dataclass(frozen=True)
class Try:
    """A text that was scored."""

    id: int
    text: str
    score: float


class Tries:
    """The tries of one store."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database, self.clock = database, clock
        self._pace = RateLimit(*PACE, clock)
        self._address_pace = RateLimit(*ADDRESS_PACE, clock)

    # -- the student's -----------------------------------------------------------------------------

    def check(self, secret: str, lesson: str, text: Any, client: str) -> str:
        """Return a student's text as one clean line, for the caller to score.

        Args:
            secret: the student's.
            lesson: that asks for the text.
            text: as typed.
            client: the address of the request.

        Raises:
            Refused: the lesson takes no texts now; the text is empty, too long or rude; or texts
                come too fast.
        """
        with self.database.reading() as connection:
            voter, collection = _in_lesson(connection, secret, lesson)
            _refuse_after_removal(_of_student(connection, voter.id))
        self._pace.require(voter.id, "texts from you")
        self._address_pace.require(client, "texts from your address")
        typed = clean_text(text, LONGEST, "text")
        if collection.clean_words and has_coarse_word(typed):
            raise Refused("this text contains a rude word: write it without")
        return typed

    def keep(self, secret: str, lesson: str, text: str, score: float) -> Try:
        """Keep a checked text if it is the student's best; return the best, which is on disk.

        Raises:
            Refused: the lesson has ended meanwhile.
        """
        with self.database.writing() as connection:
            voter, collection = _in_lesson(connection, secret, lesson, lock=True)
            best = _of_student(connection, voter.id)
            _refuse_after_removal(best)
            values = {"text": text, "score": score, "tried_at": self.clock()}
            if best is None:
                row = {"collection_id": collection.id, "voter_id": voter.id}
                connection.execute(insert(tries).values(row | values))
            elif score > best.score:
                connection.execute(update(tries).where(tries.c.id == best.id).values(values))
            kept = _of_student(connection, voter.id)
        assert kept is not None
        return kept

    def for_student(self, secret: str) -> Try | None:
        """Return the student's best text, if there is one."""
        with self.database.reading() as connection:
            best = _of_student(connection, owner(connection, voters, secret).id)
        return None if best is None or best.text == REMOVED else best

    # -- the instructor's --------------------------------------------------------------------------

    def for_instructor(self, token: str) -> list[Try]:
        """Return the texts of the token's class with the highest scores, the best first."""
        best = select(tries.c.id, tries.c.text, tries.c.score)
        best = best.order_by(tries.c.score.desc(), tries.c.id).limit(MOST_SHOWN)
        with self.database.reading() as connection:
            collection = owner(connection, collections, token)
            here = best.where(tries.c.collection_id == collection.id, tries.c.text != REMOVED)
            found = connection.execute(here)
            return [Try(*row) for row in found.tuples()]

    def remove(self, token: str, number: int) -> bool:
        """Delete a text of the token's class, and take no other from its author.

        Returns:
            False if it is not there.
        """
        with self.database.writing() as connection:
            collection = owner(connection, collections, token)
            here = tries.c.collection_id == collection.id
            this = update(tries).where(here, tries.c.id == number, tries.c.text != REMOVED)
            return connection.execute(this.values(text=REMOVED)).rowcount > 0

    def remove_all(self, token: str) -> int:
        """Delete all texts of the token's class, and take no other before the lesson is sent again.

        One phone may have joined sixty times, and may join once more after each removal. Nobody can
        tell its students from the others, so none sends another.

        Returns:
            Number of texts that were deleted.
        """
        with self.database.writing() as connection:
            collection = owner(connection, collections, token, lock=True)
            this = update(collections).where(collections.c.id == collection.id)
            connection.execute(this.values(texts_closed=True))
            theirs = update(tries).where(
                tries.c.collection_id == collection.id, tries.c.text != REMOVED
            )
            return connection.execute(theirs.values(text=REMOVED)).rowcount


def _in_lesson(
    connection: Connection, secret: str, lesson: str, *, lock: bool = False
) -> tuple[Row[Any], Row[Any]]:
    """Return a student and the class, which must take texts for the lesson.

    Raises:
        Refused: it does not.
    """
    voter = owner(connection, voters, secret, lock=lock)
    collection = by_id(connection, collections, voter.collection_id)
    if collection.open_lesson != lesson or collection.lesson_answer is None:
        raise Refused("this lesson is not accepting texts now: look at the class screen")
    if collection.texts_closed:
        raise Refused("your instructor is not accepting more texts: look at the class screen")
    return voter, collection


def _refuse_after_removal(best: Try | None) -> None:
    if best is not None and best.text == REMOVED:
        raise Refused("your instructor is not accepting more texts from you")


def _of_student(connection: Connection, voter: int) -> Try | None:
    query = select(tries.c.id, tries.c.text, tries.c.score).where(tries.c.voter_id == voter)
    row = connection.execute(query).tuples().one_or_none()
    return row and Try(*row)
