"""What the page hands to its tabs."""

import os
from contextlib import nullcontext

import pytest

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui import shared


@pytest.mark.parametrize(("public", "megabytes"), [(True, 3000), (False, 4500)])
def test_trainers_share_less_than_the_machines_memory_in_every_mode(monkeypatch, public, megabytes):
    monkeypatch.setattr(shared, "machine_memory", lambda: 10_000)
    limits = shared._limits(Settings(public=public, jobs_at_once=2))
    assert limits.most_memory == megabytes
    assert (limits.most_rank is None) is not public


@pytest.mark.parametrize("public", [True, False])
def test_large_runs_are_read_as_often_as_one_likes_only_at_home(tmp_path, public, monkeypatch):
    monkeypatch.setattr("rlhf_demo.runs.tail.NEW", 1)
    settings = Settings(runs=tmp_path / "runs", public=public, password="a password")
    tails = shared.Shared.open(settings).jobs.tails
    path = tmp_path / "samples.jsonl"
    path.write_text('{"step": 1}\n' * 2)
    for number in range(10):
        copied = tmp_path / f"{number}.jsonl"
        copied.write_bytes(path.read_bytes())
        refused = public and number >= 4  # 24 bytes each, of 100
        with pytest.raises(Refused) if refused else nullcontext():
            assert tails.steps(copied) == [1]


def test_names_in_a_resumed_run_are_checked_by_the_lists(tmp_path):
    page = shared.Shared.open(Settings(runs=tmp_path / "runs"))
    assert page.jobs.check_names == page.choices.check_names


@pytest.mark.parametrize("name", ["uploads", "classes", "comparisons", "votes", "demonstrations"])
def test_link_in_the_place_of_a_folder_where_old_files_are_removed_is_refused(tmp_path, name):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / name).symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=f"runs/{name} is not a folder: this page needs one"):
        shared.Shared.open(Settings(runs=tmp_path / "runs"))


@pytest.mark.parametrize("name", ["votes.db", "votes.db-journal", "votes.db-wal", ".key"])
def test_folder_in_the_place_of_a_file_of_the_page_is_named_at_the_start(tmp_path, name):
    """SQLite took votes.db-journal for its own, and said "disk I/O error"."""
    (tmp_path / "runs" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"runs/{name} is not a file: this page needs one"):
        shared.Shared.open(Settings(runs=tmp_path / "runs"))


@pytest.mark.parametrize("name", [".scheduler", "votes.db-wal"])
def test_pipe_in_the_place_of_a_file_of_the_page_is_named_at_the_start(tmp_path, name):
    """Opened, it made the scheduler wait for ever."""
    (tmp_path / "runs").mkdir()
    os.mkfifo(tmp_path / "runs" / name)
    with pytest.raises(ConfigError, match=f"runs/{name} is not a file: this page needs one"):
        shared.Shared.open(Settings(runs=tmp_path / "runs"))


def test_votes_may_lie_on_another_disk(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "elsewhere.db").touch()
    (tmp_path / "runs" / "votes.db").symlink_to(tmp_path / "elsewhere.db")
    shared.Shared.open(Settings(runs=tmp_path / "runs")).store.close()
