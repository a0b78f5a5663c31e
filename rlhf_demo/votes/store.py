"""The store of people's feedback: pairs come in, are shown, and are answered once.

Whoever votes is a rater with a secret, on the open page and in a class alike; every function that
acts for a rater takes the secret and finds out for itself whose it is. `votes` and `add_pairs` are
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
from rlhf_demo.votes.queries import (
    answers,
    as_seen,
    by_id,
    check_open,
    clear_open_page,
    current_round,
    insert_pairs,
    new_lesson,
    new_rater,
    own_showing,
    owner,
    question_id,
)
from rlhf_demo.votes.tables import Database, lessons, pairs, questions, raters, showings
from rlhf_demo.votes.vote import (
    CHOICES,
    DUEL,
    LONGEST_PROMPT,
    LONGEST_QUESTION,
    PLAIN,
    QUESTIONS,
    NewPair,
    Showing,
    Vote,
    clean_text,
    for_text,
)

OPEN_CODE = "open"
"""Code of the open page's lesson. Never one of a class: theirs are capital letters."""

OPEN_OVERLAP = 3
"""People who see each pair of the open page, so that there is agreement to measure."""

OPEN_DAY = (3_000, 3_000 / 86_400)
"""Answers from one address to the open page: so many at once, then so many a second. All are read
wherever votes are counted or trained on; a class of sixty gives half of it."""

SEEN_EVERY = 10.0
"""Seconds between two notes that a rater is there; a write for each poll would be waste."""


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
            drop_unfinished(connection)
            found = connection.execute(select(lessons.c.id).where(lessons.c.code == OPEN_CODE))
            self.open_lesson = found.scalar()
            if self.open_lesson is None:
                self.open_lesson, _ = new_lesson(
                    connection, clock(), kind="open", code=OPEN_CODE, overlap=OPEN_OVERLAP
                )
            self.open_round = current_round(connection, self.open_lesson).id

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()

    # -- raters ------------------------------------------------------------------------------------

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
        """Make a rater of a visitor of the open page and return the secret, to be kept there.

        Raises:
            Refused: too many visitors came from this address at once.
        """
        self._visits_limit.require(client, "visitors come from this address")
        with self.database.writing() as connection:
            if self._clearing.allow("open page"):
                clear_open_page(connection, self.open_lesson, self.open_round, self.clock())
            return new_rater(connection, self.clock(), self.open_lesson, "visitor")[2]

    def own_prompt(self, secret: str, text: str) -> str:
        """Return a visitor's prompt as one bounded line, for the page to sample responses to.

        Raises:
            Refused: the secret is unknown, the text is empty or too long, or they come too
                fast.
        """
        with self.database.reading() as connection:
            rater = owner(connection, raters, secret)
        self._texts_limit.require(rater.id, "new texts come from you")
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
            who = None if owner_secret is None else owner(connection, raters, owner_secret).id
            insert_pairs(connection, self.open_round, new, kind, who)
            if who is not None:
                mine = (showings.c.rater_id == who) & showings.c.choice.is_(None)
                connection.execute(delete(showings).where(mine))

    def pairs_waiting(
        self,
        secret: str,
        question: str,
        *,
        kind: str = PLAIN,
        model: str | None = None,
        against: str | None = None,
    ) -> int:
        """Return how many pairs `next_pair` has left for this rater, to sample more in time."""
        with self.database.writing() as connection:
            rater = owner(connection, raters, secret)
            pair_query = self._wish(connection, rater, question, kind, model, against)
            return unseen(connection, rater.id, pair_query, self.clock())

    def next_pair(
        self,
        secret: str,
        question: str | None = None,
        *,
        kind: str = PLAIN,
        model: str | None = None,
        against: str | None = None,
        beside: int | None = None,
    ) -> Showing | None:
        """Return the pair the rater is to answer now; the same one until it is answered.

        Args:
            secret: the rater's.
            question: what to ask over the pair. In a class the instructor has chosen, and this and
                the following are not looked at.
            kind: PLAIN, or DUEL for a blind vote.
            model: only pairs in which this model wrote.
            against: and in which this one wrote too.
            beside: a showing that the page has on its screen: what is to come after it is asked
                for ahead.

        Returns:
            None where there is nothing to show now.

        Raises:
            Refused: the secret is unknown, the class is paused, or the question is no good.
        """
        with self.database.writing() as connection:
            rater = owner(connection, raters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
            if rater.last_seen < now - SEEN_EVERY:
                here = update(raters).where(raters.c.id == rater.id)
                connection.execute(here.values(last_seen=now))
            pair_query = self._wish(connection, rater, question, kind, model, against)
            showing = self._unanswered(connection, rater.id, pair_query, now, beside)
            showing = showing or assign(connection, rater.id, pair_query, now, self.rng)
            return as_seen(connection, showing) if showing else None

    def _wish(
        self,
        connection: Connection,
        rater: Row,
        question: str | None,
        kind: str,
        model: str | None,
        against: str | None,
    ) -> PairQuery:
        """Return what this rater may be shown."""
        lesson = by_id(connection, lessons, rater.lesson_id)
        if lesson.state != "open":
            raise Refused("the class is paused: wait for the instructor to go on")
        if lesson.kind == "open":
            asked = clean_text(question, LONGEST_QUESTION, "question")
            number = self._question(connection, asked, rater.id)
            return PairQuery(self.open_round, number, kind, lesson.overlap, False, model, against)
        latest = current_round(connection, lesson.id)
        if latest.state != "open":
            raise Refused("this round is over: wait for the next one")
        kind = DUEL if latest.kind == "blind" else PLAIN
        return PairQuery(latest.id, latest.question_id, kind, lesson.overlap, evenly=True)

    def _question(self, connection: Connection, text: str, rater: int) -> int:
        found = connection.execute(select(questions.c.id).where(questions.c.text == text)).scalar()
        if found:
            return found
        self._texts_limit.require(rater, "new texts come from you")
        return question_id(connection, text)

    def _unanswered(
        self,
        connection: Connection,
        rater: int,
        pair_query: PairQuery,
        now: float,
        beside: int | None,
    ) -> int:
        """Return the rater's open showing that fits the wish, or 0; one that lost its seat goes."""
        query = (
            select(showings, pairs.c.kind, pairs.c.first_model, pairs.c.second_model)
            .join(pairs, pairs.c.id == showings.c.pair_id)
            .where(showings.c.rater_id == rater, showings.c.choice.is_(None))
            .where(pairs.c.round_id == pair_query.round, asks(pair_query))
            .where((pairs.c.kind == DUEL) == (pair_query.kind == DUEL))
            .order_by(showings.c.id)
        )
        for row in connection.execute(query).all():
            wrote = {None, row.first_model, row.second_model}
            if row.id == beside or not {pair_query.model, pair_query.against} <= wrote:
                continue
            this = showings.c.id == row.id
            if has_seat(connection, row, pair_query.overlap, now):
                if row.held_at < now - SEEN_EVERY:
                    connection.execute(update(showings).where(this).values(held_at=now))
                return row.id
            connection.execute(delete(showings).where(this))
        return 0

    # -- voting ------------------------------------------------------------------------------------

    def vote(self, secret: str, showing: int, choice: str, client: str | None = None) -> bool:
        """Keep an answer; when this returns, it is on disk.

        Args:
            secret: the rater's.
            showing: id of what was shown.
            choice: one of CHOICES, as seen on the screen.
            client: the address that it comes from, None where the server itself answers.

        Returns:
            True where it counts now, False where the very same answer had been kept before (a
            phone that lost the line sends twice).

        Raises:
            Refused: it is not this rater's to answer, was answered otherwise, is over, or
                answers come too fast.
        """
        if choice not in CHOICES:
            raise Refused(f"{choice!r} is no answer: choose one of {', '.join(CHOICES)}")
        with self.database.writing() as connection:
            rater = owner(connection, raters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
            self._check_pace(rater, client)
            shown = own_showing(connection, rater.id, showing)
            kept = for_text(choice, bool(shown.swapped))
            if shown.choice == kept:
                return False
            if shown.choice is not None:
                raise Refused("you have answered this pair otherwise: undo that answer first")
            check_open(shown)
            if not has_seat(connection, shown, shown.overlap, now):
                raise Refused("this pair has gone to somebody else: take the next one")
            this = update(showings).where(showings.c.id == shown.id, showings.c.choice.is_(None))
            # A pair fetched ahead came to the eye when the one before it was answered.
            before = select(func.max(showings.c.voted_at)).where(showings.c.rater_id == rater.id)
            begun = max(shown.shown_at, connection.execute(before).scalar() or 0.0)
            seconds = max(0.0, now - begun)
            connection.execute(this.values(choice=kept, voted_at=now, seconds=seconds))
            return True

    def _check_pace(self, rater: Row, client: str | None) -> None:
        self._votes_limit.require(rater.id, "answers come from you")
        if client is not None:
            is_open = rater.lesson_id == self.open_lesson
            for limit in (self._open_limit, self._day_limit) if is_open else (self._class_limit,):
                limit.require(client, "answers come from your address")

    def undo(self, secret: str, client: str | None = None) -> bool:
        """Take back the rater's last answer of the round that is on; its pair is next again.

        Args:
            secret: the rater's.
            client: as in `vote`.

        Returns:
            False where there is nothing to take back.

        Raises:
            Refused: the round is over, or it was a blind vote whose names have been shown.
        """
        with self.database.writing() as connection:
            rater = owner(connection, raters, secret, lock=True)
            now = self.clock()  # after waiting for the others: a seat may have gone meanwhile
            self._check_pace(rater, client)
            latest = current_round(connection, rater.lesson_id)
            last = connection.execute(
                select(showings.c.id)
                .join(pairs, pairs.c.id == showings.c.pair_id)
                .where(showings.c.rater_id == rater.id, showings.c.choice.is_not(None))
                .where(pairs.c.round_id == latest.id)
                .order_by(showings.c.voted_at.desc(), showings.c.id.desc())
                .limit(1)
            ).scalar()
            if last is None:
                return False
            shown = own_showing(connection, rater.id, last)
            check_open(shown)
            if shown.kind == DUEL and shown.lesson_kind == "open":
                raise Refused("the names have been shown, a blind vote stays: take the next")
            this = update(showings).where(showings.c.id == last)
            empty = {"choice": None, "voted_at": None, "seconds": None}
            connection.execute(this.values(empty | {"shown_at": now, "held_at": now}))
            return True

    def names(self, secret: str, showing: int) -> tuple[str, str]:
        """Return which model wrote the left text and which the right, once that is no secret.

        Raises:
            Refused: the pair is not this rater's, is not answered, or the class's blind vote
                is still on.
        """
        with self.database.reading() as connection:
            shown = own_showing(connection, owner(connection, raters, secret).id, showing)
        if shown.choice is None:
            raise Refused("the names come after your answer: answer first")
        if shown.lesson_kind != "open" and shown.round_state != "revealed":
            raise Refused("the names come when the vote is over: wait for the instructor")
        both = (shown.first_model, shown.second_model)
        return both[::-1] if shown.swapped else both

    # -- reading -----------------------------------------------------------------------------------

    def count(self) -> int:
        """Return how many answers the page holds; those of classes are not counted."""
        answered = (
            select(func.count())
            .select_from(showings.join(raters).join(lessons))
            .where(showings.c.voted_at.is_not(None), lessons.c.kind != "class")  # is in an index
        )
        with self.database.reading() as connection:
            return connection.execute(answered).scalar_one()

    def votes(self, lesson: int | None = None, *, classes: bool = True) -> list[Vote]:
        """Return the answers of a lesson, or all, in the order they came.

        For the server's own use: what it returns says who answered what. `classes=False` leaves out
        those of classes, which are their instructors' to give away, and all but visitors' newest
        (`queries.MOST_READ`). Votes marked `own` are for the rater alone wherever strangers look.
        """
        with self.database.reading() as connection:
            return answers(connection, lesson, classes=classes)

    # -- importing ---------------------------------------------------------------------------------

    def add_votes(self, votes: Sequence[Vote], source: str) -> tuple[int, int]:
        """Keep votes read from a file (`vote_files.read_votes`) as a lesson of their own.

        Args:
            votes: as read; raters and rounds keep apart what their numbers kept apart.
            source: SHA-256 of the file.

        Returns:
            The lesson, and how many votes were left out because the same rater answers the same
            pair twice.

        Raises:
            Refused: this file has been imported before.
        """
        return keep_votes(self.database, self.clock(), votes, source)
