"""Databases of earlier and later versions: the steps, the version, and what is refused."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import create_engine, inspect, select

from rlhf_demo.errors import DataError
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.votes import migrations
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.migrations import STEPS
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.tables import collections
from tests.voting import HAPPY

WITHOUT_DOORS = REPOSITORY / "tests" / "data" / "votes-without-doors.sql"


@pytest.fixture
def earlier(tmp_path):
    """The file of a database that the app of November 2026 made, before a class had a door."""
    file = tmp_path / "votes.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(WITHOUT_DOORS.read_text(encoding="utf-8"))
    return file


def run(file, statement):
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(statement).fetchall()
        connection.commit()
    return rows


def version(file):
    [(number,)] = run(file, "PRAGMA user_version")
    return number


def columns(file):
    return {name for _, name, *_ in run(file, "PRAGMA table_info(lessons)")}


def schema(file):
    """Return every column, index and rule of every table, however and whenever it was made."""
    engine = create_engine(f"sqlite:///{file}")
    there = inspect(engine)
    found = {}
    for table in there.get_table_names():
        found[table] = (
            {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in there.get_columns(table)
            },
            {index["name"]: index["column_names"] for index in there.get_indexes(table)},
            sorted(rule["column_names"] for rule in there.get_unique_constraints(table)),
            sorted(rule["sqltext"] for rule in there.get_check_constraints(table)),
            sorted(
                (key["constrained_columns"], key["referred_table"], key["options"])
                for key in there.get_foreign_keys(table)
            ),
        )
    engine.dispose()
    return found


def test_database_of_an_earlier_version_opens_with_all_that_is_in_it(earlier):
    store = Store(f"sqlite:///{earlier}")
    [vote] = store.votes(2)
    assert (vote.prompt, vote.choice) == ("Prompt 0", "first")
    with store.database.reading() as connection:
        rows = connection.execute(select(collections.c.door_open, collections.c.most_joins)).all()
    assert rows == [(True, 60), (True, 60)]
    joined = Classes(store).join("TEBAQN", "Ann", "school")
    assert joined.nickname == "Ann 2"
    store.close()
    assert version(earlier) == len(STEPS)
    Store(f"sqlite:///{earlier}").close()  # and once more, with no step left


def test_own_prompts_of_an_earlier_version_are_marked_with_the_checks_made_from_them(earlier):
    texts = "'a', 'b', 'm', 'm', 0, 1.0"
    for number, kind, prompt, owner in (
        (3, "plain", "Mrs Miller has", "1"),
        (4, "catch", "Mrs Miller has", "1"),
        (5, "catch", "The film", "1"),  # made from a pair that anyone may see
        (6, "catch", "The film", "NULL"),
        (7, "plain", "Mrs Miller has", "NULL"),
    ):
        run(
            earlier,
            f"INSERT INTO pairs VALUES({number}, 2, '{kind}', '{prompt}', {texts}, {owner})",
        )
    Store(f"sqlite:///{earlier}").close()
    assert run(earlier, "SELECT id FROM pairs WHERE own") == [(3,), (4,)]


def test_steps_lead_to_the_tables_of_a_new_database(earlier, tmp_path):
    """Fails when a table is changed in tables.py without a step, and the reverse."""
    Store(f"sqlite:///{earlier}").close()
    Store(f"sqlite:///{tmp_path}/new.db").close()
    migrated, new = schema(earlier), schema(tmp_path / "new.db")
    assert set(new) == {
        "demonstrations", "lessons", "pairs", "predictions", "questions", "rankings", "raters",
        "rounds", "showings", "tries",
    }  # fmt: skip
    assert migrated == new


def test_new_database_has_the_newest_version_and_needs_no_step(tmp_path, monkeypatch):
    Store(f"sqlite:///{tmp_path}/votes.db").close()
    assert version(tmp_path / "votes.db") == len(STEPS)
    monkeypatch.setattr(migrations, "STEPS", [pytest.fail] * len(STEPS))
    Store(f"sqlite:///{tmp_path}/votes.db").close()


def test_columns_that_came_before_the_version_numbers_are_kept(tmp_path):
    file = tmp_path / "votes.db"
    store = Store(f"sqlite:///{file}")
    token = Classes(store).create_class(HAPPY).token
    store.close()
    run(file, "UPDATE lessons SET door_open = 0, most_joins = 7")
    for table in ("demonstrations", "rankings", "predictions", "tries"):  # which came later, as did
        run(file, f"DROP TABLE {table}")
    for column in ("open_lesson", "lesson_answer", "lesson_result", "texts_closed"):
        run(file, f"ALTER TABLE lessons DROP COLUMN {column}")
    run(file, "ALTER TABLE pairs DROP COLUMN own")
    run(file, "PRAGMA user_version = 0")
    store = Store(f"sqlite:///{file}")
    seen = Classes(store).overview(token)
    assert (seen["door_open"], seen["most_joins"]) == (False, 7)
    store.close()
    assert version(file) == len(STEPS)


def test_only_the_steps_that_are_missing_run_and_in_their_order(earlier, monkeypatch):
    ran = []
    steps = [lambda _, number=number: ran.append(number) for number in (1, 2, 3)]
    monkeypatch.setattr(migrations, "STEPS", [migrations.STEPS[0], *steps[1:]])
    Store(f"sqlite:///{earlier}").close()
    assert (ran, version(earlier)) == ([2, 3], 3)
    run(earlier, "PRAGMA user_version = 2")
    Store(f"sqlite:///{earlier}").close()
    assert (ran, version(earlier)) == ([2, 3, 3], 3)


def test_step_that_fails_leaves_the_database_as_it_was(earlier, monkeypatch):
    def fails(connection):
        connection.exec_driver_sql("ALTER TABLE lessons ADD COLUMN door_open BOOLEAN")
        connection.exec_driver_sql("ALTER TABLE nowhere ADD COLUMN door_open BOOLEAN")

    before = columns(earlier)
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, fails))
    with pytest.raises(DataError, match="cannot be opened"):
        Store(f"sqlite:///{earlier}")
    assert (columns(earlier), version(earlier)) == (before, 0)


def test_apps_that_open_an_older_database_at_once_migrate_it_once(earlier):
    def open_it(_):
        Store(f"sqlite:///{earlier}").close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_it, range(4)))
    assert {"door_open", "most_joins"} <= columns(earlier) and version(earlier) == len(STEPS)


def test_database_of_a_newer_version_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "votes.db"
    Store(f"sqlite:///{file}").close()
    run(file, "CREATE TABLE unknown (id INTEGER, UNIQUE (id))")  # as a newer version may have
    run(file, f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(DataError) as refusal:
        Store(f"sqlite:///{file}")
    assert str(refusal.value) == (
        f"the database of votes has version {len(STEPS) + 1}, and this app knows versions up to "
        f"{len(STEPS)}: update the app, or give it another database"
    )
    assert version(file) == len(STEPS) + 1
