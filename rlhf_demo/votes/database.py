"""The database of the votes: how it is opened and checked, and short transactions on it.

It is SQLite, or the database that `DATABASE_URL` names in SQLAlchemy's form. Its tables are in
`tables.py`.
"""

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.exc import DataError as UnfitValue

from rlhf_demo.errors import DataError
from rlhf_demo.votes.migrations import check_version, lock, migrate
from rlhf_demo.votes.tables import metadata

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
    "trusted_schema=OFF",  # the file may come from someone else
)

BEFORE_A_BRACKET = re.compile(r"([^\s(,]+)\s*\(")
OWN_WORDS = {
    "VARCHAR", "KEY", "UNIQUE", "CHECK", "IN", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"
}  # fmt: skip
"""Words before a bracket in the SQL of our tables, besides the tables' names."""


def database_url(folder: str | Path) -> str:
    """Return the address of the votes: `DATABASE_URL` if set, else votes.db in the folder."""
    path = quote(str(Path(folder).absolute()))  # a ? in it would begin SQLAlchemy's options
    return os.environ.get("DATABASE_URL") or f"sqlite:///{path}/votes.db"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for any other database."""
    try:
        address = make_url(url)
    except ArgumentError:
        return None
    is_file = address.get_backend_name() == "sqlite" and address.database
    return Path(str(address.database)) if is_file else None


class Snapshots:
    """Copies of a SQLite database that others write to; for one thread.

    SQLite itself makes the copy (https://www.sqlite.org/backup.html), because a copy of an open
    file may hold half a transaction. Writers do not wait for it.
    """

    def __init__(self, file: Path) -> None:
        """Open the database for reading.

        Raises:
            OSError: it cannot be opened.
        """
        try:
            address = f"{file.absolute().as_uri()}?mode=ro"
            self._source = sqlite3.connect(address, uri=True, timeout=BUSY_MILLISECONDS / 1000)
        except sqlite3.Error as error:
            raise OSError(f"{file.name} cannot be copied ({error})") from None

    def version(self) -> int:
        """Return a number that changes when another connection has changed the database.

        Raises:
            OSError: the database cannot be read.
        """
        try:
            return int(self._source.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise OSError(f"the votes cannot be read ({error})") from None

    def copy(self, target: Path) -> None:
        """Write a copy into a new file, with all that was committed.

        Raises:
            OSError: it cannot be read or written.
        """
        try:
            with closing(sqlite3.connect(target)) as copied:
                self._source.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE").close()  # one file, without a log
        except sqlite3.Error as error:
            raise OSError(f"the votes cannot be copied ({error})") from None

    def close(self) -> None:
        """Close the database."""
        self._source.close()


class Database:
    """An engine whose database has our tables; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Connect, create the tables in a new database, and bring an older database up to date.

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
            self.engine.dispose()
            raise

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _open(self) -> None:
        """Create or migrate the tables, after the checks of the file and the version.

        Raises:
            DataError: the database cannot be opened, is damaged or is too new.
        """
        try:
            if self._is_sqlite:
                assert self.engine.url.database  # `_engine` refuses SQLite without a file
                self._file = Path(self.engine.url.database)
                _keep_private(self._file)
                self._inode = self._file.stat().st_ino
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
        """Say what is wrong and what to do. Only the owner reads this, at the start."""
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
        """A read-only transaction that sees the database as it is at one moment.

        Raises:
            DataError: the database does not answer, or is damaged.
        """
        with self._explained("nothing can be read"), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that is on disk when the block ends; an error undoes all of it.

        Raises:
            DataError: the database could not save it (disk full, locked for too long, gone).
        """
        self._check_file()
        with self._explained("nothing was saved"), self._transaction() as connection:
            yield connection

    def _check_file(self) -> None:
        """Check that SQLite's file is still the one that was opened.

        SQLite goes on writing into a file that was removed, and it is gone with the page.

        Raises:
            DataError: it is not.
        """
        if self._is_sqlite:
            with suppress(OSError):
                if self._file.stat().st_ino == self._inode:
                    return
            raise DataError(
                f"{self._file.name} was removed or replaced while the page was open, so nothing "
                "was saved: the page's owner must restart it"
            )

    @contextmanager
    def _explained(self, what: str) -> Generator[None]:
        """Turn the database's errors into one sentence for visitors.

        A server's own message may name the server and quote rows, so it goes into the log only.
        """
        try:
            yield
        except UnfitValue:  # of PostgreSQL, for a bad request; logging each could fill the log
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
            with connection.begin():  # when this block ends, it commits, which writes to disk
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
        """Close the connections; SQLite's file then holds everything by itself, if it can."""
        with suppress(DatabaseError, sqlite3.Error):
            self.empty_log()
        self.engine.dispose()


def _engine(url: str) -> Engine:
    """Return the engine for an address; for PostgreSQL, with the driver that we install.

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
        with suppress(FileNotFoundError, PermissionError):  # another account may own it
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
