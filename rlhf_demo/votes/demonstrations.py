"""The store's part for demonstrations: texts that voters write where both texts of a pair are poor.

A demonstration is no vote: nothing counts it, and no reward model learns from it. A voter has one
for each pair and question, and can replace or delete it while the round is open. The store's
secrets and rules hold here too.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.database import Database
from rlhf_demo.votes.imports import keep_demonstrations
from rlhf_demo.votes.queries import check_open, hash_of, own_assignment, owner, same_showing
from rlhf_demo.votes.tables import collections, demonstrations, questions, rounds, voters
from rlhf_demo.votes.vote import DUEL, LONGEST_DEMONSTRATION, Demonstration, clean_text

PACE = (5, 0.2)
"""Texts from one voter: burst, then per second."""

OPEN_DAY = (1500, 1500 / 86_400)
"""New texts from one address to the open page: burst, then per second. Two classes of thirty may
write 25 each."""

ADDRESS_PACE = (120, 2.0)
"""Texts, changes and deletions from one address; a class of thirty writes fewer."""

MOST_EACH = 200
"""Texts of one voter: ten rounds of a class, if the voter writes one for every pair."""

MOST_READ = 5_000
"""Newest texts of visitors that are listed and trained on, and as many imported ones: 3 MB each."""

JOINED = ",.;:!?%)]}'\u2019\u201d\u2026"
"""Characters that follow a word without a space."""


Columns = Select[*tuple[Any, ...]]


class KeptText(TypedDict):
    """A demonstration that is on disk."""

    written: str  # its completion
    count: int  # demonstrations of this voter


class Demonstrations:
    """The demonstrations of one store."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database, self.clock = database, clock
        self._pace = RateLimit(*PACE, clock)
        self._open_day = RateLimit(*OPEN_DAY, clock)
        self._address_pace = RateLimit(*ADDRESS_PACE, clock)

    # -- writing -----------------------------------------------------------------------------------

    def write(
        self, secret: str, assignment: int, text: str, *, browser: str = "", client: str
    ) -> KeptText:
        """Store a voter's text for a pair, in place of an earlier one; it is then on disk.

        Args:
            secret: the voter's.
            assignment: id of the assignment on the screen, answered or not.
            text: continues the pair's prompt.
            browser: the visitor's secret, by which a page with limits knows whose text it is.
            client: the address of the request.

        Raises:
            Refused: the text is empty, too long, rude or one of the pair's; the pair is not this
                voter's, belongs to a blind vote or to a round that is over; or there are too many
                texts.
        """
        typed = clean_text(text, LONGEST_DEMONSTRATION, "text")
        with self.database.writing() as connection:
            voter, shown = self._shown(connection, secret, assignment, client)
            _check_text(typed, shown)
            completion = continuing(shown.prompt, typed)
            values = {
                "completion": completion,
                "browser_hash": hash_of(browser) if browser else None,
                "written_at": self.clock(),
            }
            changed = update(demonstrations).where(same_showing(shown)).values(values)
            if not connection.execute(changed).rowcount:
                if _count_of(connection, voter.id) >= MOST_EACH:
                    raise Refused(
                        f"you have written {MOST_EACH} texts, which is the limit: change or "
                        "delete one of them"
                    )
                if shown.collection_kind == "open":
                    self._open_day.require(client, "texts from your address")
                row = values | {
                    "round_id": shown.round_id,
                    "pair_id": shown.pair_id,
                    "voter_id": voter.id,
                    "question_id": shown.question_id,
                    "prompt": shown.prompt,
                }
                connection.execute(insert(demonstrations).values(row))
            count = _count_of(connection, voter.id)
        return {"written": completion, "count": count}

    def delete(self, secret: str, assignment: int, client: str) -> bool:
        """Delete the voter's text for a pair; return False if there is none.

        Raises:
            Refused: as in `write`.
        """
        with self.database.writing() as connection:
            _, shown = self._shown(connection, secret, assignment, client)
            this = delete(demonstrations).where(same_showing(shown))
            return connection.execute(this).rowcount > 0

    def _shown(
        self, connection: Connection, secret: str, assignment: int, client: str
    ) -> tuple[Row[Any], Row[Any]]:
        """Return the voter and the assignment, which must be open for a text."""
        voter = owner(connection, voters, secret, lock=True)
        shown = own_assignment(connection, voter.id, assignment)
        # The voter's own pace first: what it refuses costs others at the address nothing.
        self._pace.require(voter.id, "texts from you")
        self._address_pace.require(client, "texts from your address")
        check_open(shown)
        if shown.kind == DUEL:
            raise Refused(
                "nothing is trained on a blind vote, so it takes no texts: write one for a pair of "
                "the feedback"
            )
        return voter, shown

    # -- reading -----------------------------------------------------------------------------------

    def of_class(self, collection: int) -> list[Demonstration]:
        """Return a class's demonstrations, in order of time. For the server's own use, as below."""
        with self.database.reading() as connection:
            return _read(connection, _columns().where(rounds.c.collection_id == collection))

    def of_visitors(
        self, browser: str | None = None, *, imported: bool = True
    ) -> list[Demonstration]:
        """Return the newest of visitors and imported files, in order of time; none of classes.

        Args:
            browser: a visitor's secret: no texts of other visitors. None: those of all visitors.
            imported: with those of imported files.
        """
        query = _columns().join(collections, collections.c.id == rounds.c.collection_id)
        query = query.order_by(None).order_by(demonstrations.c.id.desc()).limit(MOST_READ)
        written = query.where(collections.c.kind == "open")
        if browser is not None:
            written = written.where(demonstrations.c.browser_hash == hash_of(browser))
        with self.database.reading() as connection:
            newest = _read(connection, written)
            if imported:  # apart: a long file leaves what people wrote here in the lists
                newest += _read(connection, query.where(collections.c.kind == "import"))
        return sorted(newest, key=lambda one: (one.time, one.id))

    # -- importing ---------------------------------------------------------------------------------

    def add(self, new: Sequence[Demonstration], source: str) -> tuple[int, int]:
        """Store the demonstrations of a file as a collection of their own.

        Args:
            new: as `votes.files.read_demonstrations` read them.
            source: SHA-256 of the file.

        Returns:
            The collection's id, and the number of duplicates that were left out.

        Raises:
            Refused: this file was imported before.
        """
        return keep_demonstrations(self.database, self.clock(), new, source)


def continuing(prompt: str, text: str) -> str:
    """Return a text as a response to the prompt: with the space that joins them, if one does."""
    joined = not prompt or prompt[-1].isspace() or text[0] in JOINED
    return text if joined else f" {text}"


def count_demonstrations(connection: Connection, collection: int) -> int:
    """Return how many texts the voters of a collection have written, in all rounds."""
    there = demonstrations.join(rounds, rounds.c.id == demonstrations.c.round_id)
    query = select(func.count()).select_from(there).where(rounds.c.collection_id == collection)
    return connection.execute(query).scalar_one()


def _count_of(connection: Connection, voter: int) -> int:
    query = select(func.count()).where(demonstrations.c.voter_id == voter)
    return connection.execute(query).scalar_one()


def _check_text(typed: str, shown: Row[Any]) -> None:
    """Check a text for a pair.

    Raises:
        Refused: it is rude where others may read it, or is one of the pair's texts.
    """
    if typed in (" ".join(text.split()) for text in (shown.first, shown.second)):
        raise Refused("this is one of the two texts: change it, or vote for it")
    if (shown.clean_words or shown.collection_kind == "open") and has_coarse_word(typed):
        raise Refused("this text contains a rude word: write it without")


def _columns() -> Columns:
    return (
        select(
            demonstrations.c.id, rounds.c.collection_id.label("collection"),
            rounds.c.number.label("round"), demonstrations.c.prompt, demonstrations.c.completion,
            questions.c.text.label("question"), demonstrations.c.voter_id.label("voter"),
            demonstrations.c.written_at.label("time"), voters.c.left_out,
        )
        .select_from(demonstrations)
        .join(rounds, rounds.c.id == demonstrations.c.round_id)
        .join(questions, questions.c.id == demonstrations.c.question_id)
        .join(voters, voters.c.id == demonstrations.c.voter_id)
        .order_by(demonstrations.c.written_at, demonstrations.c.id)
    )  # fmt: skip


def _read(connection: Connection, query: Columns) -> list[Demonstration]:
    return [Demonstration(**row) for row in connection.execute(query).mappings()]
