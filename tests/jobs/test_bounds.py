"""What a public page allows its trainings: options, places in line, room on the disk, memory."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import errno
import math
import os
import re
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import disk, processes, scheduler
from rlhf_demo.jobs import queue as jobs_module
from rlhf_demo.jobs.bounds import PUBLIC, Limits
from rlhf_demo.jobs.disk import Disk, megabytes
from rlhf_demo.runs.run import Status
from tests.fake_jobs import BEGIN, PATIENT, fake, new_jobs, row, start, wait_for, wait_until

ROOMY = replace(PUBLIC, least_free_megabytes=None)
"""Of a public page, on whatever disk the tests have."""

GREEDY = (
    BEGIN
    + """
held = bytearray(300_000_000)
held[::4096] = bytes([1]) * len(held[::4096])
with run.recording():
    time.sleep(60)
"""
)
WRITING = (
    BEGIN
    + """
with run.recording():
    (run.folder / "model.bin").write_bytes(os.urandom(3_000_000))
    while True:
        run.check_stop()
        time.sleep(0.01)
"""
)


@pytest.fixture
def idle(new_jobs):
    """A public page that starts nothing."""
    return new_jobs(scheduling=False, limits=ROOMY, instructor_token="token")


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, options, sentence",
    [
        ("ppo", {"lora_rank": 512}, "a LoRA rank of 512 is not allowed here: choose 1 to 64"),
        ("ppo", {"lora_rank": 0}, "a LoRA rank of 0 is not allowed here: choose 1 to 64"),
        ("reward", {"lora_rank": 65}, "a LoRA rank of 65 is not allowed here: choose 1 to 64"),
        # 200 / 40 = 5; 41 steps saved one by one are 41.
        ("ppo", {"total_steps": 200, "checkpoint_every": 4},
         "saving every 4 steps of 200 is too often here: choose 5 or more"),
        ("ppo", {"total_steps": 41, "checkpoint_every": 1},
         "saving every 1 steps of 41 is too often here: choose 2 or more"),
        ("ppo", {"batch_size": 512}, "a batch size of 512 is too large here: choose 256 or fewer"),
        ("reward", {"batch_size": 33}, "a batch size of 33 is too large here: choose 32 or fewer"),
    ],
)  # fmt: skip
def test_option_that_takes_too_much_is_refused_in_a_sentence(idle, kind, options, sentence):
    with pytest.raises(JobError, match=f"^{sentence}$"):
        start(idle, kind, **options)
    assert idle.overview() == []
    start(idle, kind, secret="token", **options)  # the instructor's own
    start(idle, kind, first=True, **options)  # a class's


def test_largest_that_is_allowed_is_allowed(idle):
    start(idle, lora_rank=64, total_steps=200, checkpoint_every=5, batch_size=256)
    start(idle, "reward", lora_rank=64, batch_size=32)


def test_nothing_is_bounded_at_home(new_jobs):
    start(new_jobs(scheduling=False), lora_rank=512, total_steps=200, checkpoint_every=1)


# -- the line --------------------------------------------------------------------------------------


def test_one_address_with_many_secrets_leaves_places_to_others(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=8))
    taken = [start(jobs, secret=f"words {n}", address="6.6.6.6") for n in range(6)]
    with pytest.raises(JobError, match=r"^6 jobs from your address are already waiting: try again"):
        start(jobs, secret="words 6", address="6.6.6.6")
    start(jobs, secret="ann", address="7.7.7.7")
    jobs.stop(taken[0], "words 0")
    start(jobs, secret="words 6", address="6.6.6.6")
    with pytest.raises(JobError, match="6 jobs from your address are already waiting"):
        jobs.resume(taken[0], "words 0", "6.6.6.6")


def test_two_addresses_with_long_jobs_keep_nobody_out_of_the_line(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=8))
    flood = [start(jobs, secret=f"a {n}", address="6.6.6.6") for n in range(6)]
    other = [start(jobs, secret=f"b {n}", address="6.6.6.7") for n in range(2)]
    honest = [start(jobs, secret=f"c {n}", address=f"5.5.5.{n}") for n in range(4)]
    # The last of whoever has most: 6 2, 5 2, 4 2, 3 2.
    waiting = {one["id"] for one in jobs.overview() if one["status"] == "queued"}
    assert waiting == {*flood[:2], *other, *honest}
    assert row(jobs, flood[5])["message"] == (
        "removed from a full queue, where you had the most jobs: resume it when fewer are waiting"
    )
    start(jobs, secret="c 9", address="5.5.5.9")
    for address in ("5.5.5.9", "6.6.6.6"):  # two more than one, or than two, has nobody
        with pytest.raises(JobError, match="8 jobs are already waiting"):
            start(jobs, secret="c 10", address=address)
    jobs.stop(honest[0], "c 0")
    jobs.resume(flood[5], "a 5", "6.6.6.6")


def test_one_owner_with_most_makes_room_where_no_address_is_known(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=3))
    *_, last = [start(jobs, secret="ann") for _ in range(3)]
    start(jobs, secret="bob")
    assert row(jobs, last)["status"] == "stopped"
    with pytest.raises(JobError, match="3 jobs are already waiting"):
        start(jobs, secret="bob")


def test_refused_newcomer_takes_nobody_out_of_the_line(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=2))
    flood = [start(jobs, secret=f"a {n}", address="6.6.6.6") for n in range(2)]
    with pytest.raises(JobError, match="rank"):
        start(jobs, secret="bob", address="5.5.5.5", lora_rank=512)
    jobs.check_start("bob", "5.5.5.5")
    assert [row(jobs, one)["status"] for one in flood] == ["queued", "queued"]


def test_address_of_a_visitor_is_in_no_file(idle, tmp_path):
    run_id = start(idle, address="203.0.113.77")
    for path in (tmp_path / "runs" / run_id).iterdir():
        assert "203.0.113" not in path.read_text()


def test_one_address_starts_so_many_runs_at_once(new_jobs):
    limits = replace(ROOMY, starts_address=(3, 0.1))
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    for _ in range(3):
        jobs.stop(start(jobs, address="6.6.6.6"), "ann")
    with pytest.raises(
        JobError, match=r"^too many runs were started from your address: wait 10 s and"
    ):
        start(jobs, secret="bob", address="6.6.6.6")
    start(jobs, secret="bob", address="7.7.7.7")
    start(jobs, secret="token", address="6.6.6.6")
    start(jobs, first=True, address="6.6.6.6")


def test_asking_beforehand_refuses_what_a_start_would_and_takes_nothing(new_jobs):
    limits = replace(ROOMY, most_waiting=2, starts_address=(1, 0.1))
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    for _ in range(3):
        jobs.check_start("ann", "6.6.6.6")
    start(jobs, address="6.6.6.6")
    with pytest.raises(JobError, match="too many runs were started from your address"):
        jobs.check_start("bob", "6.6.6.6")
    start(jobs, secret="bob", address="7.7.7.7")
    with pytest.raises(JobError, match="2 jobs are already waiting"):
        jobs.check_start("eve", "8.8.8.8")
    with pytest.raises(JobError, match="no secret"):
        jobs.check_start("", "8.8.8.8")
    jobs.check_start("token", "6.6.6.6")
    assert PUBLIC.starts_address == (60, 0.1)  # a class of thirty starts the loop at once


# -- the disk --------------------------------------------------------------------------------------


def test_run_that_writes_more_than_it_may_is_stopped_with_a_sentence(new_jobs, fake):
    fake.scripts["ppo"] = WRITING
    jobs = new_jobs(limits=Limits(most_megabytes=2))
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.STOPPED)
    wait_until(lambda: "limit of 2 MB" in row(jobs, run_id)["message"])
    # Up to 3 MB of the model and some kilobytes beside it; the look may come while it is written.
    assert re.match(r"stopped with [34] MB on the disk, ", row(jobs, run_id)["message"])


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
        note = folder / "job.json"
        write_json(note, read_json(note) | {"started_at": 0.0})
        return fill(idle, folder.name, 1, hours)

    oldest, older = began(hours=5), began(hours=4)
    never, young = ended(idle, 1, hours=3), ended(idle, 1, hours=0.9)
    others = ended(idle, 1, hours=9, first=True), ended(idle, 1, hours=9, secret="token")
    # Two of the visitors' four are too many.
    new_jobs(limits=Limits(most_runs=2))
    wait_until(lambda: not (never.exists() or oldest.exists()))
    time.sleep(0.2)
    assert all(folder.exists() for folder in (older, young, *others))


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


# -- memory and secrets ----------------------------------------------------------------------------


def test_trainer_that_holds_more_memory_than_it_may_is_ended_with_a_sentence(new_jobs, fake):
    fake.scripts["ppo"] = GREEDY
    jobs = new_jobs(limits=Limits(most_memory=200))
    run_id = start(jobs, first=True)
    wait_for(jobs, run_id, Status.STOPPED)
    wait_until(
        lambda: "MB of memory, over this page's limit of 200 MB" in row(jobs, run_id)["message"]
    )
    assert "choose a smaller batch" in row(jobs, run_id)["message"]


def test_memory_of_the_container_counts_where_it_is_less(tmp_path, monkeypatch):
    whole = processes.machine_memory()
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("2000000000\n")
    monkeypatch.setattr(processes, "CGROUP_MEMORY", (tmp_path / "max", tmp_path / "none"))
    assert processes.machine_memory() == whole > 1000
    monkeypatch.setattr(processes, "CGROUP_MEMORY", (tmp_path / "max", tmp_path / "limit"))
    assert processes.machine_memory() == 2000


@pytest.mark.parametrize("policy, sees", [("gpt2", False), ("somebody/private", True)])
def test_trainer_sees_no_secret_but_the_hubs_where_it_names_the_hub(
    new_jobs, fake, monkeypatch, policy, sees
):
    hidden = ("RLHF_DEMO_PASSWORD", "DATABASE_URL", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY",
              "WANDB_API_KEY", "GITHUB_TOKEN", "MY_PASSWD")  # fmt: skip
    kept = ("TOKENIZERS_PARALLELISM", "RLHF_DEMO_RUNS", "OMP_WAIT_POLICY", "HF_HOME")
    for name in (*hidden, *kept, "HF_TOKEN"):
        monkeypatch.setenv(name, "x")
    fake.scripts["ppo"] = (
        BEGIN + "(run.folder / 'seen').write_text(' '.join(os.environ))\n" + PATIENT
    )
    jobs = new_jobs()
    run_id = start(jobs, policy=policy)
    wait_for(jobs, run_id, Status.RUNNING)
    seen = set((jobs.find(run_id).folder / "seen").read_text().split())
    assert not seen & set(hidden) and set(kept) <= seen and "PATH" in seen
    assert ("HF_TOKEN" in seen) is sees


# -- time ------------------------------------------------------------------------------------------


def test_clock_that_is_set_forward_a_day_stops_no_run(new_jobs, monkeypatch):
    jobs = new_jobs(limits=Limits(most_minutes=5))
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 86_400)
    time.sleep(0.2)  # ten looks of the scheduler
    assert row(jobs, run_id)["message"] == ""
    jobs.stop(run_id, "ann")
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    wait_for(jobs, run_id, Status.STOPPED)
