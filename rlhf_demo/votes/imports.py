"""Put votes, rankings or demonstrations from a file into the store, while people vote.

A few rows go in at a time. Each file becomes a collection of its own. Its state is ARRIVING until
all rows are in, and an import that an error or a kill cut short is deleted.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Row, Select, delete, insert, select, update

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
from rlhf_demo.votes.tables import (
    assignments,
    collections,
    demonstrations,
    pairs,
    questions,
    rankings,
    rounds,
)
from rlhf_demo.votes.vote import Demonstration, NewPair, Ranking, Vote

R = TypeVar("R", Vote, Demonstration, Ranking)

ARRIVING = "arriving"

BATCH = 200
"""Rows in one transaction: about a tenth of a second."""

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
        The collection's id, and the number of votes that were left out: those that are here
        already, such as those of this page's own export, and others of a voter on the same pair.

    Raises:
        Refused: this file has been imported before, is being imported, or has nothing new.
    """
    imported = _Import(database, now, source, _answers_here(database, votes))
    imported.keep_all(votes, imported.keep_vote)
    return imported.collection, len(votes) - len(imported.seen)


def keep_demonstrations(
    database: Database, now: float, texts: Sequence[Demonstration], source: str
) -> tuple[int, int]:
    """Store a file's demonstrations in a collection of their own, as `keep_votes` does."""
    imported = _Import(database, now, source, _texts_here(database, texts))
    imported.keep_all(texts, imported.keep_demonstration)
    return imported.collection, len(texts) - len(imported.seen)


def keep_rankings(
    database: Database, now: float, ranked: Sequence[Ranking], source: str
) -> tuple[int, int]:
    """Store a file's rankings in a collection of their own, as `keep_votes` does."""
    imported = _Import(database, now, source, _rankings_here(database, ranked))
    imported.keep_all(ranked, imported.keep_ranking)
    return imported.collection, len(ranked) - len(imported.seen)


Texts = tuple[int, str, str, str, str]
"""What makes a pair in a file: round, kind, prompt, first and second text."""


class _Import:
    """A collection that is being filled, and its ids for the numbers and texts in a file.

    Attributes:
        here: what tells the rows that this page has already.
    """

    def __init__(
        self, database: Database, now: float, source: str, here: set[tuple[Any, ...]]
    ) -> None:
        """Create the collection.

        Raises:
            Refused: this file has been imported before, or is being imported.
        """
        self.database, self.now, self.here = database, now, here
        self.voters: dict[int, int] = {}
        self.pairs: dict[Texts, int] = {}
        self.seen: set[tuple[Any, ...]] = set()
        with database.writing() as connection:
            known = select(collections.c.id).where(collections.c.source == source)
            if connection.execute(known).scalar() is not None:
                raise Refused("this file has already been imported: its rows are here")
            self.collection, _ = new_collection(
                connection, now, kind="import", overlap=1, source=source
            )
            self._set_state(connection, ARRIVING)
            self.rounds = {1: current_round(connection, self.collection).id}

    def keep_all(self, rows: Sequence[R], keep: Callable[[Connection, R], None]) -> None:
        """Insert all rows, or none if an error interrupts."""
        try:
            for start in range(0, len(rows), BATCH):
                time.sleep(PAUSE)
                with self.database.writing() as connection:
                    for row in rows[start : start + BATCH]:
                        keep(connection, row)
            if not self.seen:
                raise Refused("nothing in this file is new: its rows are here already")
            with self.database.writing() as connection:
                self._set_state(connection, "open")
        except BaseException:
            with self.database.writing() as connection:
                connection.execute(delete(collections).where(collections.c.id == self.collection))
            raise

    def _set_state(self, connection: Connection, state: str) -> None:
        this = update(collections).where(collections.c.id == self.collection)
        connection.execute(this.values(state=state))

    def keep_vote(self, connection: Connection, vote: Vote) -> None:
        """Insert a vote, unless it is here or the same voter has answered the same pair."""
        chosen = {"first": vote.first, "second": vote.second}.get(vote.choice, vote.choice)
        texts_of = frozenset((vote.first, vote.second))
        if (vote.prompt, texts_of, vote.question, chosen, int(vote.time)) in self.here:
            return
        round_id = self._round(connection, vote.round)
        voter = self._voter(
            connection, vote.voter, simulated=vote.simulated, left_out=vote.left_out
        )
        texts = _texts(vote)
        if texts not in self.pairs:
            new = NewPair(vote.prompt, vote.first, vote.second, vote.first_model, vote.second_model)
            [self.pairs[texts]] = insert_pairs(connection, round_id, [new], vote.kind)
        pair = self.pairs[texts]
        if not self._is_new(pair, voter, vote.question, vote.repeat):
            return
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

    def keep_demonstration(self, connection: Connection, demonstration: Demonstration) -> None:
        """Insert a demonstration, unless the same voter wrote the same text for the same prompt."""
        one = demonstration
        if (one.prompt, one.completion, one.question, int(one.time)) in self.here:
            return
        if not self._is_new(one.round, one.voter, one.question, one.prompt, one.completion):
            return
        row = {
            "round_id": self._round(connection, one.round),
            "voter_id": self._voter(connection, one.voter, left_out=one.left_out),
            "question_id": question_id(connection, one.question),
            "prompt": one.prompt,
            "completion": one.completion,
            "written_at": one.time,
        }
        connection.execute(insert(demonstrations).values(row))

    def keep_ranking(self, connection: Connection, ranking: Ranking) -> None:
        """Insert a ranking, unless the same voter ranked the same texts."""
        one = ranking
        if (one.prompt, one.texts, one.order, one.question, int(one.time)) in self.here:
            return
        if not self._is_new(one.round, one.voter, one.question, one.prompt, frozenset(one.texts)):
            return
        names = ("prompt", "first", "second", "third", "fourth", "model", "seed")
        row = {name: getattr(one, name) for name in names} | {
            "round_id": self._round(connection, one.round),
            "voter_id": self._voter(connection, one.voter, left_out=one.left_out),
            "question_id": question_id(connection, one.question),
            "shown_at": one.time,
            "temperature": 1.0,
            "best_first": one.order,
            "ranked_at": one.time,
        }
        connection.execute(insert(rankings).values(row))

    def _is_new(self, *key: Any) -> bool:
        """Say whether no row of the file had this key before."""
        known = key in self.seen
        self.seen.add(key)
        return not known

    def _round(self, connection: Connection, number: int) -> int:
        if number not in self.rounds:
            self.rounds[number] = new_round(
                connection, self.collection, number, kind="feedback", question=None
            )
        return self.rounds[number]

    def _voter(self, connection: Connection, number: int, **traits: bool) -> int:
        if number not in self.voters:
            made, *_ = new_voter(connection, self.now, self.collection, "imported", **traits)
            self.voters[number] = made
        return self.voters[number]


OF_THE_PAGE = "open", "import"
"""Kinds of collections whose rows a page shows as its own; a class's are its instructor's."""


def _rows_here(
    database: Database,
    query: Select[*tuple[Any, ...]],
    of_round: Column[Any],
    at: Column[Any],
    given: Sequence[R],
) -> Sequence[Row[Any]]:
    """Return the rows of a query that this page has from the time of a file's rows.

    Args:
        database: the target.
        query: selects them from all collections.
        of_round: its column with the round.
        at: its column with the time.
        given: the file's rows, whose times are whole seconds.
    """
    times = [row.time for row in given]
    query = (
        query.join(rounds, rounds.c.id == of_round)
        .join(collections, collections.c.id == rounds.c.collection_id)
        .where(collections.c.kind.in_(OF_THE_PAGE), at.between(min(times), max(times) + 1))
    )
    with database.reading() as connection:
        return connection.execute(query).all()


def _answers_here(database: Database, votes: Sequence[Vote]) -> set[tuple[Any, ...]]:
    """Return what tells the answers of that time that this page has: a file may be its own."""
    columns = (
        pairs.c.prompt, pairs.c.first, pairs.c.second, questions.c.text.label("question"),
        assignments.c.choice, assignments.c.voted_at,
    )  # fmt: skip
    query = (
        select(*columns)
        .join(pairs, pairs.c.id == assignments.c.pair_id)
        .join(questions, questions.c.id == assignments.c.question_id)
        .where(assignments.c.choice.is_not(None))
    )
    rows = _rows_here(database, query, pairs.c.round_id, assignments.c.voted_at, votes)
    return {
        (
            row.prompt,
            frozenset((row.first, row.second)),
            row.question,
            {"first": row.first, "second": row.second}.get(row.choice, row.choice),
            int(row.voted_at),
        )
        for row in rows
    }


def _texts_here(database: Database, texts: Sequence[Demonstration]) -> set[tuple[Any, ...]]:
    """Return what tells the demonstrations of that time that this page has."""
    query = select(demonstrations, questions.c.text.label("question")).join(
        questions, questions.c.id == demonstrations.c.question_id
    )
    of_round, written_at = demonstrations.c.round_id, demonstrations.c.written_at
    rows = _rows_here(database, query, of_round, written_at, texts)
    return {(row.prompt, row.completion, row.question, int(row.written_at)) for row in rows}


def _rankings_here(database: Database, ranked: Sequence[Ranking]) -> set[tuple[Any, ...]]:
    """Return what tells the rankings of that time that this page has."""
    query = (
        select(rankings, questions.c.text.label("question"))
        .join(questions, questions.c.id == rankings.c.question_id)
        .where(rankings.c.best_first.is_not(None))
    )
    rows = _rows_here(database, query, rankings.c.round_id, rankings.c.ranked_at, ranked)
    return {
        (
            row.prompt,
            (row.first, row.second, row.third, row.fourth),
            row.best_first,
            row.question,
            int(row.ranked_at),
        )
        for row in rows
    }


def _texts(vote: Vote) -> Texts:
    return vote.round, vote.kind, vote.prompt, vote.first, vote.second
