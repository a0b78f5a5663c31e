"""The store of people's feedback: pairs come in, are shown, and are answered once.

Whoever votes is a voter with a secret, on the open page and in a class alike; every function that
acts for a voter takes the secret and finds out for itself whose it is. `votes` and `add_pairs` are
for the server's own use: they ask no secret, so no endpoint may pass them on as they are.
Safe to share between threads; what is returned is plain data.
"""

import random
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Row, delete, func, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.assignment import PairQuery, asks, assign, has_seat, unseen
from rlhf_demo.votes.imports import drop_unfinished, keep_votes
from rlhf_demo.votes.migrations import lock
from rlhf_demo.votes.queries import (
    answers,
    as_seen,
    by_id,
    check_open,
    clear_open_page,
    current_round,
    insert_pairs,
    new_collection,
    new_voter,
    own_assignment,
    owner,
    question_id,
)
from rlhf_demo.votes.tables import Database, assignments, collections, pairs, questions, voters
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
"""Code of the open page's collection. Never one of a class: theirs are capital letters."""

OPEN_OVERLAP = 3
"""People who see each pair of the open page, so that there is agreement to measure."""

OPEN_DAY = (3_000, 3_000 / 86_400)
"""Answers from one address to the open page: so many at once, then so many a second. All are read
wherever votes are counted or trained on; a class of sixty gives half of it."""

SEEN_EVERY = 10.0
"""Seconds between two notes that a voter is there; a write for each poll would be waste."""


class Store:
    """All feedback of one installation, in one database."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Open the database and make what is missing in it.

        Args:
            url: as SQLAlchemy writes it; `tables.database_url` gives the usual one.
            clock: seconds since 1970.
            rng: draws sides and attention checks; from the system's randomness if not given.

        Raises:
            DataError: the database cannot be opened.
        """
        self.database = Database(url)
        self.clock = clock
        self.rng = rng or random.SystemRandom()
        self._votes_limit = RateLimit(5, 2.0, clock)  # five at once, then one in half a second
        # Of all who share an address; thirty in a class can answer within a few seconds.
        self._open_limit = RateLimit(30, 3.0, clock)
        self._day_limit = RateLimit(*OPEN_DAY, clock)
        self._class_limit = RateLimit(60, 15.0, clock)
        self._texts_limit = RateLimit(5, 0.2, clock)  # own prompts and questions
        self._visits_limit = RateLimit(60, 1.0, clock)  # a school shares one address
        self._clearing = RateLimit(1, 1 / 3600, clock)
        with self.database.writing() as connection:
            lock(connection)
            drop_unfinished(connection)
            found = connection.execute(
                select(collections.c.id).where(collections.c.code == OPEN_CODE)
            )
            self.open_collection = found.scalar()
            if self.open_collection is None:
                self.open_collection, _ = new_collection(
                    connection, clock(), kind="open", code=OPEN_CODE, overlap=OPEN_OVERLAP
                )
            self.open_round = current_round(connection, self.open_collection).id

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()

    # -- voters ------------------------------------------------------------------------------------

    def enter(self, secret: str | None, client: str) -> str:
        """Return a voter's secret: the one that the browser kept if it is known, else a new one.

        Raises:
            Refused: too many visitors came from this address at once.
        """
        try:
            self.pairs_waiting(secret, QUESTIONS[0])
        except Refused:
            return self.visit(client)
        return secret

    def visit(self, client: str) -> str:
        """Make a voter of a visitor of the open page and return the secret, to be kept there.

        Raises:
            Refused: too many visitors came from this address at once.
        """
        self._visits_limit.require(client, "visitors from this address")
        with self.database.writing() as connection:
            if self._clearing.allow("open page"):
                clear_open_page(connection, self.open_collection, self.open_round, self.clock())
            return new_voter(connection, self.clock(), self.open_collection, "visitor")[2]

    def own_prompt(self, secret: str, text: str) -> str:
        """Return a visitor's prompt as one bounded line, for the page to sample responses to.

        Raises:
            Refused: the secret is unknown, the text is empty or too long, or they come too
                fast.
        """
        with self.database.reading() as connection:
            voter = owner(connection, voters, secret)
        self._texts_limit.require(voter.id, "new texts from you")
        return clean_text(text, LONGEST_PROMPT, "prompt")

    # -- pairs -------------------------------------------------------------------------------------

    def add_pairs(
        self, new: Sequence[NewPair], *, kind: str = PLAIN, owner_secret: str | None = None
    ) -> None:
        """Put sampled pairs before the visitors of the open page.

        Args:
            new: the pairs; in a duel `second` is the contender's.
            kind: PLAIN or DUEL.
            owner_secret: of the visitor who brought the prompt; nobody else is shown the pairs, and
                what the visitor has not answered yet goes back, so that these come next.
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
    ) -> int:
        """Return how many pairs `next_pair` has left for this voter, to sample more in time."""
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret)
            pair_query = self._wish(connection, voter, question, kind, model, against)
            return unseen(connection, voter.id, pair_query, self.clock())

    def next_pair(
        self,
        secret: str,
        question: str | None = None,
        *,
        kind: str = PLAIN,
        model: str | None = None,
        against: str | None = None,
        beside: int | None = None,
    ) -> Assignment | None:
        """Return the pair the voter is to answer now; the same one until it is answered.

        Args:
            secret: the voter's.
            question: what to ask over the pair. In a class the instructor has chosen, and this and
                the following are not looked at.
            kind: PLAIN, or DUEL for a blind vote.
            model: only pairs in which this model wrote.
            against: and in which this one wrote too.
            beside: an assignment that the page has on its screen: what is to come after it is asked
                for ahead.

        Returns:
            None where there is nothing to show now.

        Raises:
            Refused: the secret is unknown, the class is paused, or the question is no good.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
            if voter.last_seen < now - SEEN_EVERY:
                here = update(voters).where(voters.c.id == voter.id)
                connection.execute(here.values(last_seen=now))
            pair_query = self._wish(connection, voter, question, kind, model, against)
            assignment = self._unanswered(connection, voter.id, pair_query, now, beside)
            assignment = assignment or assign(connection, voter.id, pair_query, now, self.rng)
            return as_seen(connection, assignment) if assignment else None

    def _wish(
        self,
        connection: Connection,
        voter: Row,
        question: str | None,
        kind: str,
        model: str | None,
        against: str | None,
    ) -> PairQuery:
        """Return what this voter may be shown."""
        collection = by_id(connection, collections, voter.collection_id)
        if collection.state != "open":
            raise Refused("the class is paused: wait for the instructor to continue")
        if collection.kind == "open":
            asked = clean_text(question, LONGEST_QUESTION, "question")
            number = self._question(connection, asked, voter.id)
            return PairQuery(
                self.open_round, number, kind, collection.overlap, False, model, against
            )
        latest = current_round(connection, collection.id)
        if latest.state != "open":
            raise Refused("this round is over: wait for the next one")
        kind = DUEL if latest.kind == "blind" else PLAIN
        return PairQuery(latest.id, latest.question_id, kind, collection.overlap, evenly=True)

    def _question(self, connection: Connection, text: str, voter: int) -> int:
        found = connection.execute(select(questions.c.id).where(questions.c.text == text)).scalar()
        if found:
            return found
        self._texts_limit.require(voter, "new texts from you")
        return question_id(connection, text)

    def _unanswered(
        self,
        connection: Connection,
        voter: int,
        pair_query: PairQuery,
        now: float,
        beside: int | None,
    ) -> int:
        """Return the voter's open assignment that fits, or 0; one that lost its seat goes."""
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
            if row.id == beside or not {pair_query.model, pair_query.against} <= wrote:
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
        """Keep an answer; when this returns, it is on disk.

        Args:
            secret: the voter's.
            assignment: id of what was shown.
            choice: one of CHOICES, as seen on the screen.
            client: the address that it comes from, None where the server itself answers.

        Returns:
            True where it counts now, False where the very same answer had been kept before (a
            phone that lost the line sends twice).

        Raises:
            Refused: it is not this voter's to answer, was answered otherwise, is over, or
                answers come too fast.
        """
        if choice not in CHOICES:
            raise Refused(f"{choice!r} is not an answer: choose one of {', '.join(CHOICES)}")
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
            self._check_pace(voter, client)
            shown = own_assignment(connection, voter.id, assignment)
            kept = for_text(choice, bool(shown.swapped))
            if shown.choice == kept:
                return False
            if shown.choice is not None:
                raise Refused("you have already given this pair another answer: undo that first")
            check_open(shown)
            if not has_seat(connection, shown, shown.overlap, now):
                raise Refused("this pair has gone to someone else: take the next one")
            this = update(assignments).where(
                assignments.c.id == shown.id, assignments.c.choice.is_(None)
            )
            # A pair fetched ahead came to the eye when the one before it was answered.
            before = select(func.max(assignments.c.voted_at)).where(
                assignments.c.voter_id == voter.id
            )
            begun = max(shown.shown_at, connection.execute(before).scalar() or 0.0)
            seconds = max(0.0, now - begun)
            connection.execute(this.values(choice=kept, voted_at=now, seconds=seconds))
            return True

    def _check_pace(self, voter: Row, client: str | None) -> None:
        self._votes_limit.require(voter.id, "answers from you")
        if client is not None:
            is_open = voter.collection_id == self.open_collection
            for limit in (self._open_limit, self._day_limit) if is_open else (self._class_limit,):
                limit.require(client, "answers from your address")

    def undo(self, secret: str, client: str | None = None) -> bool:
        """Take back the voter's last answer of the round that is on; its pair is next again.

        Args:
            secret: the voter's.
            client: as in `vote`.

        Returns:
            False where there is nothing to take back.

        Raises:
            Refused: the round is over, or it was a blind vote whose names have been shown.
        """
        with self.database.writing() as connection:
            voter = owner(connection, voters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
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
        """Return which model wrote the left text and which the right, once that is no secret.

        Raises:
            Refused: the pair is not this voter's, is not answered, or the class's blind vote
                is still on.
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
        """Return how many answers the page holds; those of classes are not counted."""
        answered = (
            select(func.count())
            .select_from(assignments.join(voters).join(collections))
            .where(
                assignments.c.voted_at.is_not(None), collections.c.kind != "class"
            )  # is in an index
        )
        with self.database.reading() as connection:
            return connection.execute(answered).scalar_one()

    def votes(self, collection: int | None = None, *, classes: bool = True) -> list[Vote]:
        """Return the answers of a collection, or all, in the order they came.

        For the server's own use: what it returns says who answered what. `classes=False` leaves out
        those of classes, which are their instructors' to give away, and all but visitors' newest
        (`queries.MOST_READ`). Votes marked `own` are for the voter alone wherever strangers look.
        """
        with self.database.reading() as connection:
            return answers(connection, collection, classes=classes)

    # -- importing ---------------------------------------------------------------------------------

    def add_votes(self, votes: Sequence[Vote], source: str) -> tuple[int, int]:
        """Keep votes read from a file (`votes.files.read_votes`) as a collection of their own.

        Args:
            votes: as read; voters and rounds keep apart what their numbers kept apart.
            source: SHA-256 of the file.

        Returns:
            The collection, and how many votes were left out because the same voter answers the same
            pair twice.

        Raises:
            Refused: this file has been imported before.
        """
        return keep_votes(self.database, self.clock(), votes, source)
