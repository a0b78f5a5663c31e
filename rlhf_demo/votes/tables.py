"""The database of the votes: its tables, and short transactions on them.

It is SQLite, or the database of SQLAlchemy's that `DATABASE_URL` names. Times are seconds since
1970 (UTC). A vote is an answered assignment: the row is inserted when a pair is assigned, and the
answer fills in its empty `choice`. So every vote is on a pair that was shown, and no vote comes
twice.

    collections  1-n  rounds  1-n  pairs  1-n  assignments  n-1  voters  n-1  collections
                                               assignments  n-1  questions

A collection is a set of votes: the open page (one row), a class, or an imported file. On disk, some
tables and columns have older names. A change to a table needs a step in `migrations.py`.
"""

import logging
import os
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.exc import DataError as UnfitValue

from rlhf_demo.errors import DataError
from rlhf_demo.votes.migrations import check_version, lock, migrate
from rlhf_demo.votes.vote import KEPT_CHOICES

log = logging.getLogger(__name__)

BUSY_MILLISECONDS = 10_000
"""How long SQLite waits for another process that is writing."""

CONNECT_SECONDS = 5
"""How long a database on another machine may take to answer."""

PRAGMAS = (
    f"busy_timeout={BUSY_MILLISECONDS}",
    "journal_mode=WAL",  # readers never wait for the writer
    "synchronous=FULL",  # a transaction that has returned survives a power cut
    "foreign_keys=ON",
    "secure_delete=ON",  # what is deleted about people is overwritten
    "trusted_schema=OFF",  # the file may come from somebody else
)

BEFORE_A_BRACKET = re.compile(r"([^\s(,]+)\s*\(")
OWN_WORDS = {
    "VARCHAR", "KEY", "UNIQUE", "CHECK", "IN", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"
}  # fmt: skip
"""Words before a bracket in the SQL of our tables, besides the tables' names."""

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


def insert_row(connection: Connection, table: Table, row: dict[str, Any]) -> int:
    """Insert a row and return its id."""
    key = connection.execute(insert(table).values(row)).inserted_primary_key
    assert key is not None  # every table has one
    return key[0]


def database_url(folder: str | Path) -> str:
    """Return the address of the votes: `DATABASE_URL` if set, else votes.db in the folder."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{Path(folder).absolute()}/votes.db"


class Database:
    """An engine whose database has the tables; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Connect, make the tables of a new database, and bring an older one up to date.

        Raises:
            DataError: the address cannot be read, or the database cannot be opened, is damaged or
                comes from a newer version of the app.
        """
        try:
            self.engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise DataError(
                f"the database's address cannot be used ({error}): fix DATABASE_URL or unset it"
            ) from None
        # SQLite accepts one writer at a time, and waiting here is fairer than its loop of retries.
        # Other databases lock only the rows that two writers both change.
        self._writer = threading.Lock() if self._is_sqlite else nullcontext()
        try:
            self._open()
        except DataError:
            self.close()
            raise

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _open(self) -> None:
        """Make or migrate the tables, once the file and the version are known to be good.

        Raises:
            DataError: the database cannot be opened, is damaged or is too new.
        """
        try:
            if self._is_sqlite:
                assert self.engine.url.database  # `_engine` refuses SQLite without a file
                _keep_private(Path(self.engine.url.database))
            with self._transaction() as connection:
                lock(connection)
                check_version(connection)  # a newer version may have tables unknown here
                if self._is_sqlite:
                    _check_whole(connection)
                migrate(connection, metadata)
        except DatabaseError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise DataError(self._cannot_open(reason)) from None
        except OSError as error:
            raise DataError(self._cannot_open(error.strerror or str(error))) from None

    def _cannot_open(self, reason: str) -> str:
        """Say what is wrong and what to do, at the start, when only the owner reads it."""
        where = self.engine.url.render_as_string(hide_password=True)
        if not any(word in reason for word in ("malformed", "not a database")):
            return (
                f"the database {where} cannot be opened ({reason}): check DATABASE_URL, "
                "the folder and its permissions"
            )
        return (
            f"the database {where} is damaged ({reason}): move it away, with the files next to it "
            "that end in -wal and -shm, and put your copy in its place, or start without votes"
        )

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A read-only transaction that sees the database at one moment.

        Raises:
            DataError: the database does not answer, or is damaged.
        """
        with self._explained("nothing can be read"), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that is on disk when the block ends; after any error it leaves no trace.

        Raises:
            DataError: the database could not save it (disk full, locked for too long, gone).
        """
        with self._explained("nothing was saved"), self._transaction() as connection:
            yield connection

    @contextmanager
    def _explained(self, what: str) -> Generator[None]:
        """Turn the database's errors into one sentence for visitors.

        A server's own message may name the server and quote rows, so it goes into the log only.
        """
        try:
            yield
        except UnfitValue:  # PostgreSQL's for a bad request; logging each could fill the log
            raise DataError(
                "this request has a number or a character that cannot be stored: reload the page"
            ) from None
        except DatabaseError as error:
            log.error("database: %s", error.orig)
            words = error.orig if self._is_sqlite else type(error.orig).__name__
            raise DataError(f"{what}, because the database says {words}: try again") from error

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        with self._writer, self.engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():  # commits, which puts it on disk, when this block ends
                yield connection

    def empty_log(self) -> None:
        """Write SQLite's log into the database, so that no deleted data stays in the log."""
        if self._is_sqlite:
            connection = self.engine.raw_connection()  # not in a transaction
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
            finally:
                connection.close()

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    """Return the engine for an address; for PostgreSQL, with the driver that is installed here.

    Raises:
        ArgumentError, NoSuchModuleError, ImportError: SQLAlchemy cannot use the address.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise ArgumentError("votes must be on a disk: give SQLite a file")
    if address.drivername in ("postgres", "postgresql"):  # as hosting services write it
        address = address.set(drivername="postgresql+psycopg").update_query_dict(
            {"connect_timeout": str(CONNECT_SECONDS), **address.query}
        )
    engine = create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _keep_private(file: Path) -> None:
    """Let only its owner read SQLite's file; SQLite gives its log the same permissions.

    Raises:
        OSError: the file cannot be created.
    """
    file.touch(mode=0o600)
    for part in (file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
        if part != file and part.is_symlink():  # never SQLite's
            continue
        with suppress(
            FileNotFoundError, PermissionError
        ):  # another account's file: that account decides
            part.chmod(0o600)


def _check_whole(connection: Connection) -> None:
    """Check all of SQLite's file: a truncated one may open, and fail in the middle of a class.

    Raises:
        DatabaseError: it is damaged, or contains foreign SQL that may run for ever: a trigger, a
            view, or a function that a constraint of a table calls.
    """
    made = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
    if name := connection.execute(text(made)).scalar():
        raise DatabaseError(None, None, Exception(f"malformed: its own SQL {name[:40]!r}"))
    ours = {*OWN_WORDS, *metadata.tables}
    for sql in connection.execute(text("SELECT sql FROM sqlite_master WHERE sql > ''")).scalars():
        words = {word.strip('"') for word in BEFORE_A_BRACKET.findall(sql)}
        if odd := sorted(words - ours):
            raise DatabaseError(None, None, Exception(f"malformed: its own SQL {odd[0][:40]!r}"))
    problem = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    if problem != "ok":
        raise DatabaseError(None, None, Exception(f"malformed: {problem}"))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 begins no transaction of its own; we do, below
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer locks at once: a reader that starts to write half-way could be refused.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
