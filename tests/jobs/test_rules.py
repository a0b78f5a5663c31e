"""Who may do what with which run, and how much of it."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import pytest

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json
from rlhf_demo.jobs import job as job_module
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.fair_order import start_order
from rlhf_demo.jobs.job import JobFolders
from rlhf_demo.jobs.queue import Order
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import (
    PATIENT,
    fake,
    jobs,
    new_jobs,
    row,
    start,
    start_for_all,
    wait_for,
    wait_until,
)


@pytest.fixture
def idle(new_jobs):
    """An app that starts nothing."""
    return new_jobs(scheduling=False)


# -- owners ----------------------------------------------------------------------------------------


def test_only_the_owner_may_stop_resume_and_delete(idle):
    run_id = start(idle, secret="ann")
    for change in (idle.stop, idle.resume, idle.delete):
        for secret in ("bob", "", "\ud800"):
            with pytest.raises(JobError, match="belongs to someone else"):
                change(run_id, secret)
    assert row(idle, run_id)["status"] == "queued"
    idle.stop(run_id, "ann")
    idle.resume(run_id, "ann")
    idle.stop(run_id, "ann")
    idle.delete(run_id, "ann")


def test_copied_run_that_is_read_only_is_deleted(idle, monkeypatch):
    """Its folders are opened first; what a link leads to is not."""
    run_id = start(idle, secret="ann")
    idle.stop(run_id, "ann")
    folder, outside = idle.find(run_id).folder, idle.find(run_id).folder.parent / "outside"
    (folder / "model" / "inside").mkdir(parents=True)
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    for one in (folder / "model" / "inside", folder / "model", folder, outside):
        one.chmod(0o555)
    modes, remove = [], job_module.remove

    def note(away):
        modes.extend(stat.S_IMODE(one.stat().st_mode) for one in (away, *away.glob("model/**/")))
        remove(away)

    monkeypatch.setattr(job_module, "remove", note)
    idle.delete(run_id, "ann")
    assert modes == [0o700] * 3 and not folder.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o555


@pytest.mark.parametrize("content", [{}, {"config.json": "no run"}])
def test_folder_behind_a_link_in_the_place_of_a_run_stays_as_it_is(new_jobs, tmp_path, content):
    jobs = new_jobs(scheduling=False, start_token="flour")
    site, link = tmp_path / "site", tmp_path / "runs" / "ppo-best"
    (site / "public").mkdir(parents=True)
    for name, text in ({"status.json": "{}"} | content).items():
        (site / name).write_text(text)
    for folder in (site, site / "public"):
        folder.chmod(0o755)
    link.symlink_to(site)
    os.utime(site, (0, 0))  # or it might be a run that begins
    jobs.delete("ppo-best", "flour")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (site, site / "public")] == [0o755] * 2
    assert [one.name for one in link.parent.iterdir() if "ppo-best" in one.name] == []


def test_secret_is_kept_as_a_hash_only_and_never_listed(idle):
    run_id = start(idle, secret="ann-likes-tea")
    folder = idle.find(run_id).folder
    assert not any("ann-likes-tea" in path.read_text() for path in folder.iterdir())
    owner = read_json(folder / "job.json")["owner"]
    assert len(owner) == 64 and owner not in json.dumps(idle.overview())


def test_instructors_token_changes_everything_and_its_hash_is_not_kept(new_jobs):
    jobs = new_jobs(scheduling=False, instructor_token="chalk")
    anns, own = start(jobs, secret="ann"), start(jobs, secret="chalk")
    assert jobs.may_change(anns, "chalk") and jobs.may_change(own, "chalk")
    assert not jobs.may_change(own, "ann") and not jobs.may_change(own, "")
    assert read_json(jobs.find(own).folder / "job.json")["owner"] is None


def test_run_without_a_secret_is_started_for_a_class_only(new_jobs):
    jobs = new_jobs(scheduling=False, instructor_token="chalk", start_token="flour")
    with pytest.raises(JobError, match=r"^this request has no secret: reload the page$"):
        start(jobs, secret="")
    assert jobs.overview() == []
    start(jobs, secret="", first=True)


def test_note_tells_a_visitors_run_from_all_others(new_jobs, tmp_path):
    jobs = new_jobs(scheduling=False, instructor_token="chalk", start_token="flour")
    Run.create(tmp_path / "runs" / "my-ppo", "ppo", {"total_steps": 4}).set_status(Status.STOPPED)
    jobs.resume("my-ppo", "flour")
    anns, taught = start(jobs, secret="ann"), start(jobs, secret="chalk")
    of_class = start(jobs, secret="ann", first=True)
    folders = JobFolders(tmp_path / "runs")
    for run_id, visitor in [(anns, True), (taught, False), (of_class, False), ("my-ppo", False)]:
        job = folders.job(run_id)
        assert (job.record["visitor"], job.visitors) == (visitor, visitor)


def test_run_of_an_experiment_is_marked_unless_its_folder_was_copied(new_jobs, tmp_path):
    jobs = new_jobs(scheduling=False)
    (marked,), plain = start_for_all(jobs, "ppo"), start(jobs)
    assert (row(jobs, marked)["experiment"], row(jobs, plain)["experiment"]) == ("no-kl", "")
    shutil.copytree(tmp_path / "runs" / marked, tmp_path / "runs" / "copied")
    assert row(jobs, "copied")["experiment"] == ""


def test_run_of_the_command_line_is_changed_with_this_starts_token_only(new_jobs, tmp_path):
    Run.create(tmp_path / "runs" / "my-ppo", "ppo", {"total_steps": 4})
    away, home = new_jobs(scheduling=False), new_jobs(scheduling=False, start_token="flour")
    assert not any(away.may_change("my-ppo", secret) for secret in ("", "None", "flour"))
    assert [home.may_change("my-ppo", secret) for secret in ("flour", "", "ann")] == [
        True, False, False,
    ]  # fmt: skip
    anns = start(home, secret="ann")
    assert not home.may_change(anns, "flour")


# -- limits ----------------------------------------------------------------------------------------


def test_limits_refuse_in_one_sentence_and_do_not_bind_the_instructor(new_jobs):
    limits = Limits(most_steps=100, most_minutes=5, most_waiting=3, most_waiting_each=2)
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="chalk")
    with pytest.raises(JobError, match=r"^101 steps are too many here: choose 100 or fewer$"):
        start(jobs, secret="ann", total_steps=101)
    first = start(jobs, secret="ann", total_steps=100)
    start(jobs, secret="ann")
    with pytest.raises(JobError, match=r"^2 of your runs are already waiting: try again"):
        start(jobs, "reward", secret="ann", train_pairs=64)
    start(jobs, secret="bob")
    with pytest.raises(
        JobError, match=r"^3 runs are already waiting: try again when one has finished$"
    ):
        start(jobs, secret="bob")
    jobs.stop(first, "ann")
    start(jobs, secret="cid")
    with pytest.raises(JobError, match="3 runs are already waiting"):
        jobs.resume(first, "ann")
    own = start(jobs, secret="chalk", total_steps=1000)
    minutes = {
        run_id: read_json(jobs.find(run_id).folder / "job.json")["most_minutes"]
        for run_id in (first, own)
    }
    assert minutes == {first: 5, own: None}


def test_limit_of_steps_binds_reward_models_too(new_jobs):
    jobs = new_jobs(scheduling=False, limits=Limits(most_steps=100))
    # 2 passes over 402 pairs, 8 at a time: 2 * ceil(50.25) = 102 steps.
    with pytest.raises(JobError, match="102 steps are too many here"):
        start(jobs, "reward", train_pairs=402, epochs=2, batch_size=8)
    start(jobs, "reward", train_pairs=400, epochs=2, batch_size=8)


def test_unknown_kind_is_refused(idle):
    with pytest.raises(JobError, match="'base' cannot be started here: choose one of pairs"):
        idle.start("base", PairsConfig(), title="", secret="ann")


# -- runs of others --------------------------------------------------------------------------------


def test_run_of_the_command_line_is_shown_live_waited_for_and_stopped(new_jobs, fake, tmp_path):
    jobs = new_jobs(start_token="flour")
    run = Run.create(tmp_path / "runs" / "my-ppo", "ppo", {"total_steps": 4})
    assert row(jobs, "my-ppo")["status"] == "queued" and row(jobs, "my-ppo")["place"] is None
    # In this test's process group, as a script would start it.
    command = subprocess.Popen([sys.executable, "-c", PATIENT, str(run.folder)])
    wait_for(jobs, "my-ppo", Status.RUNNING)
    waiting = start(jobs, "reward")
    assert row(jobs, waiting)["place"] == 1
    jobs.stop("my-ppo", "flour")
    assert command.wait(timeout=15) == 0
    wait_for(jobs, waiting, Status.FINISHED)
    assert fake.started == [waiting]
    jobs.resume("my-ppo", "flour")
    wait_for(jobs, "my-ppo", Status.RUNNING)
    assert fake.started == [waiting, "my-ppo"]


def test_stubborn_command_of_a_terminal_is_ended_alone_not_with_its_group(new_jobs, tmp_path):
    jobs = new_jobs(ask_seconds=0, term_seconds=10, start_token="flour")
    run = Run.create(tmp_path / "runs" / "my-ppo", "ppo", {})
    deaf = PATIENT.replace("run.check_stop()", "pass")
    named = ["--run-dir", os.path.relpath(run.folder)]  # as seen from where it runs
    command = subprocess.Popen([sys.executable, "-c", deaf, str(run.folder), *named])
    wait_for(jobs, "my-ppo", Status.RUNNING)
    jobs.stop("my-ppo", "flour")
    assert command.wait(timeout=15) == -signal.SIGTERM  # and this process, of the same group, lives
    wait_until(lambda: row(jobs, "my-ppo")["status"] == "stopped")


def test_kind_that_only_the_command_line_starts_is_not_resumed_here(new_jobs, tmp_path):
    jobs = new_jobs(scheduling=False, start_token="flour")
    run = Run.create(tmp_path / "runs" / "my-base", "base", {})
    run.set_status(Status.STOPPED)
    with pytest.raises(JobError, match="was made on the command line: resume it there"):
        jobs.resume("my-base", "flour")


def test_run_for_all_visitors_belongs_to_none_of_them_but_waits_as_any_other(new_jobs):
    limits = Limits(starts_address=(60, 0.1), most_waiting=3)
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    shared = [*start_for_all(jobs, "rloo"), *start_for_all(jobs, "reward", "ppo")]
    anns = start(jobs, secret="ann", address="there")
    for run_id in shared:
        for change in (jobs.stop, jobs.delete):
            with pytest.raises(JobError, match="belongs to someone else"):
                change(run_id, "ann")
    # Nobody has more places in the full queue than nobody, so the last of theirs makes room.
    bobs = start(jobs, secret="bob", address="here")
    assert [row(jobs, run)["status"] for run in shared] == ["queued", "stopped", "stopped"]
    assert row(jobs, shared[2])["message"] == (
        "removed from a full queue, because another visitor had fewer runs there"
    )
    waiting = [job.id for job in start_order(jobs._folders.own())]
    assert waiting == [shared[0], anns, bobs]
    jobs.stop(shared[0], "token")
    jobs.delete(shared[0], "token")


def test_runs_in_turn_take_one_place_and_leave_a_full_queue_together(new_jobs):
    limits = Limits(
        starts_address=(60, 0.1), most_waiting=4, most_waiting_each=3, most_waiting_address=6
    )
    jobs = new_jobs(scheduling=False, limits=limits)
    orders = [
        lambda _: Order("reward", RewardConfig(), ""),
        lambda _: Order("ppo", PPOConfig(), ""),
    ]

    def start_loop(name):
        return jobs.start_in_turn(orders, secret=name, address=name)

    def waiting():
        return {one["id"] for one in jobs.overview() if one["status"] == "queued"}

    anns = [start_loop("ann") for _ in range(3)]
    with pytest.raises(JobError, match="3 of your runs are already waiting"):
        start_loop("ann")
    bobs = start_loop("bob")
    assert waiting() == {run for loop in (*anns, bobs) for run in loop}
    eves = start_loop("eve")
    assert waiting() == {run for loop in (*anns[:2], bobs, eves) for run in loop}
    dans = start_loop("dan")
    assert waiting() == {run for loop in (anns[0], bobs, eves, dans) for run in loop}
    with pytest.raises(JobError, match="8 runs are already waiting"):
        start_loop("zoe")
    assert waiting() == {run for loop in (anns[0], bobs, eves, dans) for run in loop}


def test_instructors_runs_leave_no_full_queue_and_are_nobodys_no_more_than_experiments(new_jobs):
    limits = Limits(starts_address=(60, 0.1), most_waiting=3)
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    teachers = [start(jobs, secret="token", address="desk") for _ in range(2)]
    start_for_all(jobs, "reward", "ppo")
    with pytest.raises(JobError, match="4 runs are already waiting"):
        start(jobs, secret="bob", address="here")
    assert [row(jobs, run)["status"] for run in teachers] == ["queued", "queued"]


def test_runs_for_all_displace_one_another_never(new_jobs):
    limits = Limits(starts_address=(60, 0.1), most_waiting=3, most_waiting_each=1)
    jobs = new_jobs(scheduling=False, limits=limits)
    for _ in range(3):
        start_for_all(jobs, "reward", "ppo")
    before = jobs.overview()
    with pytest.raises(JobError, match="6 runs are already waiting"):
        start_for_all(jobs, "reward", "ppo", secret="bob", address="here")
    assert jobs.overview() == before


def test_run_for_all_on_ones_own_machine_is_its_owners(idle):
    (run_id,) = start_for_all(idle, "ppo")
    idle.stop(run_id, "ann")


def test_first_run_does_not_stay_if_the_second_cannot_be_written(idle, monkeypatch):
    create = Run.create
    full = OSError(errno.ENOSPC, "No space left on device")

    def create_one(folder, kind, options):
        if kind == "ppo":
            raise full
        return create(folder, kind, options)

    monkeypatch.setattr(Run, "create", create_one)
    with pytest.raises(JobError, match="the disk is full"):
        start_for_all(idle, "reward", "ppo")
    assert idle.overview() == []
    assert list(idle._folders.root.glob("*-*")) == []


# -- what is broken --------------------------------------------------------------------------------


def test_overview_is_made_once_for_all_who_ask_together(idle, monkeypatch):
    start(idle)
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 60)
    first = idle.overview()
    assert idle.overview() is first
    start(idle)
    assert len(idle.overview()) == 2  # the app's own changes show at once


def test_overview_does_not_wait_for_a_change(idle):
    """Changes read and write many files, and every open page asks for the list."""
    start(idle)
    with idle._mutex:  # as `start`, `resume` and `delete` hold it
        asking = threading.Thread(target=idle.overview)
        asking.start()
        asking.join(10)
        assert not asking.is_alive()


def test_change_during_the_reading_of_the_overview_shows_at_once(idle, monkeypatch):
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 60)
    read = idle._folders.all

    def changing():
        jobs = read()
        monkeypatch.setattr(idle._folders, "all", read)
        start(idle)
        return jobs

    monkeypatch.setattr(idle._folders, "all", changing)
    assert len(idle.overview()) == 0
    assert len(idle.overview()) == 1
