"""Votes read from a file go into the store, a few at a time, so that people go on voting meanwhile.

A file is a lesson of its own. Until all its votes are in, its state is ARRIVING; what an error or a
kill leaves half-way is deleted again.
"""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.votes.queries import (
    current_round,
    insert_pairs,
    new_lesson,
    new_rater,
    new_round,
    question_id,
)
from rlhf_demo.votes.tables import Database, lessons, showings
from rlhf_demo.votes.vote import NewPair, Vote

ARRIVING = "arriving"

BATCH = 200
"""Votes in one transaction: about a tenth of a second."""

PAUSE = 0.02
"""Seconds between two transactions, in which those who wait get their turn."""


def drop_unfinished(connection: Connection) -> None:
    """Delete imports that a kill has cut short; for the start, when none is under way."""
    connection.execute(delete(lessons).where(lessons.c.state == ARRIVING))


def keep_votes(
    database: Database, now: float, votes: Sequence[Vote], source: str
) -> tuple[int, int]:
    """Keep a file's votes in a lesson of their own.

    Args:
        database: where to.
        now: seconds since 1970.
        votes: as read.
        source: SHA-256 of the file.

    Returns:
        The lesson, and how many votes were double and left out.

    Raises:
        Refused: this file has been imported before, or is being imported.
    """
    with database.writing() as connection:
        known = select(lessons.c.id).where(lessons.c.source == source)
        if connection.execute(known).scalar() is not None:
            raise Refused("this file has been imported before: its votes are here already")
        lesson, _ = new_lesson(connection, now, kind="import", overlap=1, source=source)
        this = update(lessons).where(lessons.c.id == lesson)
        connection.execute(this.values(state=ARRIVING))
        imported = _Import(connection, now, lesson)
    try:
        for start in range(0, len(votes), BATCH):
            time.sleep(PAUSE)
            with database.writing() as connection:
                for vote in votes[start : start + BATCH]:
                    imported.keep(connection, vote)
        with database.writing() as connection:
            connection.execute(this.values(state="open"))
    except BaseException:
        with database.writing() as connection:
            connection.execute(delete(lessons).where(lessons.c.id == lesson))
        raise
    return lesson, len(votes) - len(imported.seen)


class _Import:
    """The ids given to what a file's numbers and texts stand for."""

    def __init__(self, connection: Connection, now: float, lesson: int) -> None:
        self.now, self.lesson = now, lesson
        self.rounds = {1: current_round(connection, lesson).id}
        self.raters: dict[int, int] = {}
        self.pairs: dict[tuple, int] = {}
        self.seen: set[tuple] = set()

    def keep(self, connection: Connection, vote: Vote) -> None:
        """Insert a vote, unless the same rater has answered the same pair."""
        self._make_ids(connection, vote)
        pair, rater = self.pairs[_texts(vote)], self.raters[vote.rater]
        key = (pair, rater, vote.question, vote.repeat)
        if key in self.seen:
            return
        self.seen.add(key)
        row = {
            "pair_id": pair,
            "rater_id": rater,
            "question_id": question_id(connection, vote.question),
            "repeat": vote.repeat,
            "swapped": vote.swapped,
            "shown_at": vote.time - (vote.seconds or 0.0),
            "held_at": vote.time,
            "choice": vote.choice,
            "voted_at": vote.time,
            "seconds": vote.seconds,
        }
        connection.execute(insert(showings).values(row))

    def _make_ids(self, connection: Connection, vote: Vote) -> None:
        if vote.round not in self.rounds:
            made = new_round(connection, self.lesson, vote.round, kind="feedback", question=None)
            self.rounds[vote.round] = made
        if vote.rater not in self.raters:
            traits = {"simulated": vote.simulated, "left_out": vote.left_out}
            made, *_ = new_rater(connection, self.now, self.lesson, "imported", **traits)
            self.raters[vote.rater] = made
        texts = _texts(vote)
        if texts not in self.pairs:
            new = NewPair(*texts[2:], vote.first_model, vote.second_model)
            round_id = self.rounds[vote.round]
            [self.pairs[texts]] = insert_pairs(connection, round_id, [new], vote.kind)


def _texts(vote: Vote) -> tuple:
    return vote.round, vote.kind, vote.prompt, vote.first, vote.second
