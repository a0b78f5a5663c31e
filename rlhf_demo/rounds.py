"""A lesson, round by round: pairs, votes, reward model, blind vote, reveal, and round again.

    feedback 1 -> (reward model, PPO) -> blind vote 1, revealed -> feedback 2 -> ...

Every function takes the instructor's token and checks it in the transaction that acts.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from rlhf_demo.agreement import win_rate
from rlhf_demo.ballots import DUEL, LONGEST_QUESTION, PLAIN, NewPair, Vote, VoteRefused, clean_text
from rlhf_demo.records import by_id, current_round, insert_pairs, new_round, owner, question_id
from rlhf_demo.tables import lessons, pairs, questions, rounds, showings
from rlhf_demo.vote_pairs import LastRated, split_last_rated, usable
from rlhf_demo.votes import Store

RETRAIN_EVERY = 10
"""New preferences after which the class's reward model is trained anew."""


class Rounds:
    """The rounds of the lessons of one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.database = store, store.database

    # -- pairs and rounds --------------------------------------------------------------------------

    def add_pairs(self, token: str, new: Sequence[NewPair]) -> None:
        """Put sampled pairs into the round that is on.

        Args:
            token: the instructor's.
            new: in a blind round `first` is the base's text and `second` the contender's.

        Raises:
            VoteRefused: the round is over, or pairs of other models come into a blind round.
        """
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token)
            latest = current_round(connection, lesson.id)
            if latest.state != "open":
                raise VoteRefused("this round is over: begin the next one first")
            blind = latest.kind == "blind"
            models = {(pair.first_model, pair.second_model) for pair in new}
            if blind and models - {(latest.base, latest.contender)}:
                raise VoteRefused(
                    f"this blind vote is {latest.base} against {latest.contender}: "
                    "sample the pairs from these, in this order"
                )
            insert_pairs(connection, latest.id, new, DUEL if blind else PLAIN)

    def open_blind(self, token: str, base: str, contender: str) -> None:
        """End the round of feedback and begin the blind vote between two models.

        Raises:
            VoteRefused: a blind vote is on already, or both models are the same.
        """
        if base == contender:
            raise VoteRefused(f"{base} against itself tells nothing: choose another model")
        with self.database.writing() as connection:
            lesson, latest = self._current(connection, token)
            if latest.kind == "blind":
                raise VoteRefused("a blind vote stands already: reveal it, then begin a new round")
            self._end_round(connection, latest.id, "closed")
            asked, number = latest.question_id, latest.number
            models = {"base": base, "contender": contender}
            new_round(connection, lesson.id, number, kind="blind", question=asked, **models)

    def reveal(self, token: str) -> dict[str, Any]:
        """End the blind vote and show the names; return the result with them.

        Raises:
            VoteRefused: there is no blind vote.
        """
        with self.database.writing() as connection:
            lesson, latest = self._current(connection, token)
            if latest.kind != "blind":
                raise VoteRefused("there is no blind vote to reveal: open one first")
            self._end_round(connection, latest.id, "revealed")
            over = current_round(connection, lesson.id)
        return blind_result(self.store, over)

    def next_round(self, token: str, question: str | None = None) -> int:
        """Begin the next round of feedback; return its number. The blind votes are in its data.

        Args:
            token: the instructor's.
            question: another one, if wished.

        Raises:
            VoteRefused: the blind vote has not been revealed yet, or the question is no good.
        """
        with self.database.writing() as connection:
            lesson, latest = self._current(connection, token)
            if latest.kind == "blind" and latest.state != "revealed":
                raise VoteRefused("the blind vote is still on: reveal it first")
            asked = latest.question_id
            if question is not None:
                text = clean_text(question, LONGEST_QUESTION, "question")
                asked = question_id(connection, text)
            if asked != latest.question_id:  # a new question gets a reward model of its own
                this = update(lessons).where(lessons.c.id == lesson.id)
                connection.execute(this.values(trained_votes=0))
            if latest.state == "open":
                self._end_round(connection, latest.id, "closed")
            new_round(connection, lesson.id, latest.number + 1, kind="feedback", question=asked)
            return latest.number + 1

    def _current(self, connection: Connection, token: str) -> tuple[Row, Row]:
        lesson = owner(connection, lessons, token, lock=True)
        return lesson, current_round(connection, lesson.id)

    @staticmethod
    def _end_round(connection: Connection, number: int, state: str) -> None:
        connection.execute(update(rounds).where(rounds.c.id == number).values(state=state))
        here = select(pairs.c.id).where(pairs.c.round_id == number)
        unanswered = showings.c.choice.is_(None) & showings.c.pair_id.in_(here)
        connection.execute(delete(showings).where(unanswered))

    # -- reward model ------------------------------------------------------------------------------

    def due_for_retraining(self, token: str) -> bool:
        """Say whether ten new preferences have come in since `mark_trained`.

        Never during a blind vote: its answers are data for the round after it.
        """
        with self.database.reading() as connection:
            lesson, latest = self._current(connection, token)
        if latest.kind == "blind":
            return False
        return len(self._usable(token)) - lesson.trained_votes >= RETRAIN_EVERY

    def training_votes(self, token: str) -> LastRated:
        """Return the class's preferences on the present question, the last-rated fifth held out.

        Raises:
            DataError: there are too few votes to split.
        """
        return split_last_rated(self._usable(token))

    def mark_trained(self, token: str, votes: int) -> None:
        """Note that a training on so many votes (`LastRated.votes`) has begun."""
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token)
            this = update(lessons).where(lessons.c.id == lesson.id)
            connection.execute(this.values(trained_votes=votes))

    def _usable(self, token: str) -> list[Vote]:
        with self.database.reading() as connection:
            lesson, latest = self._current(connection, token)
            asked = by_id(connection, questions, latest.question_id).text
        return usable(self.store.votes(lesson.id), [asked])

    # -- blind votes -------------------------------------------------------------------------------

    def blind_result(self, token: str) -> dict[str, Any]:
        """Return how the blind vote stands, without names until the reveal.

        Returns:
            JSON-ready, see the function `blind_result`.

        Raises:
            VoteRefused: there is no blind vote.
        """
        with self.database.reading() as connection:
            _, latest = self._current(connection, token)
        if latest.kind != "blind":
            raise VoteRefused("there is no blind vote: open one first")
        return blind_result(self.store, latest)


def round_facts(connection: Connection, lesson: Row, latest: Row) -> dict[str, Any]:
    """Return what everybody in a class may know of its round, JSON-ready."""
    return {
        "state": lesson.state,
        "round": latest.number,
        "kind": latest.kind,
        "round_state": latest.state,
        "question": by_id(connection, questions, latest.question_id).text,
    }


def blind_result(store: Store, blind: Row) -> dict[str, Any]:
    """Return how a blind round stands, for the model called A; over all its votes.

    Returns:
        JSON-ready: what `agreement.win_rate` says, for A against B; `revealed`; and, only once it
        is, `a` and `b` (the models) and `contender` ("a" or "b"), before that None.
    """
    votes = [
        vote
        for vote in store.votes(blind.lesson_id)
        if vote.kind == DUEL and vote.round == blind.number
    ]
    models = (
        (blind.contender, blind.base) if blind.a_is_contender else (blind.base, blind.contender)
    )
    revealed = blind.state == "revealed"
    return win_rate(votes, "second" if blind.a_is_contender else "first") | {
        "revealed": revealed,
        "a": models[0] if revealed else None,
        "b": models[1] if revealed else None,
        "contender": ("a" if blind.a_is_contender else "b") if revealed else None,
    }
