"""Who may do what with which run, and how much of it."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import json
import logging
import os
import signal
import subprocess
import sys

import pytest

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import processes, scheduler
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.disk import megabytes
from rlhf_demo.jobs.job import JobFolders
from rlhf_demo.jobs.processes import training_command
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import (
    PATIENT,
    fake,
    jobs,
    new_jobs,
    row,
    start,
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
        assert (job.note["visitor"], job.visitors) == (visitor, visitor)


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
    with pytest.raises(JobError, match=r"^2 of your jobs are already waiting: try again"):
        start(jobs, "reward", secret="ann", train_pairs=64)
    start(jobs, secret="bob")
    with pytest.raises(
        JobError, match=r"^3 jobs are already waiting: try again when one has finished$"
    ):
        start(jobs, secret="bob")
    jobs.stop(first, "ann")
    start(jobs, secret="cid")
    with pytest.raises(JobError, match="3 jobs are already waiting"):
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


# -- ids and titles --------------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", ["../x", "..", ".", "", "/etc", "a/b", ".hidden", "ppo-aaaaaa"])
def test_id_that_is_no_run_or_leads_elsewhere_is_refused(idle, tmp_path, run_id):
    Run.create(tmp_path / "x", "ppo", {})  # a run beside the root
    Run.create(tmp_path / "runs" / ".hidden", "ppo", {})
    for ask in (idle.find, idle.log_tail, lambda run_id: idle.stop(run_id, "ann")):
        with pytest.raises(JobError, match="there is no run"):
            ask(run_id)


def test_id_tells_the_kind_and_title_falls_back_to_words(idle):
    run_id = start(idle, "reward", title=" \x00\n ")
    assert run_id.startswith("reward-") and len(run_id) == len("reward-") + 6
    assert row(idle, run_id)["title"] == "Reward model"


# -- runs of others --------------------------------------------------------------------------------


def test_examples_are_listed_last_and_cannot_be_changed(new_jobs, tmp_path):
    example = Run.create(tmp_path / "examples" / "ppo", "ppo", {"total_steps": 1})
    with example.recording():
        example.append("metrics", [{"step": 1, "objective/score": 0.5}])
    before = sorted(path.name for path in example.folder.iterdir())
    jobs = new_jobs(examples=tmp_path / "examples", instructor_token="chalk")
    own = start(jobs, "reward")
    wait_for(jobs, own, Status.FINISHED)
    assert [(row["id"], row["example"]) for row in jobs.overview()] == [(own, False), ("ppo", True)]
    assert row(jobs, "ppo")["figures"] == {"step": 1, "objective/score": 0.5}
    assert not jobs.may_change("ppo", "chalk")
    for change in (jobs.stop, jobs.resume, jobs.delete):
        with pytest.raises(JobError, match="ppo is an example: it cannot be changed"):
            change("ppo", "chalk")
    assert sorted(path.name for path in example.folder.iterdir()) == before


def test_newest_runs_stand_first(idle):
    first, second = start(idle), start(idle)
    assert [row["id"] for row in idle.overview()] == [second, first]


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


# -- what is broken --------------------------------------------------------------------------------


def test_damaged_metrics_do_not_hide_the_run(jobs, tmp_path):
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    (tmp_path / "runs" / run_id / "metrics.jsonl").write_text("{\n")
    assert row(jobs, run_id)["figures"] == {} and row(jobs, run_id)["step"] is None


def test_job_whose_files_cannot_be_changed_is_told_once_and_the_others_go_on(
    new_jobs, monkeypatch, caplog
):
    settle = scheduler.settle
    jobs = new_jobs(scheduling=False)
    stuck = start(jobs)
    jobs.stop(stuck, "ann")
    folder = jobs.find(stuck).folder
    Run(folder).set_status(Status.RUNNING, pid=2**22 + 1)  # beyond the highest process number
    assert row(jobs, stuck)["status"] == "failed"

    def full(job, *rest):
        if job.id == stuck:
            raise OSError(28, "No space left on device")
        return settle(job, *rest)

    monkeypatch.setattr(scheduler, "settle", full)
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


def test_overview_is_made_once_for_all_who_ask_together(idle, monkeypatch):
    start(idle)
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 60)
    first = idle.overview()
    assert idle.overview() is first
    start(idle)
    assert len(idle.overview()) == 2  # the app's own changes show at once


def test_training_command_goes_on_in_the_folder_with_the_options_that_lie_there(tmp_path):
    assert training_command("pairs", tmp_path)[1:] == [
        "-m", "rlhf_demo", "make-pairs", "--run-dir", str(tmp_path), "--resume",
    ]  # fmt: skip


# -- one run and the others ------------------------------------------------------------------------


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
