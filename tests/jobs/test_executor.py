"""The seam between jobs and what runs them: an executor that is not this machine's."""

import itertools
import subprocess

import pytest

from rlhf_demo.files import read_json
from rlhf_demo.runs.run import Status
from tests.fake_jobs import PATIENT, QUICK, fake, new_jobs, row, start, wait_for, wait_until  # noqa: F401  (some are fixtures)


class Elsewhere:
    """An executor whose jobs are known by names, and whose numbers mean nothing to the app."""

    def __init__(self):
        self.numbers, self.jobs, self.stops = itertools.count(1), {}, []

    def start(self, command, folder, *, hub=False):
        name = f"node-b/{next(self.numbers)}"
        with open(folder / "job.log", "ab") as log:
            self.jobs[name] = subprocess.Popen(command, stdout=log, stderr=log), folder
        return name

    def handle_of(self, pid):
        return None

    def alive(self, handle, folder):
        job, of = self.jobs.get(handle, (None, None))
        return job is not None and of == folder and job.poll() is None

    def stop(self, handle, folder, *, hard):
        self.stops.append((handle, hard))
        self.jobs[handle][0].send_signal(9 if hard else 15)

    def exit_code(self, handle):
        return self.jobs[handle][0].poll() if handle in self.jobs else None

    def memory(self, handle):
        return 1.0

    def log_end(self, folder):
        return (folder / "job.log").read_text() if (folder / "job.log").is_file() else ""

    def refresh(self):
        pass


@pytest.fixture
def elsewhere():
    executor = Elsewhere()
    yield executor
    for job, _ in executor.jobs.values():
        job.kill()
        job.wait()


def handle_in(jobs, run):
    return read_json(jobs.find(run).folder / "job.json").get("handle")


def test_job_of_another_executor_runs_to_its_end(new_jobs, fake, elsewhere):  # noqa: F811
    fake.scripts["ppo"] = QUICK
    jobs = new_jobs(executor=elsewhere)
    run = start(jobs)
    wait_for(jobs, run, Status.FINISHED)
    assert handle_in(jobs, run) == "node-b/1" and elsewhere.stops == []


def test_job_of_another_executor_is_stopped_and_resumed(new_jobs, fake, elsewhere):  # noqa: F811
    fake.scripts["ppo"] = PATIENT
    jobs = new_jobs(executor=elsewhere)
    run = start(jobs)
    wait_for(jobs, run, Status.RUNNING)
    jobs.stop(run, "ann")
    wait_for(jobs, run, Status.STOPPED)
    wait_until(lambda: not (jobs.find(run).folder / "stopping.json").exists())
    jobs.resume(run, "ann")
    wait_until(lambda: handle_in(jobs, run) == "node-b/2")
    wait_for(jobs, run, Status.RUNNING)


def test_why_a_job_of_another_executor_died_is_asked_of_it(new_jobs, fake, elsewhere):  # noqa: F811
    fake.scripts["ppo"] = "import sys; print('error: no such model'); sys.exit(2)"
    jobs = new_jobs(executor=elsewhere)
    run = start(jobs)
    wait_for(jobs, run, Status.FAILED)
    assert "no such model" in row(jobs, run)["message"]
    assert "no such model" in jobs.log_tail(run)
