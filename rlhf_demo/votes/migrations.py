"""Numbered steps that bring a votes database of an earlier version up to date.

The version is the number of steps that a database has behind it. SQLite keeps it in its file's
header, where older versions of the app do not see it; other databases in a table of one row.

To change a table: change it in `tables.py`, and append a function to `STEPS` that makes the same
change with SQL. Never edit a step that has run on any database.
"""

from collections.abc import Callable

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)

from rlhf_demo.errors import DataError

LOCK = 0x766F746573
"""Key of PostgreSQL's advisory lock for an app that starts: "votes" in ASCII."""

_version_table = Table("schema_version", MetaData(), Column("version", Integer, nullable=False))


def _add_class_door(connection: Connection) -> None:
    """A class can be closed to newcomers, and limits the students from one address."""
    columns = {column["name"] for column in inspect(connection).get_columns("lessons")}
    if "door_open" in columns:  # added by the versions of the app that kept no version number
        return
    for column in (
        "door_open BOOLEAN NOT NULL DEFAULT true",
        "most_joins INTEGER NOT NULL DEFAULT 60",
    ):
        connection.execute(text(f"ALTER TABLE lessons ADD COLUMN {column}"))


def _add_demonstrations(connection: Connection) -> None:
    """Voters can write texts of their own."""
    key = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
    parents = {"round_id": "rounds", "rater_id": "raters", "question_id": "questions"}
    parts = (
        f"id {key[connection.dialect.name]} NOT NULL",
        *(f"{name} INTEGER NOT NULL" for name in parents),
        "pair_id INTEGER",
        "prompt TEXT NOT NULL",
        "completion TEXT NOT NULL",
        "browser_hash VARCHAR(64)",
        "written_at FLOAT NOT NULL",
        "UNIQUE (pair_id, rater_id, question_id)",
        *(f"FOREIGN KEY({n}) REFERENCES {of} (id) ON DELETE CASCADE" for n, of in parents.items()),
        "FOREIGN KEY(pair_id) REFERENCES pairs (id) ON DELETE SET NULL",
    )
    connection.execute(text(f"CREATE TABLE demonstrations ({', '.join(parts)})"))
    for name in (*parents, "pair_id", "browser_hash"):
        index = f"CREATE INDEX ix_demonstrations_{name} ON demonstrations ({name})"
        connection.execute(text(index))


def _mark_own_prompts(connection: Connection) -> None:
    """A pair says whether its owner wrote the prompt; so does an attention check made from it."""
    connection.execute(text("ALTER TABLE pairs ADD COLUMN own BOOLEAN NOT NULL DEFAULT false"))
    written = "SELECT owner_id, prompt FROM pairs WHERE owner_id IS NOT NULL AND kind <> 'catch'"
    connection.execute(text(f"UPDATE pairs SET own = true WHERE (owner_id, prompt) IN ({written})"))


def _add_rankings(connection: Connection) -> None:
    """Voters can rank four texts."""
    key = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
    parents = {"round_id": "rounds", "rater_id": "raters", "question_id": "questions"}
    parts = (
        f"id {key[connection.dialect.name]} NOT NULL",
        "round_id INTEGER NOT NULL",
        "rater_id INTEGER",
        "question_id INTEGER",
        "shown_at FLOAT",
        *(f"{name} TEXT NOT NULL" for name in ("prompt", "first", "second", "third", "fourth")),
        "model TEXT NOT NULL",
        "seed INTEGER NOT NULL",
        "temperature FLOAT NOT NULL",
        "best_first VARCHAR(4)",
        "ranked_at FLOAT",
        *(f"FOREIGN KEY({n}) REFERENCES {of} (id) ON DELETE CASCADE" for n, of in parents.items()),
    )
    connection.execute(text(f"CREATE TABLE rankings ({', '.join(parts)})"))
    for name in parents:
        connection.execute(text(f"CREATE INDEX ix_rankings_{name} ON rankings ({name})"))


def _add_predictions(connection: Connection) -> None:
    """A class can have a lesson open, and its students predict what comes out."""
    for column in ("open_lesson VARCHAR(40)", "lesson_answer INTEGER", "lesson_result TEXT"):
        connection.execute(text(f"ALTER TABLE lessons ADD COLUMN {column}"))
    parts = (
        "lesson VARCHAR(40) NOT NULL",
        "answer INTEGER NOT NULL",
        "predicted_at FLOAT NOT NULL",
        "UNIQUE (voter_id, lesson)",
    )
    _add_of_student(connection, "predictions", parts)
    for name in ("collection_id", "voter_id"):
        connection.execute(text(f"CREATE INDEX ix_predictions_{name} ON predictions ({name})"))


def _add_tries(connection: Connection) -> None:
    """A student can have one text with which to fool the reward model."""
    parts = (
        "text TEXT NOT NULL",
        "score FLOAT NOT NULL",
        "tried_at FLOAT NOT NULL",
        "UNIQUE (voter_id)",
    )
    _add_of_student(connection, "tries", parts)
    connection.execute(text("CREATE INDEX ix_tries_collection_id ON tries (collection_id)"))


def _add_end_of_texts(connection: Connection) -> None:
    """An instructor can end the texts of a lesson."""
    column = "texts_closed BOOLEAN NOT NULL DEFAULT false"
    connection.execute(text(f"ALTER TABLE lessons ADD COLUMN {column}"))


def _add_of_student(connection: Connection, table: str, own: tuple[str, ...]) -> None:
    """Create a table of what students made in class. Like a step, never edit it.

    Args:
        connection: in the step's transaction.
        table: its name.
        own: SQL of its columns and rules, apart from its key, the class and the student.
    """
    key = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
    parents = {"collection_id": "lessons", "voter_id": "raters"}
    parts = (
        f"id {key[connection.dialect.name]} NOT NULL",
        *(f"{name} INTEGER NOT NULL" for name in parents),
        *own,
        *(f"FOREIGN KEY({n}) REFERENCES {of} (id) ON DELETE CASCADE" for n, of in parents.items()),
    )
    connection.execute(text(f"CREATE TABLE {table} ({', '.join(parts)})"))


STEPS: tuple[Callable[[Connection], None], ...] = (
    _add_class_door, _add_demonstrations, _mark_own_prompts, _add_rankings, _add_predictions,
    _add_tries, _add_end_of_texts,
)  # fmt: skip
"""Step N leads from version N - 1 to version N."""


def lock(connection: Connection) -> None:
    """Make other apps that start wait until this transaction ends.

    A writing transaction of SQLite has locked the whole file already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def check_version(connection: Connection) -> None:
    """Check that this app knows the database's version.

    Raises:
        DataError: the database comes from a newer version of the app.
    """
    version = _read_version(connection)
    if version > len(STEPS):
        raise DataError(
            f"the database of votes has version {version}, and this app knows versions up to "
            f"{len(STEPS)}: update the app, or give it another database"
        )


def migrate(connection: Connection, metadata: MetaData) -> None:
    """Make the tables of an empty database, or run the steps that an older one lacks.

    Args:
        connection: a transaction that has taken the lock; it keeps all steps or none.
        metadata: the tables of the newest version.
    """
    if inspect(connection).has_table("lessons"):
        for step in STEPS[_read_version(connection) :]:
            step(connection)
    else:
        metadata.create_all(connection)
    _write_version(connection, len(STEPS))


def _read_version(connection: Connection) -> int:
    """Return the version; 0 for an empty database, and for one that has no number yet."""
    if connection.dialect.name == "sqlite":
        return connection.execute(text("PRAGMA user_version")).scalar_one()
    _version_table.create(connection, checkfirst=True)
    return connection.execute(select(_version_table.c.version)).scalar() or 0


def _write_version(connection: Connection, version: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"PRAGMA user_version = {version}"))
    else:
        connection.execute(delete(_version_table))
        connection.execute(insert(_version_table).values(version=version))
