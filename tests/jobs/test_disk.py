"""How much room runs take, which of them make room, and what a short disk refuses."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import errno
import math
import os
import shutil
import time
from types import SimpleNamespace

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import disk
from rlhf_demo.jobs import queue as jobs_module
from rlhf_demo.jobs.bounds import PUBLIC, Limits
from rlhf_demo.jobs.disk import megabytes
from rlhf_demo.runs.run import Status
from tests.fake_jobs import fake, jobs, new_jobs, row, start, wait_for, wait_until


@pytest.fixture
def idle(new_jobs):
    """An app that starts nothing."""
    return new_jobs(scheduling=False)


def fill(jobs, run_id, size, hours):
    """Let a run hold some megabytes, and have ended some hours ago."""
    folder = jobs.find(run_id).folder
    (folder / "model.bin").write_bytes(os.urandom(int(size * 1e6)))
    then = time.time() - 3600 * hours
    os.utime(folder, (then, then))
    return folder


def ended(jobs, size, hours, **how):
    run_id = start(jobs, **how)
    jobs.stop(run_id, how.get("secret", "ann"))
    return fill(jobs, run_id, size, hours)


def test_what_took_much_for_long_makes_room_and_nothing_that_is_needed(new_jobs, tmp_path):
    idle = new_jobs(scheduling=False, instructor_token="token")
    old = ended(idle, 1, hours=5)  # 5 megabyte-hours
    large = ended(idle, 3, hours=2)  # 6
    young = ended(idle, 3, hours=0.9)
    classes = ended(idle, 3, hours=9, first=True)
    own = ended(idle, 3, hours=9, secret="token")
    needed = ended(idle, 3, hours=9)
    waiting = start(idle, reward=str(needed))
    # 3 + 3 + 1 + 3 of visitors are 3 too many: the large one goes, and it is enough.
    new_jobs(limits=Limits(most_megabytes_all=7.5))
    wait_until(lambda: not large.exists())
    time.sleep(0.2)
    for kept in (old, young, classes, own, needed, tmp_path / "runs" / waiting):
        assert kept.exists()


def test_runs_beyond_so_many_go_first_those_that_never_began(new_jobs):
    idle = new_jobs(scheduling=False, instructor_token="token")

    def began(hours):
        folder = ended(idle, 1, hours=hours)
        record = folder / "job.json"
        write_json(record, read_json(record) | {"started_at": 0.0})
        return fill(idle, folder.name, 1, hours)

    oldest, older = began(hours=5), began(hours=4)
    never, young = ended(idle, 1, hours=0.1), began(hours=0.9)
    others = ended(idle, 1, hours=9, first=True), ended(idle, 1, hours=9, secret="token")
    # Two of the visitors' four are too many.
    new_jobs(limits=Limits(most_runs=2))
    wait_until(lambda: not (never.exists() or oldest.exists()))
    time.sleep(0.2)
    assert all(folder.exists() for folder in (older, young, *others))


def test_address_with_the_most_runs_loses_its_own_at_any_age(new_jobs, monkeypatch, tmp_path):
    """One address began 200 runs of a step in an hour, and everybody's older runs went."""
    monkeypatch.setattr(disk, "KEPT_EACH", 2)
    jobs = new_jobs(scheduling=False)

    def began(hours, address):
        folder = ended(jobs, 0.1, hours=hours, address=address, secret=f"{hours}")
        record = folder / "job.json"
        write_json(record, read_json(record) | {"started_at": 0.0})
        return fill(jobs, folder.name, 0.1, hours)

    for hours, address in ((5, "a"), (4, "b"), (0.5, "b")):
        began(hours, address)
    many = [began(0.01 * age, "attacker") for age in (5, 4, 3, 2)]
    page = disk.Disk(tmp_path / "runs", Limits(most_runs=4))
    # Three too many: the attacker's older two, whose newest two keep their hour, and one more.
    found = [job.run.folder for job in page.superfluous(jobs._folders.own())]
    assert found[:2] == many[:2] and len(found) == 3


def test_full_store_of_young_runs_refuses_a_start_and_loses_none(new_jobs):
    idle = new_jobs(scheduling=False)
    young = [ended(idle, 2, hours=0.5) for _ in range(2)]
    jobs = new_jobs(limits=Limits(most_megabytes_all=3), scheduling=False, instructor_token="token")
    with pytest.raises(
        JobError,
        match=r"visitors' runs fill the 0.003 GB that they may use: try again when one of them",
    ):
        start(jobs)
    with pytest.raises(JobError, match="visitors' runs fill"):
        jobs.resume(young[0].name, "ann")
    start(jobs, secret="token")
    start(jobs, first=True)
    assert all(folder.exists() for folder in young)


@pytest.fixture
def free(monkeypatch):
    """Megabytes that the disk has left, as a dictionary to be changed."""
    found = {"free": 10_000.0}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=found["free"] * 1e6)
    )
    return found


def test_nothing_of_a_visitors_starts_or_resumes_below_the_floor(new_jobs, free):
    jobs = new_jobs(scheduling=False, limits=PUBLIC, instructor_token="token")
    stopped = start(jobs)
    jobs.stop(stopped, "ann")
    free["free"] = 1_999.0
    sentence = "^the disk of this page has 2.0 GB left, and 2 GB must stay free: try again later$"
    with pytest.raises(JobError, match=sentence):
        start(jobs)
    with pytest.raises(JobError, match=sentence):
        jobs.resume(stopped, "ann")
    start(jobs, secret="token")
    start(jobs, first=True)


def test_job_whose_turn_comes_on_a_full_disk_waits_with_a_sentence_and_goes_on(
    new_jobs, free, fake
):
    jobs = new_jobs(limits=PUBLIC)
    running = start(jobs)
    wait_for(jobs, running, Status.RUNNING)
    waiting = start(jobs, "reward")
    free["free"] = 100.0
    jobs.stop(running, "ann")
    wait_until(lambda: row(jobs, waiting)["message"].startswith("the disk of this page has 0.1 GB"))
    of_class = start(jobs, "reward", first=True)
    wait_for(jobs, of_class, Status.FINISHED)
    assert row(jobs, waiting)["status"] == "queued" and waiting not in fake.started
    free["free"] = 10_000.0
    wait_for(jobs, waiting, Status.FINISHED)


def test_full_disk_at_a_start_leaves_no_folder_and_says_so_in_words(idle, tmp_path, monkeypatch):
    write = jobs_module.Run.create

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(jobs_module.Run, "create", full)
    with pytest.raises(
        JobError, match=r"^the disk is full: delete runs that are no longer needed, then"
    ):
        start(idle)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".key"]
    monkeypatch.setattr(jobs_module.Run, "create", write)
    run_id = start(idle)
    monkeypatch.setattr("rlhf_demo.jobs.job.write_json", full)
    idle.stop(run_id, "ann")
    with pytest.raises(JobError, match=r"^the disk is full"):
        idle.resume(run_id, "ann")


def test_megabytes_are_those_on_the_disk_in_all_folders_below(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(os.urandom(3_000_000))
    (tmp_path / "link").symlink_to("/")
    assert math.isclose(megabytes(tmp_path), 3.0, abs_tol=0.01)


def test_folder_that_may_not_be_searched_takes_no_room(tmp_path, monkeypatch):
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/file").write_text("x")
    lstat = os.lstat

    def refused(path, *args, **kwargs):
        if str(path).endswith("steps/file"):
            raise PermissionError(13, "Permission denied", str(path))
        return lstat(path, *args, **kwargs)

    monkeypatch.setattr(os, "lstat", refused)
    assert megabytes(tmp_path) == 0
