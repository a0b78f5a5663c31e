"""Run folders that are not what they seem, and the list that shows them all the same."""

import fcntl
import os

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.runs.listing import lines
from rlhf_demo.runs.run import Run, Status


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", "ppo", {"seed": 3})


@pytest.mark.parametrize("name", ["config.json", "status.json"])
@pytest.mark.parametrize("text", ["[]", '{"model_type": "gpt2"}', "3"])
def test_files_that_are_no_runs_are_named(run, name, text):
    run.set_status(Status.STOPPED)
    (run.folder / name).write_text(text)
    with pytest.raises(
        JobError, match=rf"{name} does not belong to a run \(it has no '(kind|status)'\)"
    ):
        _ = run.config, run.status


def test_a_model_folder_is_not_made_a_run(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(JobError, match="does not belong to a run"):
        Run.create(tmp_path, "ppo", {})
    assert (tmp_path / "config.json").read_text() == '{"model_type": "gpt2"}'


def test_what_a_run_found_in_its_folder_stays_when_it_is_discarded(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    run = Run.create(folder, "ppo", {})
    run.rewind(-1)  # leaves empty files of rows
    run.discard_unused()
    assert os.listdir(folder) == ["notes.txt"]
    made = Run.create(tmp_path / "new", "ppo", {})
    made.discard_unused()
    assert not made.folder.exists()


def test_run_that_made_something_is_not_discarded(run):
    run.append("metrics", [{"step": 1}])
    run.discard_unused()
    assert run.read("metrics") == [{"step": 1}]


def test_a_damaged_run_does_not_hide_the_others(run, tmp_path):
    for name, text in (("broken", "{"), ("foreign", "[]")):
        made = Run.create(tmp_path / name, "ppo", {})
        (made.folder / "config.json").write_text(text)
    first, *others = lines(tmp_path)
    assert first.split("  ")[1:3] == ["ppo", "queued"]
    assert ["cannot be read" in line for line in others] == [True, True]
    assert lines(tmp_path / "run" / "model") == [f"no runs in {tmp_path / 'run' / 'model'}"]


@pytest.fixture
def home(tmp_path):
    """A folder with what nobody may touch."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/id").write_text("key")
    (tmp_path / "home/checkpoint-9").mkdir()
    (tmp_path / "home/notes").write_text("mine")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("name", "target"),
    [("steps", "."), ("checkpoints", "."), ("model", "."), ("steps/10", "."), ("lock", "notes"),
     ("metrics.jsonl", "notes"), ("train.log", "notes"), ("checkpoint.pt", "gone")],
)  # fmt: skip
def test_run_with_a_link_is_not_trained_in_and_nothing_behind_it_is_touched(
    run, home, name, target
):
    before = sorted(home.rglob("*"))
    (run.folder / name).parent.mkdir(exist_ok=True)
    (run.folder / name).symlink_to(home / target)
    with pytest.raises(JobError, match=f"holds the link '{name.split('/')[-1]}'"), run.recording():
        run.append("metrics", [{"step": 1}])
    assert run.status["status"] == Status.QUEUED
    assert sorted(home.rglob("*")) == before and (home / "notes").read_text() == "mine"


def test_run_whose_own_folder_is_a_link_is_trained_in(run, tmp_path):
    (tmp_path / "link").symlink_to(run.folder)
    linked = Run(tmp_path / "link")
    with linked.recording():
        linked.append("metrics", [{"step": 1}])
    assert run.status["status"] == Status.FINISHED


def test_saved_steps_are_numbers_as_this_program_writes_them(run):
    for name in ("10", "007", "\u00b2", "\u0663", "9" * 200, "-1", "1_0"):
        (run.steps_folder / name).mkdir(parents=True)
    assert run.saved_steps() == [10]


@pytest.mark.parametrize(
    ("name", "text"),
    [("metrics.jsonl", "5\n"), ("metrics.jsonl", '{"step": 1, "objective/score": [1]}\n'),
     ("status.json", '{"status": "\\ud800"}'),
     ("status.json", '{"status": "stopped", "message": "\\u001b]0;pwn\\u0007\\u001b[2J"}'),
     ("config.json", '{"kind": "ppo", "options": {}, "created_at": 5}'),
     ("config.json", '{"kind": "dpo", "options": {}, "created_at": ""}')],
)  # fmt: skip
def test_odd_run_neither_ends_the_printed_list_nor_speaks_to_the_terminal(
    run, tmp_path, name, text
):
    made = Run.create(tmp_path / "odd", "ppo", {})
    (made.folder / name).write_text(text)
    found = lines(tmp_path)
    assert len(found) == 2 and any(str(run.folder) in one for one in found)
    assert all(one.isprintable() for one in found)
    "".join(found).encode()


@pytest.mark.parametrize("name", ["checkpoints", "model", "steps", "pairs.jsonl", "metrics.jsonl"])
def test_run_is_not_begun_where_it_would_replace_other_work(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(JobError, match=rf"holds other files \({name}\): name a new folder"):
        Run.create(tmp_path, "reward", {})
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["lock", "train.log", "metrics.jsonl"])
def test_file_of_two_names_is_not_written_to(run, tmp_path, name):
    (tmp_path / "thesis.tex").write_text("two years of work")
    (run.folder / name).unlink(missing_ok=True)
    (run.folder / name).hardlink_to(tmp_path / "thesis.tex")
    with pytest.raises(JobError, match=f"holds the link '{name}'"), run.recording():
        pass
    assert (tmp_path / "thesis.tex").read_text() == "two years of work"


@pytest.mark.parametrize("bring", ["symlink_to", "hardlink_to"])
def test_lock_that_is_held_for_something_else_is_nobodys(run, tmp_path, bring):
    (run.folder / "lock").unlink(missing_ok=True)
    with open(tmp_path / ".scheduler", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        getattr(run.folder / "lock", bring)(tmp_path / ".scheduler")
        assert not run.alive()
