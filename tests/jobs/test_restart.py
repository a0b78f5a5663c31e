"""Jobs outlive the app that started them, and the next app finds them."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import os
import signal
import subprocess
import sys

import pytest

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import processes
from rlhf_demo.jobs.job import JobFolders, finish
from rlhf_demo.jobs.processes import training_command
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import (
    PATIENT,
    QUICK,
    SLOW_TO_BEGIN,
    fake,
    is_gone,
    new_jobs,
    row,
    start,
    wait_for,
    wait_until,
)

APP = """
import sys, time
from pathlib import Path
from rlhf_demo.jobs import scheduler
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.jobs.job import JobFolders
from rlhf_demo.jobs.job import finish
from rlhf_demo.jobs.queue import Jobs
scheduler.TICK_SECONDS = 0.02
script = sys.argv[2]
jobs = Jobs(Path(sys.argv[1]), command=lambda kind, folder: [sys.executable, "-c", script, str(folder)])
jobs.open()
print(jobs.start("ppo", PPOConfig(), title="", secret="ann"), flush=True)
time.sleep(60)
"""  # noqa: E501


@pytest.fixture
def killed_app(tmp_path):
    """Run an app of its own until its job has started, then kill it; give the job's id."""

    def run(script, until):
        root = tmp_path / "runs"
        app = subprocess.Popen(
            [sys.executable, "-c", APP, str(root), script], stdout=subprocess.PIPE, text=True
        )
        run_id = app.stdout.readline().strip()
        wait_until(lambda: until(root / run_id))
        app.kill()
        app.communicate()
        return run_id

    return run


def has_started(folder):
    return "handle" in read_json(folder / "job.json")


def is_running(folder):
    return has_started(folder) and Run(folder).status["status"] == Status.RUNNING


def test_killed_app_leaves_its_job_running_and_the_next_app_finds_and_stops_it(
    killed_app, new_jobs, fake
):
    run_id = killed_app(PATIENT, is_running)
    jobs = new_jobs()
    waiting = start(jobs, "reward")
    assert row(jobs, run_id)["status"] == "running"
    assert row(jobs, waiting)["place"] == 1 and fake.started == []
    jobs.stop(run_id, "ann")
    wait_for(jobs, waiting, Status.FINISHED)
    assert row(jobs, run_id)["status"] == "stopped"
    assert fake.started == [waiting]


def test_job_whose_app_died_before_it_recorded_is_not_started_twice(killed_app, new_jobs, fake):
    run_id = killed_app(SLOW_TO_BEGIN, has_started)
    jobs = new_jobs()
    assert row(jobs, run_id)["status"] == "running"
    (jobs.find(run_id).folder / "go").touch()
    wait_for(jobs, run_id, Status.RUNNING)
    jobs.stop(run_id, "ann")
    wait_for(jobs, run_id, Status.STOPPED)
    assert fake.started == []


def test_job_that_died_while_no_app_was_there_is_failed_and_resumes(killed_app, new_jobs, fake):
    run_id = killed_app(PATIENT, is_running)
    pid = int(read_json(new_jobs(scheduling=False).find(run_id).folder / "job.json")["handle"])
    os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    jobs = new_jobs()
    status = jobs.find(run_id).folder / "status.json"
    wait_until(lambda: read_json(status)["status"] == Status.FAILED)
    assert "outlived the app that started it" in row(jobs, run_id)["message"]
    fake.scripts["ppo"] = QUICK
    jobs.resume(run_id, "ann")
    wait_for(jobs, run_id, Status.FINISHED)


@pytest.mark.parametrize(
    "script",
    ["echo $$; exec -a RUN sleep 60", "sleep 60 & echo $!"],  # and a group without a head
)
def test_number_of_a_strangers_process_that_names_the_run_does_not_keep_a_job_alive(
    new_jobs, script
):
    jobs = new_jobs(scheduling=False)
    folder = jobs.find(start(jobs)).folder
    command = ["bash", "-c", script.replace("RUN", folder.name)]
    stranger = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    sleeper = int(stranger.stdout.readline())
    if sleeper != stranger.pid:
        stranger.wait()
    record = read_json(folder / "job.json")
    write_json(folder / "job.json", record | {"started_pid": stranger.pid})
    write_json(folder / "stopping.json", {"asked_at": 0, "message": "", "pid": stranger.pid})
    new_jobs()
    wait_for(jobs, folder.name, Status.STOPPED)
    assert not is_gone(sleeper)
    os.kill(sleeper, signal.SIGKILL)
    stranger.communicate()


def test_two_apps_on_one_folder_start_each_job_once_and_the_second_takes_over(
    new_jobs, fake, tmp_path
):
    first = Jobs(tmp_path / "runs", command=fake)
    first.open()
    runs = [start(first, "reward")]
    wait_for(first, runs[0], Status.FINISHED)
    second = new_jobs()
    runs += [start(app, "reward") for app in (first, second, first)]
    for run_id in runs:
        wait_for(second, run_id, Status.FINISHED)
    assert fake.started == runs
    first.close()
    last = start(second, "reward")
    wait_for(second, last, Status.FINISHED)
    assert fake.started == [*runs, last]


def test_app_that_looked_before_another_one_acted_changes_nothing(new_jobs, fake, tmp_path):
    jobs = new_jobs(scheduling=False)
    run_id = start(jobs)
    folders = JobFolders(tmp_path / "runs")
    seen = folders.job(run_id)
    jobs.stop(run_id, "ann")
    assert not finish(seen, Status.FAILED, "too late")
    seen = folders.job(run_id)
    jobs.resume(run_id, "ann")
    assert not finish(seen, Status.FAILED, "too late")
    seen = folders.job(run_id)
    with seen.run.recording():
        assert not finish(seen, Status.FAILED, "while it runs")
    assert row(jobs, run_id)["status"] == "finished"


def test_copied_folder_that_waits_and_names_a_python_function_runs_none_of_it(
    new_jobs, tmp_path, monkeypatch
):
    (tmp_path / "sent.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nscore = len\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jobs = new_jobs(command=training_command)
    options = PairsConfig(rater="sent:score")
    run_id = jobs.start("pairs", options, title="", secret="ann")
    wait_until(lambda: jobs.find(run_id).status["status"] == Status.FAILED, 120)
    assert not (tmp_path / "ran").exists()
    told = row(jobs, run_id)["message"]
    assert told.startswith("sent:score is a Python function, which only the command line runs")
