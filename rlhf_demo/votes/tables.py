"""The tables of the votes' database.

Times are seconds since 1970 (UTC). A vote is an answered assignment: the row is inserted when a
pair is assigned, and the answer fills in its empty `choice`. So every vote is on a pair that was
shown, and no vote comes twice.

    collections  1-n  rounds  1-n  pairs  1-n  assignments  n-1  voters  n-1  collections
                                               assignments  n-1  questions

Demonstrations, the texts that voters write themselves, belong to a round, a voter and a question,
and to the pair that was on the screen. A row of `rankings` is four texts of a round: they wait, are
shown to one voter under a question, and get their order from that voter. A row of `predictions` is
what a student expects of a lesson of the Learn tab, before the instructor shows the answer; one of
`tries` is the student's text with which the reward model gave its highest score.

A collection is a set of votes: the open page (one row), a class, or an imported file. In the
database, some tables and columns have older names. A change to a table needs a step in
`migrations.py`.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    text,
)

from rlhf_demo.votes.vote import KEPT_CHOICES

metadata = MetaData()


def _table(name: str, *parts: Any) -> Table:
    # Ids are never reused, so a deleted voter's token can never match a new voter.
    key = Column("id", Integer, primary_key=True)
    return Table(name, metadata, key, *parts, sqlite_autoincrement=True)


def _belongs_to(
    name: str, table: str, *, nullable: bool = False, key: str | None = None
) -> Column[int]:
    foreign = ForeignKey(f"{table}.id", ondelete="CASCADE")
    return Column(name, Integer, foreign, nullable=nullable, index=True, key=key)


questions = _table("questions", Column("text", String(200), nullable=False, unique=True))

collections = _table(
    "lessons",
    Column("kind", String(10), nullable=False),  # open, class, import
    Column("code", String(10), unique=True),  # what students type; OPEN_CODE for the open page
    Column("source", String(64), unique=True),  # sha256 of an imported file
    Column("secret_hash", String(64), nullable=False),  # the instructor's
    Column("state", String(10), nullable=False),  # open, paused
    Column("overlap", Integer, nullable=False),  # people who see each pair
    Column("clean_words", Boolean, nullable=False),  # True: coarse words are never sampled
    Column("trained_votes", Integer, nullable=False, default=0),  # at the last retraining
    Column("created", Float, nullable=False),
    # False: students can no longer join.
    Column("door_open", Boolean, nullable=False, server_default=text("true")),
    Column("most_joins", Integer, nullable=False, server_default=text("60")),  # from one address
    Column("open_lesson", String(40)),  # of the Learn tab, on the phones; none: the class votes
    Column("lesson_answer", Integer),  # that came true; none before the reveal
    Column("lesson_result", Text),  # a sentence with the figures
    Column("texts_closed", Boolean, nullable=False, server_default=text("false")),  # until it ends
)

rounds = _table(
    "rounds",
    _belongs_to("lesson_id", "lessons", key="collection_id"),
    Column("number", Integer, nullable=False),
    Column("kind", String(10), nullable=False),  # feedback, blind
    Column("state", String(10), nullable=False),  # open, closed, revealed
    _belongs_to("question_id", "questions", nullable=True),  # none where visitors bring their own
    Column("base", Text),  # models of a blind vote
    Column("contender", Text),
    Column("a_is_contender", Boolean),  # what "A" stands for until the names are shown
    UniqueConstraint("collection_id", "number", "kind"),
)

voters = _table(
    "raters",
    _belongs_to("lesson_id", "lessons", key="collection_id"),
    Column("nickname", String(40), nullable=False),
    Column("nickname_key", String(80)),  # what it looks like; none on the open page
    Column("secret_hash", String(64), nullable=False),
    Column("simulated", Boolean, nullable=False, default=False),
    Column("taste", Text),  # of a simulated voter, with the two below
    Column("noise", Float),
    Column("careless", Boolean),
    Column("left_out", Boolean, nullable=False, default=False),
    Column("joined", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    UniqueConstraint("collection_id", "nickname_key"),
)

pairs = _table(
    "pairs",
    _belongs_to("round_id", "rounds"),
    Column("kind", String(10), nullable=False),  # plain, catch, duel
    Column("prompt", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("first_model", Text, nullable=False),
    Column("second_model", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("temperature", Float, nullable=False),
    _belongs_to("owner_id", "raters", nullable=True),  # the only one who sees it, if any
    # True: the owner wrote the prompt. An attention check has an owner whoever wrote its prompt.
    Column("own", Boolean, nullable=False, server_default=text("false")),
)

assignments = _table(
    "showings",
    _belongs_to("pair_id", "pairs"),
    _belongs_to("rater_id", "raters", key="voter_id"),
    _belongs_to("question_id", "questions"),
    Column("repeat", Boolean, nullable=False),
    Column("swapped", Boolean),  # True: the second text stands on the left; none: not known
    Column("shown_at", Float, nullable=False),
    Column("held_at", Float, nullable=False),  # last time the voter's page asked for it
    Column("choice", String(10)),  # none: not answered yet
    Column("voted_at", Float),
    Column("seconds", Float),
    UniqueConstraint("pair_id", "voter_id", "question_id", "repeat"),
    CheckConstraint(f"choice IN {KEPT_CHOICES}", name="known_choice"),
)
Index("votes_of_rater", assignments.c.voter_id, assignments.c.voted_at)

demonstrations = _table(
    "demonstrations",
    _belongs_to("round_id", "rounds"),
    _belongs_to("rater_id", "raters", key="voter_id"),
    _belongs_to("question_id", "questions"),
    # The pair on the screen, if it is still there; none for imported ones.
    Column("pair_id", Integer, ForeignKey("pairs.id", ondelete="SET NULL"), index=True),
    Column("prompt", Text, nullable=False),
    Column("completion", Text, nullable=False),
    Column("browser_hash", String(64), index=True),  # of the visitor's secret, on the open page
    Column("written_at", Float, nullable=False),
    UniqueConstraint("pair_id", "voter_id", "question_id"),
)


rankings = _table(
    "rankings",
    _belongs_to("round_id", "rounds"),
    # With the three below, none until the four texts are shown to a voter.
    _belongs_to("rater_id", "raters", nullable=True, key="voter_id"),
    _belongs_to("question_id", "questions", nullable=True),
    Column("shown_at", Float),  # last time the voter's page asked for them
    Column("prompt", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("third", Text, nullable=False),
    Column("fourth", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("temperature", Float, nullable=False),
    Column("best_first", String(4)),  # the letters of the texts; none: not ranked yet
    Column("ranked_at", Float),
)

predictions = _table(
    "predictions",
    _belongs_to("collection_id", "lessons"),
    _belongs_to("voter_id", "raters"),
    Column("lesson", String(40), nullable=False),  # of the Learn tab
    Column("answer", Integer, nullable=False),  # its place; -1: "I do not know"
    Column("predicted_at", Float, nullable=False),
    UniqueConstraint("voter_id", "lesson"),
)

REMOVED = ""
"""In place of a try that the instructor has removed; nobody can send it."""

tries = _table(
    "tries",
    _belongs_to("collection_id", "lessons"),
    Column(
        "voter_id",
        Integer,
        ForeignKey("raters.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    Column("text", Text, nullable=False),
    Column("score", Float, nullable=False),  # by the shipped reward model
    Column("tried_at", Float, nullable=False),
)


def insert_row(connection: Connection, table: Table, row: dict[str, Any]) -> int:
    """Insert a row and return its id."""
    key = connection.execute(insert(table).values(row)).inserted_primary_key
    assert key is not None  # every table has one
    return key[0]
