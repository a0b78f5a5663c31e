"""Runs that step back: for a class that waits, and for a machine that is about to be restarted."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import signal
import time

from rlhf_demo.jobs import processes
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.runs.run import Status
from tests.fake_jobs import (
    BEGIN,
    PATIENT,
    QUICK,
    SLOW_TO_BEGIN,
    fake,
    jobs,
    new_jobs,
    row,
    start,
    started_pid,
    wait_for,
    wait_until,
)

# Counts its starts; the second one finishes.
TWICE = (
    BEGIN
    + """
starts = run.folder / "starts"
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
with run.recording():
    while starts.read_text() == ".":
        run.check_stop()
        time.sleep(0.01)
"""
)
DEAF = PATIENT.replace("run.check_stop()", "pass")


def test_running_visitor_saves_for_a_waiting_class_and_goes_on_after_it(jobs, fake):
    fake.scripts["ppo"] = TWICE
    visitors = start(jobs, secret="ann")
    wait_for(jobs, visitors, Status.RUNNING)
    later = start(jobs, "reward", secret="bob")
    of_class = start(jobs, "reward", first=True)
    for run_id in (of_class, visitors, later):
        wait_for(jobs, run_id, Status.FINISHED)
    # Back to its own place: before whoever asked after it.
    assert fake.started == [visitors, of_class, visitors, later]
    assert not (jobs.find(visitors).folder / "stopping.json").exists()


def test_run_that_stepped_back_says_why_it_waits(new_jobs, fake):
    jobs = new_jobs()
    visitors = start(jobs, secret="ann")
    wait_for(jobs, visitors, Status.RUNNING)
    of_class = start(jobs, first=True)
    wait_for(jobs, of_class, Status.RUNNING)
    shown = row(jobs, visitors)
    assert (shown["status"], shown["place"]) == ("queued", 1)
    assert shown["message"] == "a class goes first: this run continues after it"


def test_class_lets_a_class_an_instructor_and_a_second_place_be(new_jobs, fake):
    jobs = new_jobs(at_once=2, instructor_token="token")
    running = [start(jobs, first=True), start(jobs, secret="token")]
    for run_id in running:
        wait_for(jobs, run_id, Status.RUNNING)
    of_class = start(jobs, "reward", first=True)
    time.sleep(0.2)  # ten looks of the scheduler
    assert row(jobs, of_class)["place"] == 1
    assert [row(jobs, run_id)["status"] for run_id in running] == ["running", "running"]


def test_one_visitor_steps_back_for_one_job_of_a_class(new_jobs, fake):
    jobs = new_jobs(at_once=2)
    first, second = start(jobs), start(jobs)
    for run_id in (first, second):
        wait_for(jobs, run_id, Status.RUNNING)
    of_class = start(jobs, first=True)
    wait_for(jobs, of_class, Status.RUNNING)
    assert {row(jobs, first)["status"], row(jobs, second)["status"]} == {"running", "queued"}


def test_owner_who_stops_a_run_that_steps_back_has_it_stopped(new_jobs, fake):
    jobs = new_jobs(ask_seconds=0.5, term_seconds=10)
    fake.scripts["ppo"] = DEAF
    visitors = start(jobs, secret="ann")
    wait_for(jobs, visitors, Status.RUNNING)
    start(jobs, "reward", first=True)
    stopping = jobs.find(visitors).folder / "stopping.json"
    wait_until(stopping.exists)
    jobs.stop(visitors, "ann")
    wait_for(jobs, visitors, Status.STOPPED)
    wait_until(lambda: row(jobs, visitors)["message"].startswith("stopped on request"))


def test_app_that_must_end_saves_its_runs_and_the_next_one_goes_on(new_jobs, fake, tmp_path):
    fake.scripts["ppo"] = TWICE
    app = Jobs(tmp_path / "runs", command=fake)
    app.open()
    run_id = start(app)
    waiting = start(app, "reward")
    wait_for(app, run_id, Status.RUNNING)
    app.close_saving(10)
    assert not app.find(run_id).alive()
    # A next app that starts nothing: what the page says meanwhile can be read.
    idle = new_jobs(at_once=0)
    wait_until(lambda: row(idle, run_id)["message"] == "this page was restarted")
    idle.close()
    jobs = new_jobs()
    for one in (run_id, waiting):
        wait_for(jobs, one, Status.FINISHED)
    assert fake.started == [run_id, run_id, waiting]


def test_run_that_is_too_slow_to_save_goes_on_from_what_it_saved_before(new_jobs, fake, tmp_path):
    fake.scripts["ppo"] = DEAF
    app = Jobs(tmp_path / "runs", command=fake)
    app.open()
    run_id = start(app)
    wait_for(app, run_id, Status.RUNNING)
    began = time.monotonic()
    app.close_saving(0.3)
    assert time.monotonic() - began < 5
    # As a container does when its first process ends.
    processes.send(started_pid(app, run_id), app.find(run_id).folder, signal.SIGKILL)
    fake.scripts["ppo"] = QUICK
    wait_for(new_jobs(), run_id, Status.FINISHED)


def test_run_that_only_begins_ends_with_its_app_and_begins_again_with_the_next(
    new_jobs, fake, tmp_path
):
    """Its trainer is still being imported, so it does not look whether it must stop."""
    fake.scripts["ppo"] = SLOW_TO_BEGIN
    app = Jobs(tmp_path / "runs", command=fake)
    app.open()
    run_id = start(app)
    wait_until(lambda: row(app, run_id)["status"] == "running")
    pid = started_pid(app, run_id)
    began = time.monotonic()
    app.close_saving(20)
    assert time.monotonic() - began < 15
    assert not processes.alive(pid, app.find(run_id).folder)
    fake.scripts["ppo"] = QUICK
    wait_for(new_jobs(), run_id, Status.FINISHED)


def test_second_app_that_is_not_in_charge_leaves_the_runs_alone(jobs, new_jobs, fake):
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    other = Jobs(jobs.find(run_id).folder.parent, command=fake)
    other.open()
    other.close_saving(10)
    assert row(jobs, run_id)["status"] == "running" and jobs.find(run_id).alive()
