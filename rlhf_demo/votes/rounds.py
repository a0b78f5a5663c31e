"""The rounds of a class: pairs, votes, reward model, blind vote, reveal, and the next round.

    feedback 1 -> (reward model, PPO) -> blind vote 1, revealed -> feedback 2 -> ...

The instructor's functions take the token and check it in the transaction in which they act. The
server's own functions (pairs, retraining) take the class's id, so no endpoint may expose them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from sqlalchemy import Connection, Row, delete, func, or_, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.votes.assignment import seats_of
from rlhf_demo.votes.pairs import usable
from rlhf_demo.votes.quality import win_rate
from rlhf_demo.votes.queries import (
    by_id,
    current_round,
    insert_pairs,
    new_round,
    owner,
    question_id,
)
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.tables import assignments, collections, pairs, questions, rounds, voters
from rlhf_demo.votes.vote import (
    ATTENTION_CHECK,
    DUEL,
    LONGEST_QUESTION,
    PLAIN,
    NewPair,
    Vote,
    clean_text,
)

RETRAIN_EVERY = 10
"""Number of new preferences after which the class's reward model is retrained."""

CHANGES_WAIT = 120.0
"""Seconds from one training to another that only changed answers ask for. A class's training goes
before those of visitors, who would otherwise wait for ever."""

ACTIVE_SECONDS = 900.0
"""A class without an active student for this long needs no pairs and no training."""

MOST_POINTS = 30
"""Points of the curve that shows how the result of a blind vote developed."""


@dataclass(frozen=True)
class ClassStatus:
    """The state of a class, for the server's background work."""

    collection: int
    code: str
    overlap: int  # students who see each pair of the round
    clean_words: bool
    lesson: bool  # a lesson is on the phones, so nobody votes
    question: str
    round: int
    kind: str  # feedback, blind
    round_state: str  # open, closed, revealed
    base: str | None  # models of a blind vote
    contender: str | None
    students: int  # all who have joined, simulated ones included
    active: int  # of these, those who have answered
    pairs: int  # of the round, without attention checks


class RoundFacts(TypedDict):
    """What all students of a class may know about its round."""

    state: str  # of the class: open, paused
    round: int  # 1 is the first
    kind: str  # feedback, blind
    round_state: str  # open, closed, revealed
    question: str


class BlindResult(TypedDict):
    """A class's blind vote; its outcome, for A against B, only once it is revealed."""

    revealed: bool
    votes: int
    simulated: int  # number of simulated votes
    pairs: int  # number of pairs with votes
    rate: NotRequired[float | None]  # this and what follows as in `quality.WinRate`
    low: NotRequired[float]
    high: NotRequired[float]
    wins: NotRequired[int]
    losses: NotRequired[int]
    ties: NotRequired[int]
    both_bad: NotRequired[int]
    series: NotRequired[list[tuple[int, float | None]]]  # votes so far and their rate
    a: NotRequired[str]  # the models
    b: NotRequired[str]
    contender: NotRequired[str]  # "a" or "b"


def named(votes: Iterable[Vote]) -> set[str]:
    """Return a name for each vote, which another answer to the same pair does not have."""
    return {f"{vote.id} {vote.choice}" for vote in votes}


class Rounds:
    """The rounds of the classes of one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.database = store, store.database

    # -- rounds ------------------------------------------------------------------------------------

    def open_blind(self, token: str, base: str, contender: str) -> None:
        """End the feedback round and begin the blind vote between two models.

        Raises:
            Refused: a blind vote is already open, or both models are the same.
        """
        if base == contender:
            raise Refused(f"comparing {base} with itself shows nothing: choose another model")
        with self.database.writing() as connection:
            collection, latest = self._current(connection, token)
            if latest.kind == "blind":
                raise Refused("a blind vote is already open: reveal it, then begin a new round")
            self._end_round(connection, latest.id, "closed")
            asked, number = latest.question_id, latest.number
            models = {"base": base, "contender": contender}
            new_round(connection, collection.id, number, kind="blind", question=asked, **models)

    def reveal(self, token: str) -> BlindResult:
        """End the blind vote; return its result with the models' names.

        Raises:
            Refused: there is no blind vote.
        """
        with self.database.writing() as connection:
            collection, latest = self._current(connection, token)
            if latest.kind != "blind":
                raise Refused("there is no blind vote to reveal: open one first")
            self._end_round(connection, latest.id, "revealed")
            over = current_round(connection, collection.id)
        return blind_result(self.store, over)

    def next_round(self, token: str, question: str | None = None, ends: int | None = None) -> int:
        """Begin the next feedback round; return its number.

        Its reward model learns from the feedback of all rounds so far, never from blind votes.

        Args:
            token: the instructor's.
            question: a new question; None keeps the old one.
            ends: the round that the instructor's screen shows; None if it does not matter.

        Raises:
            Refused: that round is over, the blind vote has not been revealed yet, or the question
                is empty or too long.
        """
        with self.database.writing() as connection:
            collection, latest = self._current(connection, token)
            if ends not in (None, latest.number):
                raise Refused(f"round {ends} is over: the class is in round {latest.number}")
            if latest.kind == "blind" and latest.state != "revealed":
                raise Refused("the blind vote is still open: reveal it first")
            asked = latest.question_id
            if question is not None:
                text = clean_text(question, LONGEST_QUESTION, "question")
                asked = question_id(connection, text)
            if asked != latest.question_id:  # a new question gets a reward model of its own
                this = update(collections).where(collections.c.id == collection.id)
                connection.execute(this.values(trained_votes=0))
            if latest.state == "open":
                self._end_round(connection, latest.id, "closed")
            new_round(connection, collection.id, latest.number + 1, kind="feedback", question=asked)
            return latest.number + 1

    def _current(self, connection: Connection, token: str) -> tuple[Row[Any], Row[Any]]:
        collection = owner(connection, collections, token, lock=True)
        return collection, current_round(connection, collection.id)

    @staticmethod
    def _end_round(connection: Connection, number: int, state: str) -> None:
        connection.execute(update(rounds).where(rounds.c.id == number).values(state=state))
        here = select(pairs.c.id).where(pairs.c.round_id == number)
        unanswered = assignments.c.choice.is_(None) & assignments.c.pair_id.in_(here)
        connection.execute(delete(assignments).where(unanswered))

    # -- what the server does by itself ------------------------------------------------------------

    def active(self) -> list[int]:
        """Return the classes that were opened, or had an active voter, lately."""
        since = self.store.clock() - ACTIVE_SECONDS
        here = select(voters.c.collection_id).where(voters.c.last_seen > since)
        query = select(collections.c.id).where(collections.c.kind == "class")
        query = query.where(or_(collections.c.created > since, collections.c.id.in_(here)))
        with self.database.reading() as connection:
            return list(connection.execute(query.order_by(collections.c.id)).scalars())

    def class_status(self, collection: int) -> ClassStatus:
        """Return the state of a class.

        Raises:
            Refused: it was deleted.
        """
        with self.database.reading() as connection:
            row, latest = self._there(connection, collection)
            count = select(func.count())
            students = count.select_from(voters).where(voters.c.collection_id == collection)
            answers = select(assignments.c.id).where(assignments.c.choice.is_not(None))
            answered = answers.where(assignments.c.voter_id == voters.c.id).exists()
            here = pairs.c.round_id == latest.id, pairs.c.kind != ATTENTION_CHECK
            return ClassStatus(
                collection,
                row.code,
                seats_of(latest.kind, row.overlap),
                row.clean_words,
                row.open_lesson is not None,
                by_id(connection, questions, latest.question_id).text,
                latest.number,
                latest.kind,
                latest.state,
                latest.base,
                latest.contender,
                connection.execute(students).scalar_one(),
                connection.execute(students.where(answered)).scalar_one(),
                connection.execute(count.select_from(pairs).where(*here)).scalar_one(),
            )

    def add_pairs(
        self,
        collection: int,
        new: Sequence[NewPair],
        written_for: tuple[int, str] | None = None,
    ) -> None:
        """Add sampled pairs to the current round.

        Args:
            collection: the class's id.
            new: the pairs; in a blind round `first` is the base's text and `second` the
                contender's.
            written_for: number and kind of the round that it was when the writing began; None if
                the pairs fit any round. Those of a blind vote are on test prompts, so a feedback
                round must not get them.

        Raises:
            Refused: the round is over, or the pairs of a blind round come from other models.
        """
        with self.database.writing() as connection:
            _, latest = self._there(connection, collection)
            if latest.state != "open" or written_for not in (None, (latest.number, latest.kind)):
                raise Refused("this round is over: begin the next one first")
            blind = latest.kind == "blind"
            models = {(pair.first_model, pair.second_model) for pair in new}
            if blind and models - {(latest.base, latest.contender)}:
                raise Refused(
                    f"this blind vote is {latest.base} against {latest.contender}: "
                    "sample the pairs from these, in this order"
                )
            insert_pairs(connection, latest.id, new, DUEL if blind else PLAIN)

    def due_for_retraining(
        self, collection: int, learned: Collection[str], began_at: float
    ) -> bool:
        """Say whether RETRAIN_EVERY preferences have come, changed or gone since a training.

        Those that changed or went count CHANGES_WAIT seconds after it began: one student may take
        answers back, and give them again, without end. Without `mark_trained`, because the class's
        students or question changed, so many are enough.

        Args:
            collection: the class.
            learned: the preferences that the training learned from, as `named` names them. Their
                number would not do: answers may be taken back, and others come in their place.
            began_at: when the training began, in seconds since 1970.
        """
        with self.database.reading() as connection:
            row, _ = self._there(connection, collection)
        now = named(self.training_votes(collection))
        if not row.trained_votes:
            return len(now) >= RETRAIN_EVERY
        waited = not 0 <= self.store.clock() - began_at < CHANGES_WAIT  # clocks are set back
        changed = len(now ^ set(learned)) if waited else len(now) - len(learned)
        return changed >= RETRAIN_EVERY

    def training_votes(self, collection: int) -> list[Vote]:
        """Return the class's preferences on the current question, from all feedback rounds."""
        with self.database.reading() as connection:
            _, latest = self._there(connection, collection)
            asked = by_id(connection, questions, latest.question_id).text
        return usable(self.store.votes(collection), [asked])

    def mark_trained(self, collection: int, votes: int) -> None:
        """Record that a training on so many preferences has begun."""
        with self.database.writing() as connection:
            this = update(collections).where(collections.c.id == collection)
            connection.execute(this.values(trained_votes=votes))

    @staticmethod
    def _there(connection: Connection, collection: int) -> tuple[Row[Any], Row[Any]]:
        query = select(collections).where(
            collections.c.id == collection, collections.c.kind == "class"
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise Refused("this class has been deleted: open a new one")
        return row, current_round(connection, collection)

    # -- blind votes -------------------------------------------------------------------------------

    def blind_result(self, token: str) -> BlindResult:
        """Return the size of the blind vote; with its outcome and the names once it is revealed.

        Raises:
            Refused: there is no blind vote.
        """
        with self.database.reading() as connection:
            _, latest = self._current(connection, token)
        if latest.kind != "blind":
            raise Refused("there is no blind vote: open one first")
        return blind_result(self.store, latest)


def round_facts(connection: Connection, collection: Row[Any], latest: Row[Any]) -> RoundFacts:
    """Return what all students of a class may know about its round."""
    return {
        "state": collection.state,
        "round": latest.number,
        "kind": latest.kind,
        "round_state": latest.state,
        "question": by_id(connection, questions, latest.question_id).text,
    }


def blind_result(store: Store, blind: Row[Any]) -> BlindResult:
    """Return the outcome of a blind round for the model called A; before the reveal, only its size.

    An instructor who saw the share could reveal it at a convenient moment. Two equal models would
    then be called different in a fifth of all classes instead of a twentieth. So no one sees it.
    """
    votes = [
        vote
        for vote in store.votes(blind.collection_id)
        if vote.kind == DUEL and vote.round == blind.number
    ]
    winner = "second" if blind.a_is_contender else "first"
    outcome = win_rate(votes, winner)
    simulated = sum(vote.simulated for vote in votes if vote.choice != "skip")
    if blind.state != "revealed":
        return {
            "votes": outcome["votes"],
            "pairs": outcome["pairs"],
            "revealed": False,
            "simulated": simulated,
        }
    models = (
        (blind.contender, blind.base) if blind.a_is_contender else (blind.base, blind.contender)
    )
    stops = sorted({round(len(votes) * n / MOST_POINTS) for n in range(1, MOST_POINTS + 1)} - {0})
    series = [win_rate(votes[:stop], winner) for stop in stops]
    return {
        **outcome,
        "series": [(point["votes"], point["rate"]) for point in series],
        "revealed": True,
        "simulated": simulated,
        "a": models[0],
        "b": models[1],
        "contender": "a" if blind.a_is_contender else "b",
    }
