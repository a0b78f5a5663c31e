"""A run that waits is started only if this page put it in line; others need a click."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import os
import shutil

import pytest

from rlhf_demo.errors import ConfigError, DataError, JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs import queue
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import (
    BEGIN,
    PATIENT,
    QUICK,
    fake,
    jobs,
    new_jobs,
    row,
    start,
    wait_for,
    wait_until,
)

SENT = {"title": "Sent", "owner": None, "queued_at": 1.0, "after": None}


@pytest.fixture
def idle(new_jobs):
    return new_jobs(scheduling=False, start_token="flour")


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def send(runs, name="sent", **record):
    """Copy a run here that somebody else made."""
    run = Run.create(runs / name, "ppo", {"total_steps": 4, "policy": "evil/huge"})
    write_json(run.folder / "job.json", SENT | record)
    return name


def change(path, **values):
    write_json(path, read_json(path) | values)


def as_copied(runs, idle):
    return send(runs)


def as_signed_elsewhere(runs, idle):
    return send(runs, signature="0" * 64)


def with_an_odd_signature(runs, idle):
    return send(runs, signature="\u00e9")


def as_somebodys(runs, idle):
    return send(runs, owner="0" * 64)


def under_another_name(runs, idle):
    shutil.copytree(idle.find(start(idle)).folder, runs / "ppo-again")
    idle.delete(next(one["id"] for one in idle.overview() if one["id"] != "ppo-again"), "ann")
    return "ppo-again"


def with_another_option(runs, idle):
    run = idle.find(start(idle))
    options = run.config["options"] | {"policy": "evil/huge"}
    change(run.folder / "config.json", options=options)
    return run.folder.name


def with_another_record(runs, idle):
    run = idle.find(start(idle))
    change(run.folder / "job.json", first=True)
    return run.folder.name


def sent_back_in_line(runs, idle):
    name = send(runs)
    change(runs / name / "status.json", status="running", pid=None)
    stopping = {"asked_at": 0.0, "pid": None, "message": "again", "again": True}
    write_json(runs / name / "stopping.json", stopping)
    return name


@pytest.mark.parametrize(
    "bring",
    [as_copied, as_signed_elsewhere, with_an_odd_signature, as_somebodys, under_another_name,
     with_another_option, with_another_record, sent_back_in_line],
)  # fmt: skip
def test_run_that_this_page_did_not_put_in_line_waits_for_a_click(
    idle, runs, new_jobs, fake, bring
):
    sent = bring(runs, idle)
    page = new_jobs(start_token="flour")
    sound = start(page, "reward")
    wait_for(page, sound, Status.FINISHED)
    wait_for(page, sent, Status.QUEUED)
    wait_for(page, start(page, "reward"), Status.FINISHED)
    assert sent not in fake.started
    shown = row(page, sent)
    assert (shown["status"], shown["place"]) == ("stopped", None)
    assert (
        shown["message"] == "copied here, or queued by an earlier version: press Resume to start it"
    )
    page.resume(sent, "flour")
    wait_for(page, sent, Status.RUNNING)
    assert fake.started[-1] == sent


def test_run_that_this_page_put_in_line_is_started_by_the_next_app_too(idle, new_jobs, fake):
    waiting = start(idle, "reward")
    wait_for(new_jobs(), waiting, Status.FINISHED)
    assert fake.started == [waiting]


def test_resuming_checks_what_a_sent_run_names_and_what_it_asks_for(new_jobs, runs):
    page = new_jobs(scheduling=False, start_token="flour", limits=Limits(most_steps=3))
    sent, named = send(runs), []

    def refuse(options):
        named.append(options["policy"])
        raise ConfigError("not in the list")

    with pytest.raises(JobError, match=r"^4 steps are too many here"):
        page.resume(sent, "flour")
    page = new_jobs(scheduling=False, start_token="flour")
    page.check_names = refuse
    with pytest.raises(ConfigError, match=r"^not in the list"):
        page.resume(sent, "flour")
    assert named == ["evil/huge"] and row(page, sent)["status"] == "stopped"
    own = start(page)
    page.stop(own, "ann")
    page.resume(own, "ann")  # its names were checked when it was started


def test_sent_run_belongs_to_whoever_has_the_page_open_at_home(idle, runs):
    sent = send(runs, owner="0" * 64, first=True, visitor=True, most_minutes=9999)
    assert not idle.may_change(sent, "ann") and idle.may_change(sent, "flour")
    idle.resume(sent, "flour")
    record = read_json(runs / sent / "job.json")
    record = {key: record[key] for key in ("title", "owner", "first", "visitor", "most_minutes")}
    assert record == {
        "title": "Sent", "owner": None, "first": False, "visitor": False, "most_minutes": None
    }  # fmt: skip


def test_run_of_an_earlier_version_goes_on_for_its_owner(new_jobs):
    page = new_jobs(scheduling=False)  # public: nobody has the page's token
    old = start(page)
    record = read_json(page.find(old).folder / "job.json")
    del record["signature"]
    write_json(page.find(old).folder / "job.json", record)
    with pytest.raises(JobError, match="belongs to someone else"):
        page.resume(old, "bob")
    page.resume(old, "ann")
    assert row(page, old)["place"] == 1
    assert read_json(page.find(old).folder / "job.json")["owner"] == record["owner"]


@pytest.mark.parametrize("after", ["sent", "other", "gone"])
def test_sent_run_waits_for_no_run_that_does_not_go_on_here(idle, runs, after):
    sent = send(runs, after=after)
    send(runs, "other", after="sent")
    idle.resume(sent, "flour")
    assert read_json(runs / sent / "job.json")["after"] is None
    idle.resume("other", "flour")
    assert read_json(runs / "other" / "job.json")["after"] == "sent"


def test_key_is_this_accounts_alone_and_outlives_a_restart(idle, runs):
    key = runs / ".key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    kept = key.read_bytes()
    Jobs(runs)
    assert key.read_bytes() == kept


def test_key_that_cannot_be_read_is_told_in_a_sentence(tmp_path):
    (tmp_path / ".key").mkdir()
    with pytest.raises(DataError, match="cannot be read or created"):
        Jobs(tmp_path)


# -- a run that comes back -------------------------------------------------------------------------


@pytest.fixture
def trained(jobs, fake, runs):
    """The folder of a run that this page has just trained."""
    fake.scripts["ppo"] = QUICK
    run = start(jobs)
    wait_for(jobs, run, Status.FINISHED)
    wait_until(lambda: "ended" in read_json(runs / run / "job.json"))
    return runs / run


def says_that_it_waits(folder):
    """Change a run's files so that it seems to wait; only the process is not signed."""
    write_json(folder / "status.json", {"status": "queued", "updated_at": ""})
    record = read_json(folder / "job.json")
    write_json(folder / "job.json", {k: v for k, v in record.items() if k != "handle"})


def test_run_that_has_ended_here_and_says_that_it_waits_starts_only_by_a_click(jobs, fake, trained):
    says_that_it_waits(trained)
    sound = start(jobs, "reward")
    wait_for(jobs, sound, Status.FINISHED)
    assert fake.started == [trained.name, sound]
    assert row(jobs, trained.name)["status"] == "stopped"
    jobs.resume(trained.name, "ann")
    wait_for(jobs, trained.name, Status.FINISHED)
    assert fake.started == [trained.name, sound, trained.name]
    wait_until(lambda: "ended" in read_json(trained / "job.json"))


def test_run_that_was_resumed_and_left_the_queue_starts_only_by_a_click(jobs, fake, trained):
    says_that_it_waits(trained)
    fake.scripts["reward"] = PATIENT
    running = start(jobs, "reward")
    wait_for(jobs, running, Status.RUNNING)
    jobs.resume(trained.name, "ann")
    assert "ended" not in read_json(trained / "job.json")
    jobs.stop(trained.name, "ann")
    wait_until(lambda: "ended" in read_json(trained / "job.json"))
    says_that_it_waits(trained)
    assert row(jobs, trained.name)["status"] == "stopped"


def test_record_of_an_earlier_version_that_says_what_it_made_has_ended(jobs, fake, trained):
    record, task = read_json(trained / "job.json"), read_json(trained / "config.json")
    del record["ended"]
    record |= {"made": "0123", "ours": True}
    signer = jobs._folders.signer
    write_json(trained / "job.json", signer.signed(trained.name, task, record))
    says_that_it_waits(trained)
    assert jobs._folders.job(trained.name).signed
    assert row(jobs, trained.name)["status"] == "stopped"


def test_run_is_resumed_while_the_scheduler_signs_that_it_has_ended(
    jobs, fake, trained, monkeypatch
):
    """Pressed just after Stop, Resume said that somebody else had changed the run."""
    Run(trained).set_status(Status.STOPPED)
    requeue, seen = queue.requeue, []

    def signed_meanwhile(job, **given):
        if not seen:
            record = read_json(trained / "job.json")
            write_json(trained / "job.json", record | {"signature": "of another moment"})
        seen.append(job)
        return requeue(job, **given)

    monkeypatch.setattr(queue, "requeue", signed_meanwhile)
    jobs.resume(trained.name, "ann")
    assert len(seen) == 2
    wait_for(jobs, trained.name, Status.FINISHED)


def test_run_is_deleted_while_the_scheduler_signs_that_it_has_ended(jobs, trained, monkeypatch):
    """Pressed just after Stop, Delete said that somebody else had changed the run."""
    Run(trained).set_status(Status.STOPPED)
    locked, seen = queue.locked, []

    def signed_meanwhile(job):
        if not seen:
            record = read_json(trained / "job.json")
            write_json(trained / "job.json", record | {"signature": "of another moment"})
        seen.append(job)
        return locked(job)

    monkeypatch.setattr(queue, "locked", signed_meanwhile)
    jobs.delete(trained.name, "ann")
    assert len(seen) == 2
    assert not trained.exists()
