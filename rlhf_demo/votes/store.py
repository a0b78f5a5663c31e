"""The store of votes: pairs come in, are shown to voters, and get one answer from each.

Every voter has a secret, on the open page and in a class. Functions that act for a voter take the
secret and look up its owner themselves. `votes` and `add_pairs` are for the server's own use: they
check no secret, so no endpoint may expose them directly.
Safe to share between threads; the results are plain data.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.assignment import PairQuery, asks, assign, has_seat, seats_of, unseen
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.demonstrations import Demonstrations
from rlhf_demo.votes.imports import drop_unfinished, keep_votes
from rlhf_demo.votes.migrations import lock
from rlhf_demo.votes.predictions import Predictions
from rlhf_demo.votes.queries import (
    answers,
    as_seen,
    by_id,
    check_open,
    clear_open_page,
    current_round,
    drop_unanswered,
    insert_pairs,
    new_collection,
    new_voter,
    next_time,
    own_assignment,
    owner,
    question_id,
)
from rlhf_demo.votes.rankings import Rankings
from rlhf_demo.votes.tables import assignments, collections, pairs, questions, voters
from rlhf_demo.votes.tries import Tries
from rlhf_demo.votes.vote import (
    CHOICES,
    DUEL,
    LONGEST_PROMPT,
    LONGEST_QUESTION,
    PLAIN,
    QUESTIONS,
    Assignment,
    NewPair,
    Vote,
    clean_text,
    for_text,
)

OPEN_CODE = "open"
"""Code of the open page's collection. No class can have it: their codes are capital letters."""

OPEN_OVERLAP = 3
"""Number of people who see each pair of the open page, so that agreement can be measured."""

OPEN_DAY = (3_000, 3_000 / 86_400)
"""Answers from one address to the open page: burst, then per second. All of them are read whenever
votes are counted or trained on. A class of sixty gives half as many."""

CLEAR_EVERY = 600.0
"""Seconds between two times at which what visitors left is deleted."""

MOST_UNANSWERED = 4
"""Unanswered assignments that a visitor of the open page keeps, under all questions together. A
page needs two: the pair on the screen and the next."""

SEEN_EVERY = 10.0
"""Seconds between two updates of a voter's `last_seen`; a write for each poll would be wasteful."""


class Store:
    """All votes of one installation, in one database.

    Its demonstrations, rankings, predictions and tries have classes of their own.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Open the database, and create the open page's collection if it is missing.

        Args:
            url: in SQLAlchemy's format; `database.database_url` returns the usual one.
            clock: seconds since 1970.
            rng: draws sides and attention checks; by default from the system's randomness.

        Raises:
            DataError: the database cannot be opened.
        """
        self.database = Database(url)
        self.clock = clock
        self.rng = rng or random.SystemRandom()
        self.demonstrations = Demonstrations(self.database, clock)
        self.predictions = Predictions(self.database, clock)
        self.tries = Tries(self.database, clock)
        self._votes_limit = RateLimit(5, 2.0, clock)  # five at once, then two a second
        # For all who share an address: thirty students can answer within a few seconds.
        self._open_limit = RateLimit(30, 3.0, clock)
        self._day_limit = RateLimit(*OPEN_DAY, clock)
        self._class_limit = RateLimit(60, 15.0, clock)
        self._texts_limit = RateLimit(5, 0.2, clock)  # own prompts and questions
        self._questions_limit = RateLimit(60, 0.2, clock)
        self._visits_limit = RateLimit(60, 1.0, clock)  # a school shares one address
        self._clearing = RateLimit(1, 1 / CLEAR_EVERY, clock)
        with self.database.writing() as connection:
            lock(connection)
            drop_unfinished(connection)
            found = connection.execute(
                select(collections.c.id).where(collections.c.code == OPEN_CODE)
            )
            number = found.scalar()
            if number is None:
                number, _ = new_collection(
                    connection, clock(), kind="open", code=OPEN_CODE, overlap=OPEN_OVERLAP
                )
            self.open_collection: int = number
            self.open_round = current_round(connection, self.open_collection).id
        self.rankings = Rankings(self.database, clock, self.open_round, self._question)

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()

    # -- voters ------------------------------------------------------------------------------------

    def enter(self, secret: str | None, client: str) -> str:
        """Return a voter's secret: the browser's if the store knows it, else a new one.

        Raises:
            Refused: too many visitors come from this address.
        """
        if secret is not None:
            with suppress(Refused):
                self.pairs_waiting(secret, QUESTIONS[0])
                return secret
        return self.visit(client)

    def visit(self, client: str) -> str:
        """Create a voter for a visitor of the open page and return the secret for the browser.

        Raises:
            Refused: too many visitors come from this address.
        """
        self._visits_limit.require(client, "visitors from this address")
        with self.database.writing() as connection:
            if self._clearing.allow("open page"):
                clear_open_page(connection, self.open_collection, self.open_round, self.clock())
            return new_voter(connection, self.clock(), self.open_collection, "visitor")[2]

    def own_prompt(self, secret: str, text: str) -> str:
        """Return a visitor's prompt as one clean line, for the page to sample responses to.

        Raises:
            Refused: the secret is unknown, the text is empty or too long, or the visitor sends
                texts too fast.
        """
        with self.database.reading() as connection:
            voter = owner(connection, voters, secret)
        self._texts_limit.require(voter.id, "new texts from you")
        return clean_text(text, LONGEST_PROMPT, "prompt")

    # -- pairs -------------------------------------------------------------------------------------

    def add_pairs(
        self, new: Sequence[NewPair], *, kind: str = PLAIN, owner_secret: str | None = None
    ) -> None:
        """Add sampled pairs to the open page.

        Args:
            new: the pairs; in a blind vote `second` is the contender's text.
            kind: PLAIN or DUEL.
            owner_secret: the secret of the visitor who typed the prompt. Only this visitor is shown
                the pairs. The visitor's unanswered assignments are deleted, so that these pairs
                come next.
        """
        with self.database.writing() as connection:
            who = None if owner_secret is None else owner(connection, voters, owner_secret).id
            insert_pairs(connection, self.open_round, new, kind, who)
            if who is not None:
                mine = (assignments.c.voter_id == who) & assignments.c.choice.is_(None)
                connection.execute(delete(assignments).where(mine))

    def pairs_waiting(
        self,
        secret: str,
        question: str,
        *,
        kind: str = PLAIN,
        model: str | None = None,
        against: str | None = None,
        client: str | None = None,
    ) -> int:
        """Return how many pairs `next_pair` has left for this voter, so that more are sampled in
        time.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret)
            pair_query = self._pair_query(connection, voter, question, kind, model, against, client)
            return unseen(connection, voter.id, pair_query, self.clock())

    def next_pair(
        self,
        secret: str,
        question: str | None = None,
        *,
        kind: str = PLAIN,
        model: str | None = None,
        against: str | None = None,
        after: int | None = None,
        goal: int = 0,
        client: str | None = None,
    ) -> Assignment | None:
        """Return the pair that the voter should answer now, the same one until it is answered.

        Args:
            secret: the voter's.
            question: the question about the pair. A class has the instructor's question, and
                ignores this argument and the next three.
            kind: PLAIN, or DUEL for a blind vote.
            model: only pairs with a text of this model.
            against: and with a text of this model too.
            after: id of the assignment on the screen; returns the next one, so the page can
                prefetch it.
            goal: pairs that each student of a class should answer in the round.
            client: the visitor's address, for the limit on new questions.

        Returns:
            None if there is nothing to show now.

        Raises:
            Refused: the secret is unknown, the class is paused, the question is empty or too long,
                or too many new ones come from the visitor or the address.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after the wait for other writers, who may have taken the seat
            if voter.last_seen < now - SEEN_EVERY:
                here = update(voters).where(voters.c.id == voter.id)
                connection.execute(here.values(last_seen=now))
            pair_query = self._pair_query(
                connection, voter, question, kind, model, against, client, goal
            )
            assignment = self._unanswered(connection, voter.id, pair_query, now, after)
            if not assignment and not pair_query.evenly:
                drop_unanswered(connection, voter.id, MOST_UNANSWERED - 1)
            assignment = assignment or assign(connection, voter.id, pair_query, now, self.rng)
            return as_seen(connection, assignment) if assignment else None

    def _pair_query(
        self,
        connection: Connection,
        voter: Row[Any],
        question: str | None,
        kind: str,
        model: str | None,
        against: str | None,
        client: str | None,
        goal: int = 0,
    ) -> PairQuery:
        """Return what this voter may be shown."""
        collection = by_id(connection, collections, voter.collection_id)
        if collection.state != "open":
            raise Refused("the class is paused: wait for the instructor to continue")
        if collection.kind == "open":
            asked = clean_text(question, LONGEST_QUESTION, "question")
            number = self._question(connection, asked, voter.id, client)
            return PairQuery(
                self.open_round, number, kind, collection.overlap, False, model, against
            )
        latest = current_round(connection, collection.id)
        if latest.state != "open":
            raise Refused("this round is over: wait for the next one")
        kind = DUEL if latest.kind == "blind" else PLAIN
        seats = seats_of(latest.kind, collection.overlap)
        return PairQuery(latest.id, latest.question_id, kind, seats, evenly=True, goal=goal)

    def _question(self, connection: Connection, text: str, voter: int, client: str | None) -> int:
        if has_coarse_word(text):  # everyone reads it in the lists, once there are votes
            raise Refused("the question contains a rude word: choose another")
        known = connection.execute(select(questions.c.id).where(questions.c.text == text)).scalar()
        if known:
            return known
        self._texts_limit.require(voter, "new texts from you")
        if client is not None:  # one address may have many visitors
            self._questions_limit.require(client, "new questions from this address")
        return question_id(connection, text)

    def _unanswered(
        self,
        connection: Connection,
        voter: int,
        pair_query: PairQuery,
        now: float,
        after: int | None,
    ) -> int:
        """Return the voter's unanswered assignment that fits, or 0. Delete those without a seat."""
        query = (
            select(assignments, pairs.c.kind, pairs.c.first_model, pairs.c.second_model)
            .join(pairs, pairs.c.id == assignments.c.pair_id)
            .where(assignments.c.voter_id == voter, assignments.c.choice.is_(None))
            .where(pairs.c.round_id == pair_query.round, asks(pair_query))
            .where((pairs.c.kind == DUEL) == (pair_query.kind == DUEL))
            .order_by(assignments.c.id)
        )
        for row in connection.execute(query).all():
            wrote = {None, row.first_model, row.second_model}
            if row.id == after or not {pair_query.model, pair_query.against} <= wrote:
                continue
            this = assignments.c.id == row.id
            if has_seat(connection, row, pair_query.overlap, now):
                if row.held_at < now - SEEN_EVERY:
                    connection.execute(update(assignments).where(this).values(held_at=now))
                return row.id
            connection.execute(delete(assignments).where(this))
        return 0

    # -- voting ------------------------------------------------------------------------------------

    def vote(self, secret: str, assignment: int, choice: str, client: str | None = None) -> bool:
        """Store an answer; it is on disk when this returns.

        Args:
            secret: the voter's.
            assignment: id of the assignment that was shown.
            choice: one of CHOICES, as seen on the screen.
            client: the address of the request; None if the server itself answers.

        Returns:
            True if the answer is new, False if the same answer was stored before (a phone that
            loses its connection sends twice).

        Raises:
            Refused: the pair is not this voter's, has another answer or belongs to a round that is
                over, or answers come too fast.
        """
        if choice not in CHOICES:
            raise Refused(f"{choice!r} is not an answer: choose one of {', '.join(CHOICES)}")
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after the wait for other writers, who may have taken the seat
            self._check_pace(voter, client)
            shown = own_assignment(connection, voter.id, assignment)
            kept = for_text(choice, bool(shown.swapped))
            if shown.choice == kept:
                return False
            if shown.choice is not None:
                raise Refused("you have already given this pair another answer: undo that first")
            check_open(shown)
            if not has_seat(connection, shown, seats_of(shown.round_kind, shown.overlap), now):
                raise Refused("this pair has gone to someone else: take the next one")
            this = update(assignments).where(
                assignments.c.id == shown.id, assignments.c.choice.is_(None)
            )
            # A prefetched pair appeared on the screen when the voter answered the one before it.
            before = select(func.max(assignments.c.voted_at)).where(
                assignments.c.voter_id == voter.id
            )
            last = connection.execute(before).scalar() or 0.0
            begun = max(shown.shown_at, last)
            seconds = now - begun if now >= begun else None  # the clock was set back
            answer = {"choice": kept, "voted_at": next_time(now, last), "seconds": seconds}
            connection.execute(this.values(answer))
            return True

    def _check_pace(self, voter: Row[Any], client: str | None) -> None:
        self._votes_limit.require(voter.id, "answers from you")
        if client is not None:
            is_open = voter.collection_id == self.open_collection
            for limit in (self._open_limit, self._day_limit) if is_open else (self._class_limit,):
                limit.require(client, "answers from your address")

    def undo(self, secret: str, client: str | None = None) -> bool:
        """Take back the voter's last answer in the current round; its pair comes next again.

        Args:
            secret: the voter's.
            client: as in `vote`.

        Returns:
            False if there is nothing to take back.

        Raises:
            Refused: the round is over, or the voter has seen the names in a blind vote.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after the wait for other writers, who may have taken the seat
            self._check_pace(voter, client)
            latest = current_round(connection, voter.collection_id)
            last = connection.execute(
                select(assignments.c.id)
                .join(pairs, pairs.c.id == assignments.c.pair_id)
                .where(assignments.c.voter_id == voter.id, assignments.c.choice.is_not(None))
                .where(pairs.c.round_id == latest.id)
                .order_by(assignments.c.voted_at.desc(), assignments.c.id.desc())
                .limit(1)
            ).scalar()
            if last is None:
                return False
            shown = own_assignment(connection, voter.id, last)
            check_open(shown)
            if shown.kind == DUEL and shown.collection_kind == "open":
                raise Refused("you have seen the names, so this vote stays: take the next pair")
            this = update(assignments).where(assignments.c.id == last)
            empty = {"choice": None, "voted_at": None, "seconds": None}
            connection.execute(this.values(empty | {"shown_at": now, "held_at": now}))
            return True

    def names(self, secret: str, assignment: int) -> tuple[str, str]:
        """Return the models that wrote the left and the right text, once they may be known.

        Raises:
            Refused: the pair is not this voter's or has no answer, or the class's blind vote is
                still open.
        """
        with self.database.reading() as connection:
            shown = own_assignment(connection, owner(connection, voters, secret).id, assignment)
        if shown.choice is None:
            raise Refused("the names are shown after your answer: answer first")
        if shown.collection_kind != "open" and shown.round_state != "revealed":
            raise Refused("the names are shown when the vote is over: wait for the instructor")
        both = (shown.first_model, shown.second_model)
        return both[::-1] if shown.swapped else both

    # -- reading -----------------------------------------------------------------------------------

    def count(self) -> int:
        """Return the number of answers, without those of classes."""
        answered = select(func.count()).where(assignments.c.voted_at.is_not(None))  # is in an index
        students = select(voters.c.id).join(collections).where(collections.c.kind == "class")
        # To look up the voter of each answer on the open page would take twice as long.
        with self.database.reading() as connection:
            total = connection.execute(answered).scalar_one()
            of_classes = answered.where(assignments.c.voter_id.in_(students))
            return total - connection.execute(of_classes).scalar_one()

    def votes(self, collection: int | None = None, *, classes: bool = True) -> list[Vote]:
        """Return the answers of a collection, or all answers, in order of time.

        For the server's own use: the result says who answered what. `classes=False` leaves out the
        answers of classes, which only their instructors may give away, and all but the newest of
        visitors (`queries.MOST_READ`). Only the voter may see votes marked `own` on a public page.
        """
        with self.database.reading() as connection:
            return answers(connection, collection, classes=classes)

    # -- importing ---------------------------------------------------------------------------------

    def add_votes(self, votes: Sequence[Vote], source: str) -> tuple[int, int]:
        """Store votes from a file (`votes.files.read_votes`) as a collection of their own.

        Args:
            votes: as read; different voters and rounds in the file stay different.
            source: SHA-256 of the file.

        Returns:
            The collection's id, and the number of votes that were left out because the same voter
            answers the same pair twice.

        Raises:
            Refused: this file was imported before.
        """
        return keep_votes(self.database, self.clock(), votes, source)
