"""What is noted of a class: under which names, for whose eyes, and how all of it goes."""

import json
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.files import write_text
from rlhf_demo.runs.run import Status
from rlhf_demo.server.class_records import learned_from_private, log_for
from rlhf_demo.server.class_training import ClassTraining
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.ui.tabs.runs import RunsTab
from rlhf_demo.web.downloads import zip_folder
from tests.class_page import (  # noqa: F401  (some are fixtures)
    REPORT,
    ModelCache,
    class_mode,
    fake,
    finish,
    join,
    loops_left_open,
    new_jobs,
    open_class,
    shared_page,
    taught,
    with_ppo,
)
from tests.fake_jobs import PATIENT, start, wait_for, wait_until
from tests.voting import answer_one

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

WRONG = [{"prompt": "p", "chosen": " what Ann liked", "rejected": " other", "margin": -1.0}]


def training_run(mode, made):
    return mode.training.records.read(made.collection)["training"]["run"]


def retrain(mode, made):
    """Let the next training begin; return its run."""
    mode.leave_out({"token": made.token, "voter": 1, "left_out": False})
    mode.training.look_after(made.collection)
    return training_run(mode, made)


def test_records_with_their_secrets_are_for_their_owner_alone_whatever_the_umask(mode):
    before = os.umask(0)
    try:
        made = open_class(mode)
    finally:
        os.umask(before)
    folder = mode.training.records.folder(made.collection)
    assert json.loads((folder / "class.json").read_text())["job_secret"]
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("form", ["a record", "a list", "a folder", "a link", "deep folders"])
def test_new_class_begins_without_what_an_archive_put_in_its_place(mode, tmp_path, form):
    place = mode.training.records.folder(2)
    place.parent.mkdir(parents=True, exist_ok=True)
    (mine := tmp_path / "mine").mkdir()
    (mine / "class.json").write_text("[1]")
    if form == "a link":
        place.symlink_to(mine)
    elif form == "a folder":
        (place / "class.json").mkdir(parents=True)
    elif form == "deep folders":  # shutil.rmtree fails at a thousand
        for level in range(1100):
            Path(place, *["a"] * level).mkdir()
    else:
        place.mkdir()
        (place / "class.json").write_text('{"ppo": 5}' if form == "a record" else "[1]")
    made = open_class(mode)
    assert made.collection == 2
    assert mode.class_state({"token": made.token})["code"] == made.code
    assert (mine / "class.json").read_text() == "[1]"


def test_link_in_place_of_the_folder_of_classes_goes_and_what_it_led_to_stays(mode, tmp_path):
    """An archive brought it: the first class deleted the folder `2` where it led."""
    (mine := tmp_path / "mine" / "2").mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    mode.training.records.folder(2).parent.symlink_to(mine.parent)
    made = open_class(mode)
    mode.training.records.forget(made.collection)
    assert [path.name for path in mine.parent.rglob("*")] == ["2", "thesis.txt"]


def test_votes_behind_a_link_are_not_rewritten(mode, tmp_path):
    """An archive brought it: a data set of the same form, where it led, lost its rows."""
    made, _ = taught(mode)
    mine = tmp_path / "mine" / "pairs.jsonl"
    mine.parent.mkdir()
    mine.write_text('{"rater": 77}\n')
    folder = mode.training.records.folder(made.collection)
    (folder / "votes-000000000000").symlink_to(mine.parent)
    mode.training.records.keep_voters(made.collection, set())
    assert mine.read_text() == '{"rater": 77}\n'
    [own] = (path for path in folder.glob("votes-*/pairs.jsonl") if path.resolve() != mine)
    assert own.read_text() == ""


def test_pipe_in_place_of_votes_stops_nobody(mode):
    """An archive brought it: who removed a student waited for ever, and so did all classes."""
    made, _ = taught(mode)
    folder = mode.training.records.folder(made.collection) / "votes-aaaaaaaaaaaa"
    folder.mkdir()
    os.mkfifo(folder / "pairs.jsonl")
    mode.training.records.keep_voters(made.collection, set())


def test_votes_that_no_model_in_use_learned_from_are_deleted(mode):
    made, _ = taught(mode)
    folder = mode.training.records.folder(made.collection)
    [first] = folder.glob("votes-*")
    vote = mode.store.votes(made.collection)[0].voter
    mode.leave_out({"token": made.token, "voter": vote, "left_out": True})
    mode.leave_out({"token": made.token, "voter": vote, "left_out": False})
    (folder / "votes-0123456789ab").mkdir()
    finish(mode, retrain(mode, made))
    mode.training.look_after(made.collection)
    assert list(folder.glob("votes-*")) == [first]  # the same votes: the same folder


# -- names and texts that everybody can see --------------------------------------------------------


def test_code_of_a_class_is_in_no_title_folder_or_option_of_its_runs(mode):
    made, _ = taught(mode)
    with_ppo(mode, made)
    told = [row["title"] for row in mode.shared.jobs.overview()]
    assert told[0].startswith(f"Class {made.collection}, round 1, ")
    assert told[1].startswith(f"Class {made.collection}, ")
    told += [path.name for path in mode.shared.settings.runs.rglob("*")]
    told += [path.read_text() for path in mode.shared.settings.runs.glob("*/*.json")]
    assert made.code not in "\n".join(told)


def test_texts_that_a_class_voted_on_are_in_no_report_and_no_zip(mode, shared):
    made, _ = taught(mode)
    run = retrain(mode, made)
    finish(mode, run, REPORT | {"most_wrong": WRONG})
    found = shared.jobs.find(run)
    write_text(found.folder / "job.log", "most wrong:  what Ann liked\n")
    assert RewardTab(shared).reward_report({"run": run})["report"]["most_wrong"] == []
    with zipfile.ZipFile(zip_folder(found, shared.settings)) as archive:
        report = json.loads(archive.read(f"{run}/report.json"))
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert report == REPORT | {"most_wrong": []}
    assert b"Ann" not in everything


def test_run_on_other_pairs_keeps_its_worst_pairs_and_its_log(mode, shared):
    run = start(shared.jobs, "reward", data="shipped")
    finish(mode, run, REPORT | {"most_wrong": WRONG})
    found = shared.jobs.find(run)
    write_text(found.folder / "job.log", "epoch 1\n")
    assert not learned_from_private(found, shared.settings)
    assert RewardTab(shared).reward_report({"run": run})["report"]["most_wrong"] == WRONG
    with zipfile.ZipFile(zip_folder(found, shared.settings)) as archive:
        assert f"{run}/job.log" in archive.namelist()
        assert json.loads(archive.read(f"{run}/report.json"))["most_wrong"] == WRONG


@pytest.mark.parametrize(
    ("data", "private"),
    [
        ("/old/runs/classes/2/votes-211afe3f3c73", {True, False}),
        ("/old/runs/uploads/upload-0123456789ab/rows.jsonl", {True}),
        ("/old/runs/uploads/upload-0123456789ab", {True}),
        ("/old/runs/demonstrations/demonstrations-0123456789ab.jsonl", {True}),
        ("/old/runs/votes/votes-211afe3f3c73", set()),
        ("/home/ann/classes/pairs.jsonl", set()),
        ("shipped", set()),
    ],
)
def test_data_stays_private_when_the_folder_of_runs_is_moved(shared, data, private):
    """A class's votes were in a stranger's zip after the folder had been moved to another disk."""
    run = shared.jobs.find(start(shared.jobs, "reward", data=data))
    for public in (True, False):
        settings = replace(shared.settings, public=public)
        assert learned_from_private(run, settings) is (public in private)


@pytest.mark.parametrize("public", [True, False])
def test_texts_of_an_upload_are_in_reports_at_home_alone(mode, shared, public):
    shared = replace(shared, settings=replace(shared.settings, public=public))
    rows = shared.settings.runs / "uploads" / "upload-0123456789ab" / "rows.jsonl"
    run = start(shared.jobs, "reward", data=str(rows))
    finish(mode, run, REPORT | {"most_wrong": WRONG})
    found = shared.jobs.find(run)
    write_text(found.folder / "job.log", "most wrong:  what Ann liked\n")
    told = RewardTab(shared).reward_report({"run": run})["report"]["most_wrong"]
    with zipfile.ZipFile(zip_folder(found, shared.settings)) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert (told, b"Ann" in everything) == (([], False) if public else (WRONG, True))


@pytest.mark.parametrize("public", [True, False])
def test_log_of_a_failed_run_on_a_class_votes_is_its_owners_on_a_page_for_strangers(
    mode, shared, public
):
    made, _ = taught(mode)
    run = retrain(mode, made)
    shared.jobs.find(run).set_status(Status.FAILED, message="the disk is full")
    write_text(shared.jobs.find(run).folder / "job.log", "most wrong:  what Ann liked\n")
    settings = replace(shared.settings, public=public)
    row = next(one for one in shared.jobs.overview() if one["id"] == run)
    assert ("Ann" in log_for(shared.jobs, row, settings, mine=False)) == (not public)
    assert "Ann" in log_for(shared.jobs, row, settings, mine=True)
    stranger = {"kind": "reward", "run": run, "secret": "mallory"}
    board = Board(shared.jobs, settings)
    assert ("Ann" in board.board_rows(stranger)["log"]) == (not public)
    tab = RunsTab(replace(shared, settings=settings))
    assert ("Ann" in tab.runs_state(stranger)["picked"]["log"]) == (not public)


# -- one thing at a time ---------------------------------------------------------------------------


def test_three_who_start_ppo_at_once_start_one(mode, monkeypatch):
    made, _ = taught(mode)
    together, jobs_start = threading.Barrier(3), mode.shared.jobs.start

    def start_together(*options, **more):
        with suppress(threading.BrokenBarrierError):  # nobody else came this far
            together.wait(timeout=0.2)
        return jobs_start(*options, **more)

    def ask(_):
        try:
            return mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
        except JobError as error:
            assert "already has its PPO run" in str(error)

    monkeypatch.setattr(mode.shared.jobs, "start", start_together)
    with ThreadPoolExecutor(3) as threads:
        runs = list(threads.map(ask, range(3)))
    assert len([run for run in runs if run]) == 1
    assert [row["kind"] for row in mode.shared.jobs.overview()].count("ppo") == 1


def test_training_that_could_not_be_started_is_tried_again(mode, monkeypatch):
    made = open_class(mode, overlap=1, each=20)
    ann = join(mode, made)
    mode.training.look_after(made.collection)
    while mode.class_state({"token": made.token})["preferences"] < 10:
        assert answer_one(mode.store, ann)

    def refuse(*options, **more):
        raise JobError("3 runs are already waiting: try again when one has finished")

    with monkeypatch.context() as crowded:
        crowded.setattr(mode.shared.jobs, "start", refuse)
        mode.training.look_after(made.collection)
    assert "runs are already waiting" in mode.class_state({"token": made.token})["problem"]
    mode.training.look_after(made.collection)
    told = mode.class_state({"token": made.token})
    assert told["problem"] is None and told["training"]["votes"] == 10


# -- the end of a class ----------------------------------------------------------------------------


def test_model_that_waits_for_its_training_goes_with_the_class(mode):
    made, _ = taught(mode)
    run = retrain(mode, made)
    mode.delete_class({"token": made.token, "secret": "chalk"})
    assert mode.shared.jobs.overview() == []
    assert mode.training.row(run) is None
    assert not mode.training.records.folder(made.collection).exists()


def test_model_in_training_is_stopped_and_goes_after_a_restart_too(mode, shared, fake):  # noqa: F811
    made, _ = taught(mode)
    run = retrain(mode, made)
    fake.scripts["reward"] = PATIENT
    shared.jobs.open()
    try:
        wait_for(shared.jobs, run, Status.RUNNING)
        mode.delete_class({"token": made.token, "secret": "chalk"})
        after = ClassTraining(
            shared.store, shared.jobs, shared.choices, ModelCache(), shared.compute_lock
        )

        def gone():
            after.records.clear_up()
            return after.row(run) is None

        wait_until(gone)
    finally:
        shared.jobs.close()
    assert shared.jobs.overview() == []


def test_ppo_of_a_deleted_class_is_stopped_and_stays_and_its_model_goes(mode):
    made, _ = taught(mode)
    reward = mode.training.records.read(made.collection)["reward"]
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    mode.delete_class({"token": made.token, "secret": "chalk"})
    assert mode.training.row(run)["status"] == Status.STOPPED
    assert mode.training.row(reward) is None


def test_model_that_a_ppo_of_another_browser_follows_goes_when_that_is_over(mode, monkeypatch):
    made, _ = taught(mode)
    monkeypatch.setattr(mode.shared.instructor, "token", None)  # at home the browser counts
    reward = mode.training.records.read(made.collection)["reward"]
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    mode.delete_class({"token": made.token, "secret": "another"})
    mode.training.records.clear_up()
    assert mode.training.row(reward) is not None
    finish(mode, run)
    mode.training.records.clear_up()
    assert mode.training.row(reward) is None and mode.training.row(run) is not None
