"""Jobs: accidents of real processes, told apart and told in words."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import errno
import os
import signal

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.processes import PROC
from rlhf_demo.runs.run import Status
from tests.fake_jobs import (
    FAILING,
    QUICK,
    REFUSING,
    SLOW_TO_BEGIN,
    STUBBORN,
    fake,
    grandchild,
    is_gone,
    jobs,
    new_jobs,
    row,
    start,
    started_pid,
    wait_for,
    wait_until,
)

# -- running ---------------------------------------------------------------------------------------


def test_started_job_runs_in_a_session_of_its_own_with_low_priority_and_finishes(jobs, fake):
    run_id = start(jobs, title="My \u202e first\n\trun " + "x" * 80)
    wait_for(jobs, run_id, Status.RUNNING)
    pid = started_pid(jobs, run_id)
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10
    assert row(jobs, run_id)["title"] == "My first run " + "x" * 47  # 13 + 47 = 60
    fake.scripts["reward"] = QUICK
    other = start(jobs, "reward")
    jobs.stop(run_id, "ann")
    wait_for(jobs, other, Status.FINISHED)
    shown = row(jobs, other)
    assert shown["title"] == "Reward model"
    assert shown["status"] == "finished" and shown["ended_at"] and shown["place"] is None
    assert shown["figures"] == {"step": 1, "time/step_seconds": 0.5}
    wait_until(lambda: not (PROC / str(started_pid(jobs, other))).exists())  # not even a zombie


# -- dying -----------------------------------------------------------------------------------------


def test_killed_child_is_failed_with_the_signal(jobs):
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    os.kill(started_pid(jobs, run_id), signal.SIGTERM)
    wait_until(lambda: row(jobs, run_id)["message"].startswith("killed by signal 15 (SIGTERM)"))
    wait_until(lambda: jobs.find(run_id).status.get("message", "").startswith("killed by signal"))
    assert row(jobs, run_id)["status"] == "failed"


def test_killed_child_takes_what_it_started_with_it(jobs, fake):
    fake.scripts["ppo"] = STUBBORN
    run_id = start(jobs)
    other = grandchild(jobs, run_id)
    os.kill(started_pid(jobs, run_id), signal.SIGKILL)
    wait_for(jobs, run_id, Status.FAILED)
    wait_until(lambda: is_gone(other))


def test_error_of_the_command_is_the_message(jobs, fake):
    fake.scripts["ppo"] = REFUSING
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.FAILED)
    assert row(jobs, run_id)["message"] == "there is no model gpt3: choose another"
    assert jobs.log_tail(run_id) == "error: there is no model gpt3: choose another"


@pytest.mark.parametrize(
    "error, sentence",
    [
        ("MemoryError", "out of memory: choose a smaller batch"),
        ("OSError(28, 'No space left on device')", "the disk is full: delete runs"),
        ("ImportError('no trl')", "ImportError: no trl"),
    ],
)
def test_error_that_the_trainer_reported_is_told_in_words_if_we_have_any(
    jobs, fake, error, sentence
):
    fake.scripts["ppo"] = FAILING.replace("ERROR", error)
    run_id = start(jobs)
    wait_until(lambda: row(jobs, run_id)["message"].startswith(sentence))
    assert error.partition("(")[0] in jobs.log_tail(run_id)
    assert len(jobs.log_tail(run_id, lines=2).splitlines()) == 2


def test_command_that_cannot_be_started_is_failed(new_jobs):
    jobs = new_jobs(command=lambda kind, folder: ["/no/such/program", str(folder)])
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.FAILED)
    assert "could not be started (No such file or directory)" in row(jobs, run_id)["message"]


# -- stopping --------------------------------------------------------------------------------------


def test_stop_asks_and_the_child_saves_and_ends(jobs):
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    jobs.stop(run_id, "ann")
    wait_until(lambda: row(jobs, run_id)["status"] == "stopped")
    folder = jobs.find(run_id).folder
    assert row(jobs, run_id)["message"].startswith("stopped on request")
    assert not (folder / "stop").exists() and not (folder / "stopping.json").exists()
    with pytest.raises(JobError, match="is stopped: there is nothing to stop"):
        jobs.stop(run_id, "ann")


def test_stop_that_is_asked_again_reads_no_run_again(new_jobs, fake, monkeypatch):
    """A visitor who asked without pause had all runs read anew for each list of each page."""
    jobs = new_jobs(ask_seconds=60)
    fake.scripts["ppo"] = STUBBORN
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    jobs.stop(run_id, "ann")
    read = []
    monkeypatch.setattr(jobs, "_changed", lambda: read.append(1))
    for _ in range(3):
        jobs.stop(run_id, "ann")
    assert read == []


def test_stop_of_a_child_that_ignores_sigterm_kills_it_and_its_grandchild(new_jobs, fake):
    jobs = new_jobs(ask_seconds=1.0, term_seconds=0.1)
    fake.scripts["ppo"] = STUBBORN
    run_id = start(jobs)
    other = grandchild(jobs, run_id)
    jobs.stop(run_id, "ann")
    assert row(jobs, run_id)["status"] == "running"
    assert row(jobs, run_id)["message"].startswith("stopping")
    wait_until(lambda: row(jobs, run_id)["status"] == "stopped")
    assert is_gone(started_pid(jobs, run_id))
    assert is_gone(other)
    assert not jobs.find(run_id).alive()


def test_stop_before_the_child_records_is_not_forgotten_when_it_begins(new_jobs, fake):
    jobs = new_jobs(ask_seconds=60)
    fake.scripts["ppo"] = SLOW_TO_BEGIN
    run_id = start(jobs)
    wait_until(lambda: row(jobs, run_id)["message"].startswith("starting"))
    jobs.stop(run_id, "ann")
    (jobs.find(run_id).folder / "go").touch()
    # Recording clears the stop file that it finds; the child ends all the same.
    wait_for(jobs, run_id, Status.STOPPED)


def test_stop_of_a_waiting_job_takes_it_out_at_once(new_jobs, fake):
    jobs = new_jobs(scheduling=False)
    run_id = start(jobs)
    jobs.stop(run_id, "ann")
    assert row(jobs, run_id)["status"] == "stopped"
    assert row(jobs, run_id)["place"] is None


def test_job_over_its_minutes_is_stopped_and_says_so(new_jobs):
    jobs = new_jobs(limits=Limits(most_minutes=0.001))
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.STOPPED)
    wait_until(lambda: "stopped after 0.001 minutes" in row(jobs, run_id)["message"])


def test_stopped_job_resumes_at_the_end_of_the_line(jobs, fake):
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    with pytest.raises(JobError, match="only a stopped or failed run can be resumed"):
        jobs.resume(run_id, "ann")
    jobs.stop(run_id, "ann")
    wait_until(lambda: row(jobs, run_id)["status"] == "stopped")
    fake.scripts["ppo"] = QUICK
    jobs.resume(run_id, "ann")
    wait_for(jobs, run_id, Status.FINISHED)


# -- deleting --------------------------------------------------------------------------------------


def test_delete_refuses_what_runs_or_is_needed(new_jobs, fake, tmp_path):
    jobs = new_jobs()
    needed = start(jobs, "pairs")
    wait_for(jobs, needed, Status.FINISHED)
    model = start(jobs, "reward")
    wait_for(jobs, model, Status.FINISHED)
    running = start(jobs)
    wait_for(jobs, running, Status.RUNNING)
    waiting = start(jobs, "reward", after=needed)
    uses = start(jobs, reward=str(tmp_path / "runs" / model / "model"))
    with pytest.raises(JobError, match="is still running: stop it before you delete it"):
        jobs.delete(running, "ann")
    for run_id, other in ((needed, waiting), (model, uses)):
        with pytest.raises(JobError, match=f"^{other} needs .*: wait until it has finished"):
            jobs.delete(run_id, "ann")
    assert len(jobs.overview()) == 5


def test_waiting_job_is_deleted_on_a_full_disk_where_it_cannot_be_stopped(new_jobs, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    jobs = new_jobs(scheduling=False)
    run_id = start(jobs)
    monkeypatch.setattr("rlhf_demo.runs.run.write_json", full)
    with pytest.raises(JobError, match=r"^the disk is full: delete runs that are no longer needed"):
        jobs.stop(run_id, "ann")
    jobs.delete(run_id, "ann")
    assert jobs.overview() == []


def test_deleted_run_is_gone_from_the_list_and_the_disk(jobs, tmp_path):
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    jobs.delete(run_id, "ann")
    assert jobs.overview() == []
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {".key", ".scheduler"}
    with pytest.raises(JobError, match="there is no run"):
        jobs.find(run_id)


def test_deleting_that_a_killed_app_began_is_finished_by_the_next(new_jobs, tmp_path):
    leftover = tmp_path / "runs" / ".deleted-ppo-abcdef-1"
    leftover.mkdir(parents=True)
    (leftover / "config.json").write_text("{}")
    jobs = new_jobs()
    assert jobs.overview() == []
    wait_until(lambda: not leftover.exists())


def test_what_a_link_leads_to_stays_where_deleting_is_finished(new_jobs, tmp_path):
    """An archive of a run brought the link; at the next start, all files there were gone."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    (tmp_path / "runs").mkdir()
    for number, place in enumerate((mine, "../mine", ".")):
        (tmp_path / "runs" / f".deleted-{number}").symlink_to(place)
    (tmp_path / "runs" / ".key").write_bytes(bytes(32))
    new_jobs()
    wait_until(lambda: not list((tmp_path / "runs").glob(".deleted-*")))
    assert (mine / "thesis.txt").exists() and (tmp_path / "runs" / ".key").exists()
