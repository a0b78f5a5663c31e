"""Run folders that are not what they seem, and the list that shows them all the same."""

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
    with pytest.raises(JobError, match=rf"{name} is not of a run \(no '(kind|status)' in it\)"):
        _ = run.config, run.status


def test_a_model_folder_is_not_made_a_run(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(JobError, match="is not of a run"):
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
