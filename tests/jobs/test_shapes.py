"""One run whose files are damaged never takes the list, the boards or the line away from others."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import json
import os
import shutil
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from rlhf_demo.errors import DataError, JobError
from rlhf_demo.files import write_json
from rlhf_demo.jobs.job import (
    DAMAGED,
    DELETED,
    MOST_ENTRIES,
    MOST_RECORD,
    MOST_TYPED,
    OWN_FOLDERS,
    clean_title,
)
from rlhf_demo.jobs.scheduler import Scheduler
from rlhf_demo.jobs.shapes import check
from rlhf_demo.runs.run import Status
from rlhf_demo.server.class_records import FOLDER as CLASSES
from rlhf_demo.server.demonstration_data import FOLDER as DEMONSTRATIONS
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.uploads import UPLOADS
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.panels.nav import Strip
from rlhf_demo.ui.shared import COMPARISONS, EXAMPLES, VOTES
from rlhf_demo.ui.tabs.runs import final_figures
from rlhf_demo.web.cache import FOLDER as SERVED
from tests.fake_jobs import fake, new_jobs, row, start, wait_for, wait_until

FILES = (
    "config.json", "status.json", "job.json", "stopping.json", "metrics.jsonl", "samples.jsonl",
    "distributions.jsonl", "report.json", "reward_scale.json", "job.log", "lock",
)  # fmt: skip
A_ROW = '{"step": 1, "objective/score": %s, "objective/kl": 0.1, "time/step_seconds": %s}\n'
A_NOTE = '{"title": "x", "owner": null, "after": null, "queued_at": %s, "started_pid": %s}'
CONTENTS = {
    "empty": b"",
    "NUL": b"\0" * 300,
    "cut": b'{"status": "runn',
    "list": b"[1]\n",
    "number": b"7\n",
    "null": b"null\n",
    "empty object": b"{}\n",
    "weird word": b'{"status": "weird", "updated_at": "2026-01-01T00:00:00Z"}\n',
    "wrong kinds": b'{"status": "running", "kind": 1, "options": [], "title": {}, "step": "x"}\n',
    "NaN": (A_ROW % ("NaN", 1)).encode(),
    "infinity": (A_ROW % ("1e999", 1)).encode(),
    "huge": (A_ROW % ("1" + "0" * 400, "1e308")).encode(),
    "texts": (A_ROW % ('"x"', '"y"')).encode(),
    "half": b'{"step": 1, "objective/score": 0.5}\n',
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "group of all": (A_NOTE % (1, 0)).encode(),
    "no process": (A_NOTE % (1, 10**30)).encode(),
    "never": (A_NOTE % ("NaN", "null")).encode(),
    "other options": b'{"kind": "ppo", "options": {"kl_budget": "x", "total_steps": []}, '
    b'"created_at": "2026-01-01T00:00:00Z"}',
    "half a character": b'{"title": "\\ud800", "owner": null, "after": null, "queued_at": 1, '
    b'"kind": "ppo", "options": {"policy": "\\ud800"}, "created_at": "\\ud800", "step": 1, '
    b'"status": "stopped", "updated_at": "\\ud800", "message": "\\ud800", "\\ud800": 1}\n',
    "beyond all measure": b'{"title": "x", "owner": null, "after": null, "queued_at": 1e999, '
    b'"kind": "ppo", "options": {"kl_target": 1e999, "total_steps": 1%s}, "created_at": "2026", '
    b'"step": 1, "status": "stopped", "updated_at": "2026", "message": "", '
    b'"reward": {"mean": 1e999, "std": 1e999}, "judge": null}\n' % (b"0" * 400),
    "escape sequences": b'{"kind": "ppo", "options": {"policy": "a\\u001b[201~\\u0003"}, '
    b'"created_at": "2026-01-01T00:00:00Z"}\n',
    "other version": b'{"kind": "dpo", "options": {}, "created_at": "2026-01-01T00:00:00Z"}',
}  # fmt: skip


class NoVotes:
    def count(self):
        return 0

    @property
    def rankings(self):
        return self


@pytest.fixture
def idle(new_jobs):
    """An app that starts nothing."""
    return new_jobs(scheduling=False)


@pytest.fixture
def sound(idle):
    """A reward model that waits."""
    return start(idle, "reward", title="sound")


def finished(jobs):
    """Make a finished PPO run; return its folder."""
    run = jobs.find(start(jobs, title="hurt", secret="ann"))
    with run.recording():
        run.append("metrics", [json.loads(A_ROW % (0.5, 1.5))])
        run.append("samples", [{"step": 1, "tokens": ["a"]}])
    return run.folder


def sent(answer):
    """Encode an answer as the page does, and return it."""
    json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
    return answer


def looks_well(jobs, sound):
    """Look as a page with all its parts does."""
    assert row(jobs, sound)["status"] == "queued"
    sent([final_figures(one) for one in jobs.overview()] + jobs.overview())
    stages = Strip(jobs, NoVotes(), ModelCache()).strip_state({})["stages"]
    sent(stages)
    assert stages[3]["line"] == "queued, position 1"
    told = sent(Board(jobs, Settings()).board_rows({"kind": "reward", "secret": "ann"}))
    assert told["run"]["id"] == sound


@pytest.mark.parametrize(
    "content", [*CONTENTS, "a folder", "a link", "a pipe", "a device", "sparse"]
)
def test_odd_file_of_a_run_leaves_all_others_as_they_are(idle, sound, new_jobs, content, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in FILES:
        path = finished(idle) / name
        if content == "a folder":
            path.unlink(missing_ok=True)
            path.mkdir()
        elif content == "a link":
            path.unlink(missing_ok=True)
            path.symlink_to(elsewhere)
        elif content == "a pipe":
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        elif content == "a device":
            path.unlink(missing_ok=True)
            path.symlink_to("/dev/zero")
        elif content == "sparse":
            path.touch()
            os.truncate(path, 2**40)  # reading it would take all memory
        else:
            path.write_bytes(CONTENTS[content])
        looks_well(idle, sound)
        assert row(idle, path.parent.name)["title"] in ("hurt", path.parent.name, "x")
        with suppress(JobError):  # in a sentence, and nothing else
            sent(Board(idle, Settings()).board_rows({"kind": "ppo", "run": path.parent.name}))
        with suppress(JobError):
            sent(Board(idle, Settings()).board_rows({"kind": "ppo"}))
    intact = finished(idle)
    assert Board(idle, Settings()).board_rows({"kind": "ppo"})["run"]["id"] == intact.name
    new_jobs()
    wait_for(idle, sound, Status.FINISHED)
    another = start(idle, "reward")
    wait_for(idle, another, Status.FINISHED)


@pytest.mark.parametrize(
    ("name", "started_at", "is_sound"),
    [("job.json", 7.5, True), ("job.json", "now", False),
     ("status.json", "2026-01-01T00:00:00Z", True), ("status.json", 7.5, False)],
)  # fmt: skip
def test_start_is_a_moment_of_the_clock_in_one_file_and_a_date_in_the_other(
    name, started_at, is_sound
):
    record = {
        "title": "x", "owner": None, "after": None, "queued_at": 1, "status": "queued",
        "updated_at": "2026-01-01T00:00:00Z", "started_at": started_at,
    }  # fmt: skip
    with nullcontext() if is_sound else pytest.raises(DataError, match="'started_at' of the wrong"):
        check(name, record)


def test_run_with_very_many_files_is_damaged_before_all_are_looked_at(idle, sound, monkeypatch):
    folder = finished(idle)
    for number in range(MOST_ENTRIES - len(list(folder.iterdir()))):
        (folder / f"f{number}").touch()
    assert row(idle, folder.name)["status"] == "finished"
    (folder / "one-more").touch()
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 0)
    damaged = row(idle, folder.name)
    assert (damaged["status"], row(idle, sound)["status"]) == ("damaged", "queued")
    assert "more than 1000 files" in damaged["message"]


@pytest.mark.parametrize("name", ["steps", "checkpoints", "model"])
def test_run_that_waits_with_a_link_to_a_folder_is_not_started(
    idle, new_jobs, fake, tmp_path, name
):
    (tmp_path / "home/.ssh").mkdir(parents=True)
    linked = start(idle)
    (idle.find(linked).folder / name).symlink_to(tmp_path / "home")
    new_jobs()
    sound = start(idle, "reward")
    wait_for(idle, sound, Status.FINISHED)
    assert fake.started == [sound] and (tmp_path / "home/.ssh").is_dir()
    assert row(idle, linked)["message"].startswith(f"{name} is not a regular file or folder")


@pytest.mark.parametrize("name", ["stop", "lock", "stopping.json", "metrics.jsonl", "job.log"])
def test_folder_in_the_place_of_a_file_is_damage_and_stops_no_line(idle, new_jobs, name):
    copied = finished(idle)
    write_json(copied / "stopping.json", {"asked_at": 1.0, "message": "x"})
    (copied / name).unlink(missing_ok=True)
    (copied / name).mkdir()
    new_jobs()
    wait_for(idle, start(idle, "reward"), Status.FINISHED)
    assert row(idle, copied.name)["message"].startswith(f"{name} is not a regular file or folder")
    idle.delete(copied.name, "ann")


def test_wish_to_stop_that_cannot_be_removed_stops_no_line(idle, new_jobs, monkeypatch, tmp_path):
    def refuse(self, job, request):
        raise PermissionError("a read-only folder")

    monkeypatch.setattr(Scheduler, "_close_stop", refuse)
    copied = shutil.copytree(finished(idle), tmp_path / "runs/copied")
    write_json(copied / "stopping.json", {"asked_at": 1.0, "message": "x"})
    new_jobs()
    wait_for(idle, start(idle, "reward"), Status.FINISHED)
    assert row(idle, copied.name)["status"] == "finished"
    idle.delete(copied.name, "ann")


@pytest.mark.parametrize("name", ["config.json", "status.json", "job.json"])
@pytest.mark.parametrize("content", ["empty", "NUL", "list", "wrong kinds"])
def test_damaged_run_says_which_file_and_is_deleted_by_whoever_may(idle, name, content):
    jobs, folder = idle, finished(idle)
    (folder / name).write_bytes(CONTENTS[content])
    shown = row(jobs, folder.name)
    assert (shown["status"], shown["kind"]) == (DAMAGED, DAMAGED)
    assert name in shown["message"] and str(folder.parent) not in shown["message"]
    for change in (jobs.stop, jobs.resume):
        with pytest.raises(JobError):
            change(folder.name, "ann")
    if name != "job.json":  # which says whose it is
        with pytest.raises(JobError, match="belongs to someone else"):
            jobs.delete(folder.name, "bob")
        jobs.delete(folder.name, "ann")
        assert not folder.exists()


def test_instructor_deletes_what_no_longer_says_whose_it_is(idle, new_jobs):
    folder = finished(idle)
    (folder / "job.json").write_bytes(b"")
    jobs = new_jobs(scheduling=False, instructor_token="token")
    jobs.delete(folder.name, "token")
    assert not folder.exists()


def test_lost_file_is_told_once_it_cannot_be_a_run_that_begins(idle, monkeypatch):
    jobs, folder = idle, finished(idle)
    (folder / "status.json").unlink()
    assert folder.name not in [one["id"] for one in jobs.overview()]
    monkeypatch.setattr("rlhf_demo.jobs.job.BEGINNING_SECONDS", 0)
    assert "status.json is missing" in row(jobs, folder.name)["message"]


def test_job_after_a_damaged_one_is_failed_and_says_so(idle, new_jobs):
    jobs, folder = idle, finished(idle)
    waiting = start(jobs, after=folder.name)
    (folder / "status.json").write_bytes(b"[1]")
    with pytest.raises(JobError, match="has not finished"):
        start(jobs, after=folder.name)
    new_jobs()
    wait_for(jobs, waiting, Status.FAILED)
    assert f"it needs {folder.name}, which is damaged" in row(jobs, waiting)["message"]


def test_damage_while_the_run_is_trained_lets_it_go_on_and_be_stopped(new_jobs, tmp_path):
    jobs = new_jobs()
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.RUNNING)
    (tmp_path / "runs" / run_id / "status.json").write_bytes(b"\0")
    waiting = start(jobs, "reward")
    assert row(jobs, run_id)["status"] == "running"
    with pytest.raises(JobError, match="is still running"):
        jobs.delete(run_id, "ann")
    jobs.stop(run_id, "ann")
    wait_for(jobs, waiting, Status.FINISHED)
    assert row(jobs, run_id)["status"] == "stopped"


def test_folder_that_may_not_be_read_is_shown_and_leaves_the_others(idle, sound, monkeypatch):
    jobs, folder = idle, finished(idle)
    open_file = os.open

    def refused(path, *args, **kwargs):
        if Path(path).parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    jobs._folders._parsed.clear()
    looks_well(jobs, sound)
    assert row(jobs, folder.name)["message"].startswith("config.json cannot be read (Permission")


def test_root_that_is_gone_is_told_in_a_sentence_and_comes_back(idle, sound, tmp_path):
    jobs = idle
    (tmp_path / "runs").rename(tmp_path / "away")
    with pytest.raises(JobError, match=r"^the folder of the runs cannot be read \(No such file"):
        jobs.overview()
    (tmp_path / "away").rename(tmp_path / "runs")
    looks_well(jobs, sound)


def test_leftover_that_cannot_be_removed_does_not_stop_the_line(new_jobs, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".deleted-ppo-abcdef-1").write_text("a file, not a folder")
    jobs = new_jobs()
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)


def test_shipped_examples_are_whole(new_jobs):
    shown = new_jobs(examples=EXAMPLES, scheduling=False).overview()
    assert {row["id"]: row["status"] for row in shown} == {
        path.name: Status.FINISHED for path in EXAMPLES.iterdir() if path.is_dir()
    }


def test_long_texts_of_a_copied_run_are_cut_where_all_see_them(idle, sound):
    folder = finished(idle)
    for name, key in (("job.json", "title"), ("status.json", "message")):
        record = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(record | {key: "x\u202e " * 7000}))
    shown = row(idle, folder.name)
    assert shown["title"] == ("x " * 30).strip()
    assert len(shown["message"]) == 2000


@pytest.mark.parametrize("depth", [1, 500, 900, 975, 980, 985, 990])
def test_lists_inside_lists_take_no_list_of_runs_away(idle, sound, depth):
    """One thread can parse what another, with more callers, can neither print nor write again."""
    nested = "[" * depth + "]" * depth
    kept, damaged = finished(idle), finished(idle)
    for name in ("config.json", "status.json", "job.json"):
        record = json.loads((kept / name).read_text())
        (kept / name).write_text(json.dumps(record)[:-1] + f', "x": {nested}}}')
    for place in ("policy", "x"):
        config = json.loads((damaged / "config.json").read_text())
        text = json.dumps(config | {"options": config["options"] | {place: "HERE"}})
        (damaged / "config.json").write_text(text.replace('"HERE"', nested))
        looks_well(idle, sound)
        assert row(idle, damaged.name)["status"] in ("damaged", "finished" if place == "x" else "")
        (damaged / "config.json").write_text(json.dumps(config))
    idle.delete(damaged.name, "ann")
    if row(idle, kept.name)["status"] == "finished":
        idle.delete(kept.name, "ann")
    else:  # it no longer says whose it is
        assert depth > 900


def test_what_a_run_holds_beyond_our_records_is_not_kept_in_memory(idle):
    folder = finished(idle)
    record = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(record | {"x": [[[]]] * 300, "y": {"z": 1}}))
    assert idle._folders.job(folder.name).record == record
    (folder / "job.json").write_text(json.dumps(record | {"x": "y" * MOST_RECORD}))
    assert row(idle, folder.name)["status"] == "damaged"
    idle.overview()
    shutil.rmtree(folder)
    idle._folders.own()
    assert not [path for path in idle._folders._parsed if path.parent == folder]


def test_title_is_looked_at_only_as_far_as_it_may_be_shown():
    class Counted(str):
        def __getitem__(self, part):
            return Counted(super().__getitem__(part))

        def __iter__(self):
            assert len(self) <= MOST_TYPED
            return super().__iter__()

    assert clean_title(Counted("a " * 500_000)) == ("a " * 30).strip()


def test_folders_in_which_the_page_keeps_other_things_are_no_runs(idle):
    kept = {UPLOADS, CLASSES, DEMONSTRATIONS, COMPARISONS, VOTES, SERVED}
    assert kept == OWN_FOLDERS
    folder = finished(idle)
    for name in kept:
        shutil.copytree(folder, folder.parent / name)
    assert [one["id"] for one in idle.overview()] == [folder.name]
    for name in kept:
        with pytest.raises(JobError, match="there is no run"):
            idle.delete(name, "ann")


def test_run_with_folders_inside_each_other_is_deleted(idle):
    folder = finished(idle)
    here = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        os.chmod(".", 0o500)
    finally:
        os.chdir(here)
    idle.delete(folder.name, "ann")
    assert not folder.exists() and not list(idle._folders.root.glob(f"{DELETED}*"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", {"created_at": "2" * 5000}),
        ("status.json", {"updated_at": "2" * 5000}),
        ("config.json", {"options": {"policy": "a/" + "b" * 5000}}),
    ],
)
def test_run_with_a_text_longer_than_any_path_is_damaged(idle, sound, name, change):
    folder = finished(idle)
    record = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(record | change))
    shown = row(idle, folder.name)
    assert shown["status"] == "damaged" and "of 5,00" in shown["message"]
    assert len(json.dumps(shown)) < 1000
    looks_well(idle, sound)
