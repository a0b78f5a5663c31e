"""The scheduler: which job it starts next, and how it survives errors."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import logging
import time

import pytest

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import processes, scheduler
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import QUICK, REFUSING, fake, jobs, new_jobs, row, start, wait_for, wait_until


@pytest.fixture
def idle(new_jobs):
    """An app that starts nothing."""
    return new_jobs(scheduling=False)


def test_queued_jobs_run_one_at_a_time_in_the_order_of_asking(jobs, fake):
    first = start(jobs)
    wait_for(jobs, first, Status.RUNNING)
    second, third = start(jobs, "reward"), start(jobs, "pairs")
    assert (row(jobs, second)["place"], row(jobs, third)["place"]) == (1, 2)
    assert row(jobs, third)["status"] == "queued"
    assert fake.started == [first]
    jobs.stop(first, "ann")
    wait_for(jobs, third, Status.FINISHED)
    assert fake.started == [first, second, third]


def test_two_jobs_run_together_where_two_are_allowed(new_jobs):
    jobs = new_jobs(at_once=2)
    first, second, third = (start(jobs) for _ in range(3))
    wait_for(jobs, first, Status.RUNNING)
    wait_for(jobs, second, Status.RUNNING)
    assert row(jobs, third)["place"] == 1


def test_chain_of_jobs_runs_in_its_order_though_two_may_run_together(new_jobs, fake):
    jobs = new_jobs(at_once=2)
    first = start(jobs)
    second = start(jobs, "reward", after=first)
    third = start(jobs, "reward", after=second)
    other = start(jobs, "pairs")
    wait_for(jobs, other, Status.FINISHED)  # what needs nothing goes past what waits
    assert fake.started == [first, other]
    fake.scripts["ppo"] = QUICK
    jobs.stop(first, "ann")
    for run_id in (second, third):
        wait_for(jobs, run_id, Status.FAILED)
    assert row(jobs, second)["message"] == (
        f"not started because it needs {first}, which was stopped: resume that run first"
    )
    assert f"it needs {second}, which failed" in row(jobs, third)["message"]
    wait_until(lambda: row(jobs, first)["status"] == "stopped")
    for run_id in (first, second, third):
        jobs.resume(run_id, "ann")
    wait_for(jobs, third, Status.FINISHED)
    assert fake.started == [first, other, first, second, third]


def test_job_after_one_that_failed_or_is_not_there_is_refused(jobs, fake):
    fake.scripts["ppo"] = REFUSING
    failed = start(jobs)
    wait_for(jobs, failed, Status.FAILED)
    with pytest.raises(JobError, match="has not finished: resume it first"):
        start(jobs, "reward", after=failed)
    with pytest.raises(JobError, match="there is no run 'pairs-abcdef'"):
        start(jobs, "reward", after="pairs-abcdef")


def test_job_whose_predecessor_disappears_is_failed(new_jobs, tmp_path):
    patient = new_jobs(scheduling=False)
    first = start(patient)
    second = start(patient, after=first)
    (tmp_path / "runs" / first / "config.json").unlink()
    jobs = new_jobs()
    wait_for(jobs, second, Status.FAILED)
    assert f"it needs {first}, which is gone" in row(jobs, second)["message"]


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


def test_job_whose_files_cannot_be_changed_is_told_once_and_the_others_go_on(
    new_jobs, monkeypatch, caplog
):
    finish = scheduler.finish
    jobs = new_jobs(scheduling=False)
    stuck = start(jobs)
    jobs.stop(stuck, "ann")
    folder = jobs.find(stuck).folder
    Run(folder).set_status(Status.RUNNING, pid=2**22 + 1)  # beyond the highest process number
    assert row(jobs, stuck)["status"] == "failed"

    def full(job, *rest):
        if job.id == stuck:
            raise OSError(28, "No space left on device")
        return finish(job, *rest)

    monkeypatch.setattr(scheduler, "finish", full)
    with caplog.at_level(logging.WARNING, "rlhf_demo"):
        running = new_jobs()
        for _ in range(2):
            other = start(running, "reward")
            wait_for(running, other, Status.FINISHED)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"the files of {stuck} cannot be changed: [Errno 28] No space left on device"]


def test_scheduler_goes_on_after_mistakes_of_its_own(new_jobs, caplog, monkeypatch):
    mistakes = [KeyError("oops"), IndexError("oops"), KeyError("oops")]
    reap = processes.reap

    def mistaken():
        if mistakes:
            raise mistakes.pop()
        reap()

    monkeypatch.setattr(processes, "reap", mistaken)
    jobs = new_jobs()
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    assert caplog.text.count("scheduler tick failed") == 1  # and no more for a minute


@pytest.mark.parametrize("kind", ["base", "rater"])
def test_copied_run_of_a_kind_that_no_page_starts_leaves_the_line_to_others(idle, new_jobs, kind):
    copied = idle.find(start(idle)).folder
    options = STAGES[kind].config().to_dict()
    config = read_json(copied / "config.json") | {"kind": kind, "options": options}
    write_json(copied / "config.json", config)
    sound = start(idle, "reward")
    new_jobs()
    wait_for(idle, sound, Status.FINISHED)
    assert row(idle, copied.name)["status"] == "stopped"
    with pytest.raises(JobError, match="was made on the command line: resume it there"):
        idle.resume(copied.name, "ann")


def test_error_that_nobody_expects_of_one_run_is_logged_once_and_the_line_goes_on(
    idle, new_jobs, fake, caplog
):
    odd, sound = start(idle, "ppo"), start(idle, "reward")

    def command(kind, folder):
        if folder.name == odd:
            raise ZeroDivisionError("what nobody thinks of")
        return fake(kind, folder)

    jobs = new_jobs(command=command)
    wait_for(jobs, sound, Status.FINISHED)
    another = start(jobs, "reward")
    wait_for(jobs, another, Status.FINISHED)
    logged = [record for record in caplog.records if odd in record.getMessage()]
    assert len(logged) == 1 and logged[0].exc_info[0] is ZeroDivisionError
