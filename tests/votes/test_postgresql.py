"""Votes and classes again, over a PostgreSQL server of the tests' own where one is installed.

apt-get install -y postgresql && python -m pytest tests/votes/test_postgresql.py
"""

import itertools
import os
import random
import shutil
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.migrations import STEPS
from rlhf_demo.votes.rounds import Rounds
from rlhf_demo.votes.store import Store
from tests.votes.test_arrivals import *  # noqa: F403
from tests.votes.test_classes import *  # noqa: F403
from tests.votes.test_demonstrations import *  # noqa: F403
from tests.votes.test_predictions import *  # noqa: F403
from tests.votes.test_queries import *  # noqa: F403
from tests.votes.test_rankings import *  # noqa: F403
from tests.votes.test_rounds import *  # noqa: F403
from tests.votes.test_store import *  # noqa: F403
from tests.votes.test_tries import *  # noqa: F403

# These look into SQLite's file.
del test_database_holds_no_secret, test_no_address_of_a_student_is_on_the_disk  # noqa: F821
del test_removed_student_is_gone_with_all_votes_and_nobody_else_is  # noqa: F821
del test_nothing_of_a_deleted_class_is_left_on_disk  # noqa: F821
del test_answers_on_one_visitors_own_prompts_take_no_longer_to_read_than_others  # noqa: F821

numbers = itertools.count()


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them out of the path."""
    found = [Path(name).resolve().parent for name in (shutil.which("initdb"),) if name]
    return next(iter(found + sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)


@pytest.fixture(scope="module")
def server():
    """A server on a free port of this machine, stopped and deleted at the end."""
    here = programs()
    if here is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # It refuses to run as root, as containers do; nobody is there on every Linux.
    who = {"user": "nobody"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        if who:
            shutil.chown(folder, "nobody")
        call = {"check": True, "capture_output": True, "cwd": folder, **who}
        data = ["-D", f"{folder}/data"]
        subprocess.run([here / "initdb", *data, "-A", "trust", "-U", "votes", "-N"], **call)
        how = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = ["-l", f"{folder}/log"]
        subprocess.run([here / "pg_ctl", *data, *log, "-o", how, "-w", "start"], **call)
        try:
            yield f"postgresql://votes@127.0.0.1:{port}"
        finally:
            subprocess.run([here / "pg_ctl", *data, "-m", "immediate", "-w", "stop"], **call)


@pytest.fixture
def url(server):
    """The address of an empty database."""
    name = f"votes{next(numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


@pytest.fixture
def store(url, clock):
    store = Store(url, clock=clock, rng=random.Random(0))
    yield store
    store.close()


def test_store_opened_again_knows_everything(store, url):
    store.add_pairs(new_pairs(2))  # noqa: F405
    answer(store, store.visit("here"))  # noqa: F405
    before = store.votes()
    store.close()
    again = Store(url)
    assert again.votes() == before
    again.close()


def schema_version(url):
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT version FROM schema_version").fetchall()


def described(url):
    """Return the columns, indexes and rules of the tables that came with a step."""
    columns = """SELECT column_name, data_type, is_nullable, column_default, ordinal_position
        FROM information_schema.columns WHERE table_name = %(table)s ORDER BY 5"""
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = %(table)s ORDER BY 1"
    rules = """SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = %(table)s::regclass ORDER BY 1"""
    with psycopg.connect(url) as connection:
        return [
            connection.execute(query, {"table": table}).fetchall()
            for table in ("demonstrations", "rankings", "predictions", "tries")
            for query in (columns, indexes, rules)
        ]


def test_database_without_a_version_is_migrated_once_by_apps_that_start_together(
    store, classes, url
):
    opened = classes.create_class(HAPPY)  # noqa: F405
    made = described(url)
    store.close()
    with psycopg.connect(url) as connection:
        new = (
            "door_open", "most_joins", "open_lesson", "lesson_answer", "lesson_result",
            "texts_closed",
        )  # fmt: skip
        dropped = ", ".join(f"DROP COLUMN {column}" for column in new)
        connection.execute(f"ALTER TABLE lessons {dropped}")
        connection.execute("ALTER TABLE pairs DROP COLUMN own")
        connection.execute(
            "DROP TABLE schema_version, demonstrations, rankings, predictions, tries"
        )
    with ThreadPoolExecutor(4) as threads:
        apps = list(threads.map(Store, [url] * 4))
    assert schema_version(url) == [(len(STEPS),)]
    seen = Classes(apps[0]).overview(opened.token)
    assert (seen["door_open"], seen["most_joins"]) == (True, 60)
    assert described(url) == made
    for app in apps:
        app.close()


def test_apps_that_start_together_make_the_tables_once(url):
    with ThreadPoolExecutor(4) as threads:
        apps = list(threads.map(Store, [url] * 4))
    assert schema_version(url) == [(len(STEPS),)]
    for app in apps:
        app.close()


def test_database_of_a_newer_version_is_refused(store, url):
    store.close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE schema_version SET version = version + 1")
    with pytest.raises(DataError, match=r"has version 8, and this app knows versions up to 7: up"):
        Store(url)
    assert schema_version(url) == [(8,)]


def test_two_writers_of_one_app_do_not_wait_for_each_other(store):
    """SQLite takes one writer at a time; here a second one writes while the first still does."""
    with store.database.writing() as connection:
        store.add_pairs(new_pairs(1))  # noqa: F405  (a second writer; it would wait for ever)
        assert connection.exec_driver_sql("SELECT count(*) FROM pairs").scalar_one() == 1


def test_two_apps_on_one_database_give_no_nickname_and_no_seat_twice(store, url):
    ticks = itertools.count(1_000_000)
    apps = [Store(url, clock=lambda: next(ticks) / 4) for _ in range(2)]
    opened = Classes(apps[0]).create_class(HAPPY, overlap=1)  # noqa: F405
    Rounds(apps[0]).add_pairs(opened.collection, new_pairs(24))  # noqa: F405

    def come_and_vote(number):
        app = apps[number % 2]
        joined = Classes(app).join(opened.code, "Ann", f"phone {number}")
        assignment = app.next_pair(joined.secret)
        return joined.nickname, app.vote(joined.secret, assignment.id, "left")

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(come_and_vote, range(24)))
    assert {name for name, _ in said} == {"Ann", *(f"Ann {n}" for n in range(2, 25))}
    votes = store.votes(opened.collection)
    assert len(votes) == len({vote.pair for vote in votes}) == sum(kept for _, kept in said) == 24
    for app in apps:
        app.close()
