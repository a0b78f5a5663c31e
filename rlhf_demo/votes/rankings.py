"""The store's part for rankings: four texts of one prompt that a visitor puts in order, best first.

A ranking is no vote: it is kept as an order of four texts, and only training takes its six pairs
(`pairs.py`). Each four texts have one voter, so no agreement is measured on them. They are shown on
the open page alone. A class compares two texts, because there the same pairs go to several
students. The store's secrets and rules hold here too.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.imports import keep_rankings
from rlhf_demo.votes.queries import UNHELD, by_id, is_id, next_time, owner
from rlhf_demo.votes.tables import collections, questions, rankings, rounds, voters
from rlhf_demo.votes.vote import (
    LONGEST_QUESTION,
    NewFour,
    Ranking,
    ShownFour,
    check_different,
    check_order,
    clean_text,
)

PACE = (5, 1.0)
"""Orders, skips and undos from one voter: burst, then per second."""

ADDRESS_PACE = (30, 3.0)
"""The same from one address, as for votes."""

ADDRESS_TAKES = (20, 0.6)
"""New texts for the voters of one address: as many a second as a model writes for it, six in ten
seconds. One address that skipped, or ranked without reading, left none to others."""

OPEN_DAY = (600, 600 / 86_400)
"""Stored rankings from one address. Thirty people who share an address rank twenty each."""

MOST_READ = 3_000
"""Number of newest rankings of visitors that are counted and trained on: 18,000 pairs."""

FOURS = ("first", "second", "third", "fourth")
"""The columns of the texts A to D."""

AskQuestion = Callable[[Connection, str, int, str | None], int]
"""Returns the id of a question that a voter asks, within the limits on new ones."""


class KeptRanking(TypedDict):
    """How many rankings are on disk."""

    mine: int  # of this voter
    all: int  # of visitors and imported files


class UndoneRanking(KeptRanking):
    """How many are left."""

    undone: bool  # whether there was a ranking to take back


class Rankings:
    """The rankings of one store."""

    def __init__(
        self, database: Database, clock: Callable[[], float], open_round: int, ask: AskQuestion
    ) -> None:
        self.database, self.clock = database, clock
        self._round, self._ask = open_round, ask
        self._pace = RateLimit(*PACE, clock)
        self._address_pace = RateLimit(*ADDRESS_PACE, clock)
        self._address_takes = RateLimit(*ADDRESS_TAKES, clock)
        self._open_day = RateLimit(*OPEN_DAY, clock)

    # -- texts to rank -----------------------------------------------------------------------------

    def add_fours(self, new: Sequence[NewFour]) -> None:
        """Add sampled texts to the open page, four to a prompt. For the server's own use.

        Raises:
            Refused: two of the four are the same.
        """
        for four in new:
            check_different(four.texts)
        with self.database.writing() as connection:
            for four in new:
                texts = dict(zip(FOURS, four.texts, strict=True))
                row = {name: value for name, value in vars(four).items() if name != "texts"}
                connection.execute(insert(rankings).values(row | texts | {"round_id": self._round}))

    def waiting(self, model: str) -> int:
        """Return how many four texts of a model no voter has seen."""
        query = select(func.count()).select_from(rankings)
        query = query.where(rankings.c.voter_id.is_(None), rankings.c.model == model)
        with self.database.reading() as connection:
            return connection.execute(query).scalar_one()

    def next_four(
        self, secret: str, question: str, *, model: str, client: str | None = None
    ) -> ShownFour | None:
        """Return the texts that a visitor should rank now, the same ones until they are ranked.

        Args:
            secret: the voter's.
            question: how to rank them.
            model: that wrote the texts.
            client: the visitor's address, for the limit on new questions.

        Returns:
            None if no texts of the model wait, or the address has to wait for more.

        Raises:
            Refused: the secret is unknown or a student's, the question is empty or too long, or
                too many new ones come from the visitor or the address.
        """
        with self.database.writing() as connection:
            voter, now = self._visitor(connection, secret), self.clock()
            here = update(voters).where(voters.c.id == voter.id)
            connection.execute(here.values(last_seen=now))
            asked = clean_text(question, LONGEST_QUESTION, "question")
            number = self._ask(connection, asked, voter.id, client)
            four = self._unranked(connection, voter.id, number, model)
            mine = (rankings.c.voter_id == voter.id, rankings.c.best_first.is_(None))
            given_back = update(rankings).where(*mine, rankings.c.id != (four.id if four else 0))
            connection.execute(given_back.values(UNHELD))
            new = four is not None and four.voter_id is None
            if four is None or (new and client and not self._address_takes.allow(client)):
                return None
            shown = {"voter_id": voter.id, "question_id": number, "shown_at": now}
            connection.execute(update(rankings).where(rankings.c.id == four.id).values(shown))
            texts = [getattr(four, name) for name in FOURS]
            return {"id": four.id, "question": asked, "prompt": four.prompt, "texts": texts}

    @staticmethod
    def _unranked(connection: Connection, voter: int, question: int, model: str) -> Row[Any] | None:
        """Return the voter's newest texts without an order, or else the oldest unseen ones.

        Texts that the voter sees under another question, in another tab, are not asked for again
        under this one: the order would be stored as the answer to the wrong question.
        """
        of_model = select(rankings).where(rankings.c.model == model)
        of_model = of_model.where(rankings.c.best_first.is_(None)).limit(1)
        of_question = or_(rankings.c.question_id == question, rankings.c.question_id.is_(None))
        mine = (rankings.c.voter_id == voter, of_question)
        newest = of_model.where(*mine).order_by(rankings.c.shown_at.desc(), rankings.c.id)
        own = connection.execute(newest).one_or_none()
        if own is not None:
            return own
        of_model = of_model.order_by(rankings.c.id)
        # If the database locks rows, two voters take different ones.
        unseen = of_model.where(rankings.c.voter_id.is_(None)).with_for_update(skip_locked=True)
        return connection.execute(unseen).one_or_none()

    # -- ranking -----------------------------------------------------------------------------------

    def rank(self, secret: str, four: int, order: str, client: str) -> KeptRanking:
        """Store the order of four texts; it is on disk when this returns.

        Args:
            secret: the voter's.
            four: id of the texts that were shown.
            order: their letters, best first. The same order twice counts once (a phone that loses
                its connection sends twice).
            client: the address of the request.

        Raises:
            Refused: the order does not name each text once, the texts are not this voter's or have
                another order, or rankings come too fast.
        """
        kept = check_order(order)
        with self.database.writing() as connection:
            voter = self._visitor(connection, secret)
            self._check_pace(voter.id, client)
            shown = self._own(connection, voter.id, four)
            if shown.best_first not in (None, kept):
                raise Refused(
                    "you have already ranked these texts in another order: undo that first"
                )
            if shown.best_first is None:
                self._open_day.require(client, "rankings from your address")
                before = select(func.max(rankings.c.ranked_at)).where(
                    rankings.c.voter_id == voter.id
                )
                now = next_time(self.clock(), connection.execute(before).scalar() or 0.0)
                this = update(rankings).where(rankings.c.id == shown.id)
                connection.execute(this.values(best_first=kept, ranked_at=now))
            return _counts(connection, voter.id)

    def skip(self, secret: str, four: int, client: str) -> bool:
        """Delete texts that the voter cannot rank; return False if they are gone or ranked.

        Raises:
            Refused: the secret is unknown or a student's, or skips come too fast.
        """
        with self.database.writing() as connection:
            voter = self._visitor(connection, secret)
            self._check_pace(voter.id, client)
            if not is_id(four):
                return False
            this = delete(rankings).where(rankings.c.id == four, rankings.c.best_first.is_(None))
            return connection.execute(this.where(rankings.c.voter_id == voter.id)).rowcount > 0

    def undo(self, secret: str, client: str) -> UndoneRanking:
        """Take back the voter's last ranking, whose texts come next again."""
        with self.database.writing() as connection:
            voter = self._visitor(connection, secret)
            self._check_pace(voter.id, client)
            last = select(rankings.c.id).where(rankings.c.voter_id == voter.id)
            last = last.where(rankings.c.best_first.is_not(None))
            last = last.order_by(rankings.c.ranked_at.desc(), rankings.c.id.desc()).limit(1)
            this = update(rankings).where(rankings.c.id == last.scalar_subquery())
            this = this.values(best_first=None, ranked_at=None, question_id=None)
            undone = connection.execute(this.values(shown_at=self.clock())).rowcount > 0
            return {"undone": undone, **_counts(connection, voter.id)}

    def _visitor(self, connection: Connection, secret: str) -> Row[Any]:
        voter = owner(connection, voters, secret, lock=True)
        if by_id(connection, collections, voter.collection_id).kind != "open":
            raise Refused("a class compares two texts at a time: rank four on the Feedback tab")
        return voter

    def _check_pace(self, voter: int, client: str) -> None:
        self._pace.require(voter, "rankings from you")
        self._address_pace.require(client, "rankings from your address")

    @staticmethod
    def _own(connection: Connection, voter: int, four: Any) -> Row[Any]:
        row = None
        if is_id(four):
            query = select(rankings).where(rankings.c.id == four, rankings.c.voter_id == voter)
            query = query.where(rankings.c.question_id.is_not(None))  # shown, since an undo too
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Refused("these texts are not yours to rank: take the next ones")
        return row

    # -- reading and importing ---------------------------------------------------------------------

    def count(self) -> int:
        """Return the number of rankings."""
        with self.database.reading() as connection:
            return connection.execute(_RANKED).scalar_one()

    def of_visitors(self) -> list[Ranking]:
        """Return the newest of visitors, and all of imported files, in order of time.

        For the server's own use.
        """
        here = (rankings.c.round_id == self._round, rankings.c.best_first.is_not(None))
        newest = select(rankings.c.id).where(*here).order_by(rankings.c.id.desc()).limit(MOST_READ)
        read = or_(rankings.c.round_id != self._round, rankings.c.id.in_(newest.correlate(None)))
        query = _columns().where(read).order_by(rankings.c.ranked_at, rankings.c.id)
        with self.database.reading() as connection:
            return [Ranking(**row) for row in connection.execute(query).mappings()]

    def add(self, new: Sequence[Ranking], source: str) -> tuple[int, int]:
        """Store the rankings of a file as a collection of their own.

        Args:
            new: as `votes.files.read_rankings` read them.
            source: SHA-256 of the file.

        Returns:
            The collection's id, and the number of duplicates that were left out.

        Raises:
            Refused: this file was imported before.
        """
        return keep_rankings(self.database, self.clock(), new, source)


_RANKED = select(func.count()).select_from(rankings).where(rankings.c.best_first.is_not(None))


def _counts(connection: Connection, voter: int) -> KeptRanking:
    mine = connection.execute(_RANKED.where(rankings.c.voter_id == voter)).scalar_one()
    return {"mine": mine, "all": connection.execute(_RANKED).scalar_one()}


def _columns() -> Any:
    return (
        select(
            rankings.c.id, rounds.c.collection_id.label("collection"),
            rounds.c.number.label("round"), rankings.c.prompt,
            *(rankings.c[name] for name in FOURS), rankings.c.best_first.label("order"),
            rankings.c.model, rankings.c.seed, questions.c.text.label("question"),
            rankings.c.voter_id.label("voter"), rankings.c.ranked_at.label("time"),
            voters.c.left_out,
        )
        .select_from(rankings)
        .join(rounds, rounds.c.id == rankings.c.round_id)
        .join(questions, questions.c.id == rankings.c.question_id)
        .join(voters, voters.c.id == rankings.c.voter_id)
        .where(rankings.c.best_first.is_not(None))
    )  # fmt: skip
