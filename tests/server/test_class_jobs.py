"""A class's trainings go before those of visitors, and the instructor can stop all the others."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.runs.run import Status
from tests.fake_jobs import fake, jobs, new_jobs, row, start, wait_for


def test_class_is_trained_before_the_visitors_who_asked_earlier(new_jobs):
    jobs = new_jobs(scheduling=False)
    earlier, later = start(jobs), start(jobs)
    reward = start(jobs, "reward", first=True)
    ppo = start(jobs, first=True)
    assert [row(jobs, one)["place"] for one in (reward, ppo, earlier, later)] == [1, 2, 3, 4]


def test_class_is_not_held_up_by_the_limits_of_visitors(new_jobs):
    limits = Limits(most_steps=100, most_minutes=5, most_waiting=2, most_waiting_each=1)
    jobs = new_jobs(scheduling=False, limits=limits)
    start(jobs, secret="ann")
    start(jobs, secret="bob")
    of_class = start(jobs, secret="class", first=True, total_steps=200)
    assert jobs._folders.job(of_class).record["most_minutes"] is None
    jobs.stop(of_class, "class")
    jobs.resume(of_class, "class")


def test_waiting_class_takes_no_place_from_visitors(new_jobs):
    jobs = new_jobs(scheduling=False, limits=Limits(most_waiting=1))
    start(jobs, secret="class", first=True)
    start(jobs, secret="ann")
    with pytest.raises(JobError, match="1 runs are already waiting"):
        start(jobs, secret="bob")


def test_instructor_stops_all_others_at_once(new_jobs, fake):
    jobs = new_jobs(at_once=2, instructor_token="chalk")
    visitors = start(jobs, secret="ann")
    of_class = start(jobs, secret="class", first=True)
    for running in (visitors, of_class):
        wait_for(jobs, running, Status.RUNNING)
    waiting, kept = start(jobs, secret="bob"), start(jobs, secret="cid")
    with pytest.raises(JobError, match="only the instructor"):
        jobs.stop_others("ann", set())
    assert jobs.stop_others("chalk", {kept}) == 2
    for stopped in (visitors, waiting):
        wait_for(jobs, stopped, Status.STOPPED)
    wait_for(jobs, kept, Status.RUNNING)
    assert row(jobs, of_class)["status"] == "running"
    assert jobs.stop_others("chalk", {kept}) == 0
