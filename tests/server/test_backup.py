"""Runs and votes that are copied to the stand-in of the Hub, and restored on an empty machine."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import HubError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs.job import JobFolders, Phase
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import backup as module
from rlhf_demo.server.backup import Backup, begin, restore
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.database import Snapshots, database_url
from rlhf_demo.votes.store import Store
from tests.fake_hub import OWNER, Repository
from tests.fake_jobs import wait_until
from tests.finished import finished
from tests.voting import HAPPY, Clock, answer, new_pairs

DATA = f"{OWNER}/kept"


@pytest.fixture
def kept(hub):
    """The data set's files, as a function."""
    return lambda: hub[f"datasets/{DATA}"].files


@pytest.fixture
def open_store():
    """Open the votes of a folder; all are closed at the end."""
    stores = []

    def open_(runs):
        stores.append(Store(database_url(runs), clock=Clock()))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def backup_of(runs):
    return Backup(runs, DATA, runs / "votes.db")


def copy_votes(backup):
    snapshots = Snapshots(backup.votes)
    try:
        return backup.copy_votes(snapshots)
    finally:
        snapshots.close()


APP = """
import sys
from pathlib import Path
from rlhf_demo.server import backup
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.database import database_url
from rlhf_demo.votes.store import Store
from tests.voting import HAPPY, Clock, answer, new_pairs
backup.VOTES_GAP = 0.5
runs = Path(sys.argv[1])
backup.restore(runs, sys.argv[2])
runs.mkdir(exist_ok=True)
store = Store(database_url(runs), clock=Clock())
print("restored", store.count(), flush=True)
store.add_pairs(new_pairs(20))
backup.begin(Settings(runs=runs, backup=sys.argv[2]))
for line in sys.stdin:
    answer(store, store.visit("here"))
    print("acknowledged", store.count(), flush=True)
"""


def test_votes_of_a_killed_machine_are_there_on_the_next_one(hub, tmp_path):
    environment = os.environ | hub.environment(tmp_path / "home")

    def started(name):
        return subprocess.Popen(
            [sys.executable, "-c", APP, str(tmp_path / name), DATA], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(process):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    first = started("first")
    try:
        assert first.stdout.readline() == "restored 0\n"
        for count in (1, 2, 3):
            first.stdin.write("vote\n")
            first.stdin.flush()
            assert first.stdout.readline() == f"acknowledged {count}\n"
        acknowledged = len(hub.repositories.get(f"datasets/{DATA}", Repository()).messages)
        wait_until(lambda: f"datasets/{DATA}" in hub.repositories, seconds=60)
        repository = hub[f"datasets/{DATA}"]
        wait_until(lambda: len(repository.messages) > acknowledged, seconds=60)
        wait_until(lambda: votes_in(repository.files.get("votes.db"), tmp_path) == 3, seconds=60)
    finally:
        ended(first)
    second = started("second")
    try:
        assert second.stdout.readline() == "restored 3\n"
    finally:
        ended(second)


def votes_in(content, folder):
    """The votes in a copied database; SQLite finds no damage in it."""
    if content is None:
        return 0
    path = folder / "copied.db"
    path.write_bytes(content)
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        return connection.execute(
            "SELECT count(*) FROM showings WHERE voted_at IS NOT NULL"
        ).fetchone()[0]
    finally:
        connection.close()


def test_votes_are_copied_only_after_a_change_and_while_others_write(
    hub, kept, runs, open_store, tmp_path
):
    store = open_store(runs)
    store.add_pairs(new_pairs(200))
    backup, snapshots = backup_of(runs), Snapshots(runs / "votes.db")
    assert backup.copy_votes(snapshots)
    assert not backup.copy_votes(snapshots)
    done = threading.Event()

    def vote():
        while not done.is_set() and store.next_pair(secret := store.visit("here"), HAPPY):
            answer(store, secret)

    voters = threading.Thread(target=vote)
    voters.start()
    try:
        for _ in range(3):
            wait_until(lambda: backup.copy_votes(snapshots))
            assert votes_in(kept()["votes.db"], tmp_path) <= store.count()
    finally:
        done.set()
        voters.join()
    backup.copy_votes(snapshots)
    assert votes_in(kept()["votes.db"], tmp_path) == store.count()
    snapshots.close()


def test_runs_that_have_ended_come_back_whole_and_deleted_ones_go(hub, kept, tmp_path, runs):
    run = finished(runs / "ppo-1", "ppo", lambda folder: save(folder, b"weights"), seed=1)
    (run.folder / "lock").touch()
    running = Run.create(runs / "ppo-2", "ppo", {})
    running.set_status(Status.RUNNING)
    (runs / "uploads").mkdir()
    backup = backup_of(runs)
    assert backup.copy_runs() and not backup.copy_runs()
    assert not [path for path in kept() if "ppo-2" in path or "lock" in path or "uploads" in path]
    assert restore(tmp_path / "new", DATA)
    for path in run.folder.rglob("*"):
        if path.is_file() and path.name != "lock":
            back = tmp_path / "new" / path.relative_to(runs)
            assert back.read_bytes() == path.read_bytes()
    with run.recording():  # it is resumed, and changes
        run.append("metrics", [{"step": 21}])
    assert backup.copy_runs()
    assert kept()["runs/ppo-1/metrics.jsonl"] == (run.folder / "metrics.jsonl").read_bytes()
    run.folder.rename(tmp_path / "deleted")
    assert backup.copy_runs()
    assert not [path for path in kept() if path.startswith("runs/")]


def test_runs_that_changed_are_one_commit_so_that_votes_keep_theirs(hub, kept, runs):
    """The Hub takes some 120 commits an hour from everybody who writes to a data set."""
    for number in range(5):
        finished(runs / f"ppo-{number}", "ppo", lambda folder: save(folder, b"weights"))
    backup = backup_of(runs)
    backup._commit("Meet", {})
    before = len(hub[f"datasets/{DATA}"].messages)
    assert backup.copy_runs()
    assert len(hub[f"datasets/{DATA}"].messages) == before + 1
    assert len({path.split("/")[1] for path in kept() if path.startswith("runs/")}) == 5
    assert 3600 / module.VOTES_GAP + 3600 / module.RUNS_GAP <= 110


def test_runs_too_large_for_one_commit_wait_the_last_changed_longest(kept, runs, monkeypatch):
    for number in (1, 0, 2):
        run = finished(runs / f"ppo-{number}", "ppo", lambda folder: save(folder, b"w" * 20_000))
        os.utime(run.folder / "status.json", (number, number))
    monkeypatch.setattr(module, "MOST_TOGETHER", 30_000)  # a run and a half
    backup = backup_of(runs)
    there = []
    while backup.copy_runs():
        there.append(sorted({path.split("/")[1] for path in kept() if path.startswith("runs/")}))
    assert there == [["ppo-0", "ppo-1"], ["ppo-0", "ppo-1", "ppo-2"]]


def save(folder, weights):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)


def test_saved_state_of_a_running_job_continues_on_the_next_machine(hub, kept, tmp_path, runs):
    jobs = Jobs(runs, command=lambda kind, folder: ["true"])
    run = jobs.find(jobs.start("ppo", PPOConfig(), title="Mine", secret="ann"))
    write_json(run.folder / "job.json", read_json(run.folder / "job.json") | {"handle": "123"})
    run.set_status(Status.RUNNING, pid=123)
    run.append("metrics", [{"step": 1}])
    with open(run.folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "half": ')
    backup = backup_of(runs)
    assert not backup.copy_runs()  # nothing is saved yet
    (run.folder / "checkpoint.pt").write_bytes(b"state")
    assert backup.copy_runs() and not backup.copy_runs()
    run.append("samples", [{"step": 1}])
    assert not backup.copy_runs()  # no state was saved since
    assert kept()[f"runs/{run.folder.name}/metrics.jsonl"] == b'{"step": 1}\n'
    backup.votes = None
    backup._commit("Copy the keys", backup._small_files())  # as with the votes
    new = tmp_path / "new"
    assert restore(new, DATA)
    job = JobFolders(new).job(run.folder.name)
    assert job.phase is Phase.WAITING and job.signed and job.handle is None
    assert (job.run.folder / "checkpoint.pt").read_bytes() == b"state"
    by_hand = Run(new / run.folder.name)
    (by_hand.folder / "job.json").unlink()
    by_hand.set_status(Status.RUNNING)
    module._prepare(by_hand.folder)
    assert by_hand.status["status"] == Status.STOPPED


def test_folder_that_holds_something_is_not_restored_into(hub, runs, open_store):
    open_store(runs)
    hub.repositories[f"datasets/{DATA}"] = Repository(private=True, files={"backup.json": b"{}"})
    assert not restore(runs, DATA)
    assert hub.asked == []


def test_restoring_that_was_killed_is_finished_or_begun_again(
    hub, kept, tmp_path, runs, open_store
):
    store = open_store(runs)
    store.add_pairs(new_pairs(1))
    answer(store, store.visit("here"))
    finished(runs / "ppo-1", "ppo", lambda folder: save(folder, b"weights"))
    backup = backup_of(runs)
    copy_votes(backup)
    backup.copy_runs()
    new = tmp_path / "new"
    half = new / module.RESTORING / "runs" / "ppo-0"
    half.mkdir(parents=True)  # killed while files arrived
    assert restore(new, DATA)
    assert not (new / "ppo-0").exists() and open_store(new).count() == 1

    moved = tmp_path / "moved"
    arriving = moved / module.RESTORING
    moved.mkdir()
    module._fetch(arriving, DATA)
    os.replace(arriving / "runs" / "ppo-1", moved / "ppo-1")  # killed after the first move
    hub.mood = "down"
    assert restore(moved, DATA)
    assert open_store(moved).count() == 1 and not arriving.exists()


def test_failing_hub_is_a_line_in_the_log_once_a_minute_and_later_gets_all(
    hub, kept, runs, open_store, caplog, monkeypatch, tmp_path
):
    for tick in ("TICK_SECONDS", "RUNS_TICK_SECONDS"):
        monkeypatch.setattr(module, tick, 0.01)
    monkeypatch.setattr(module, "VOTES_GAP", 0.01)
    monkeypatch.setattr(module, "RUNS_GAP", 0.01)
    store = open_store(runs)
    store.add_pairs(new_pairs(1))
    hub.mood = "down"
    with caplog.at_level(logging.WARNING, logger="rlhf_demo"):
        backup = begin(Settings(runs=runs, backup=DATA))
        wait_until(lambda: len(hub.asked) > 5, seconds=30)
        begun = time.monotonic()
        answer(store, store.visit("here"))  # the page does not wait
        assert time.monotonic() - begun < 1
        hub.mood = "well"
        wait_until(lambda: f"datasets/{DATA}" in hub.repositories, seconds=30)
        wait_until(lambda: votes_in(kept().get("votes.db"), tmp_path) == 1, seconds=30)
        backup.close(10)
    lines = [record.message for record in caplog.records if record.name == module.__name__]
    assert len(lines) == 1
    assert lines[0].startswith(f"votes: nothing was copied to {DATA}: the Hub cannot be used: ")
    assert not any(thread.name.startswith("backup") for thread in threading.enumerate())


def test_votes_at_the_very_end_are_copied_before_the_page_is_gone(
    hub, kept, runs, open_store, tmp_path
):
    store = open_store(runs)
    store.add_pairs(new_pairs(1))
    backup = begin(Settings(runs=runs, backup=DATA))
    wait_until(lambda: f"datasets/{DATA}" in hub.repositories, seconds=30)
    wait_until(lambda: "votes.db" in kept(), seconds=30)
    answer(store, store.visit("here"))  # within the gap between two copies
    backup.close(20)
    assert votes_in(kept()["votes.db"], tmp_path) == 1


def test_end_does_not_wait_for_a_silent_hub(hub, runs, open_store):
    open_store(runs)
    hub.mood = "silent"
    backup = begin(Settings(runs=runs, backup=DATA))
    begun = time.monotonic()
    backup.close(0.5)
    assert time.monotonic() - begun < 2
    hub.woken.set()
    wait_until(lambda: not any(thread.is_alive() for thread in backup._threads), seconds=30)


def test_second_installation_sets_the_first_ones_votes_aside(
    hub, kept, tmp_path, runs, open_store, monkeypatch, caplog
):
    store = open_store(runs)
    store.add_pairs(new_pairs(1))
    answer(store, store.visit("here"))
    copy_votes(backup_of(runs))
    first = kept()["votes.db"]
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    hub.mood = "down"
    with caplog.at_level(logging.WARNING, logger="rlhf_demo"):
        assert not restore(other, DATA)  # it starts empty
    assert f"nothing was restored from {DATA}: " in caplog.text
    hub.mood = "well"
    open_store(other)
    copy_votes(backup_of(other))
    aside = [path for path in kept() if path.startswith("earlier/")]
    assert len(aside) == 1 and kept()[aside[0]] == first
    assert votes_in(kept()["votes.db"], tmp_path) == 0
    copy_votes(backup_of(other))  # a restart of the same one moves nothing
    assert len([path for path in kept() if path.startswith("earlier/")]) == 1


def test_public_data_set_gets_no_votes(hub, kept, runs, open_store):
    open_store(runs)
    hub.repositories[f"datasets/{DATA}"] = Repository(private=False)
    with pytest.raises(HubError, match=f"{DATA} is public, and votes hold nicknames"):
        copy_votes(backup_of(runs))
    assert kept() == {}


def test_history_is_dropped_after_many_copies(hub, runs, open_store, monkeypatch):
    monkeypatch.setattr(module, "SHORTEN_AFTER", 2)
    store, backup = open_store(runs), backup_of(runs)
    snapshots = Snapshots(runs / "votes.db")
    for _ in range(2):
        store.add_pairs(new_pairs(1))
        backup.copy_votes(snapshots)
    snapshots.close()
    assert len(hub[f"datasets/{DATA}"].commits) == 1


def test_votes_elsewhere_and_runs_that_are_too_large_are_left_out(hub, runs, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/votes")
    assert begin(Settings(runs=runs)) is None
    backup = begin(Settings(runs=runs, backup=DATA))
    assert [thread.name for thread in backup._threads] == ["backup-runs"]
    backup.close(5)
    finished(runs / "ppo-1", "ppo", lambda folder: save(folder, b"weights"))
    monkeypatch.setattr(module, "MOST_RUN", 1)
    assert not backup_of(runs).copy_runs()
