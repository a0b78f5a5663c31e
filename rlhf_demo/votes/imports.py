"""Put votes from a file into the store, a few at a time, so that people can vote meanwhile.

Each file becomes a collection of its own. Its state is ARRIVING until all votes are in, and an
import that an error or a kill cut short is deleted.
"""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.queries import (
    current_round,
    insert_pairs,
    new_collection,
    new_round,
    new_voter,
    question_id,
)
from rlhf_demo.votes.tables import assignments, collections
from rlhf_demo.votes.vote import NewPair, Vote

ARRIVING = "arriving"

BATCH = 200
"""Votes in one transaction: about a tenth of a second."""

PAUSE = 0.02
"""Seconds between two transactions, so that waiting voters can write."""


def drop_unfinished(connection: Connection) -> None:
    """Delete imports that a kill cut short; call it at the start, when no import is running."""
    connection.execute(delete(collections).where(collections.c.state == ARRIVING))


def keep_votes(
    database: Database, now: float, votes: Sequence[Vote], source: str
) -> tuple[int, int]:
    """Store a file's votes in a collection of their own.

    Args:
        database: the target.
        now: seconds since 1970.
        votes: as read from the file.
        source: SHA-256 of the file.

    Returns:
        The collection's id, and the number of duplicate votes that were left out.

    Raises:
        Refused: this file has been imported before, or is being imported.
    """
    with database.writing() as connection:
        known = select(collections.c.id).where(collections.c.source == source)
        if connection.execute(known).scalar() is not None:
            raise Refused("this file has already been imported: its votes are here")
        collection, _ = new_collection(connection, now, kind="import", overlap=1, source=source)
        this = update(collections).where(collections.c.id == collection)
        connection.execute(this.values(state=ARRIVING))
        imported = _Import(connection, now, collection)
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
            connection.execute(delete(collections).where(collections.c.id == collection))
        raise
    return collection, len(votes) - len(imported.seen)


Texts = tuple[int, str, str, str, str]
"""What makes a pair in a file: round, kind, prompt, first and second text."""


class _Import:
    """The database ids for the numbers and texts in a file."""

    def __init__(self, connection: Connection, now: float, collection: int) -> None:
        self.now, self.collection = now, collection
        self.rounds = {1: current_round(connection, collection).id}
        self.voters: dict[int, int] = {}
        self.pairs: dict[Texts, int] = {}
        self.seen: set[tuple[int, int, str, bool]] = set()

    def keep(self, connection: Connection, vote: Vote) -> None:
        """Insert a vote, unless the same voter has answered the same pair."""
        self._make_ids(connection, vote)
        pair, voter = self.pairs[_texts(vote)], self.voters[vote.voter]
        key = (pair, voter, vote.question, vote.repeat)
        if key in self.seen:
            return
        self.seen.add(key)
        row = {
            "pair_id": pair,
            "voter_id": voter,
            "question_id": question_id(connection, vote.question),
            "repeat": vote.repeat,
            "swapped": vote.swapped,
            "shown_at": vote.time - (vote.seconds or 0.0),
            "held_at": vote.time,
            "choice": vote.choice,
            "voted_at": vote.time,
            "seconds": vote.seconds,
        }
        connection.execute(insert(assignments).values(row))

    def _make_ids(self, connection: Connection, vote: Vote) -> None:
        if vote.round not in self.rounds:
            made = new_round(
                connection, self.collection, vote.round, kind="feedback", question=None
            )
            self.rounds[vote.round] = made
        if vote.voter not in self.voters:
            traits = {"simulated": vote.simulated, "left_out": vote.left_out}
            made, *_ = new_voter(connection, self.now, self.collection, "imported", **traits)
            self.voters[vote.voter] = made
        texts = _texts(vote)
        if texts not in self.pairs:
            new = NewPair(vote.prompt, vote.first, vote.second, vote.first_model, vote.second_model)
            round_id = self.rounds[vote.round]
            [self.pairs[texts]] = insert_pairs(connection, round_id, [new], vote.kind)


def _texts(vote: Vote) -> Texts:
    return vote.round, vote.kind, vote.prompt, vote.first, vote.second
