"""A finished run's record as an example."""

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json
from rlhf_demo.runs import examples
from rlhf_demo.runs.run import Run, Status


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "CHECKPOINTS", tmp_path / "checkpoints")
    return Run.create(tmp_path / "run", "ppo", {"seed": 3})


def test_example_is_the_record_without_the_model_and_belongs_to_nobody(run):
    with run.recording():
        run.append("metrics", [{"step": 1}])
        run.model_folder.mkdir()
        (run.folder / "checkpoint.pt").write_bytes(b"state")
    folder = examples.ship_example(str(run.folder), "quick", "A quick run")
    assert folder == run.folder.parent / "checkpoints" / "examples" / "quick"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "status.json", "metrics.jsonl", "job.json"
    }  # fmt: skip
    assert Run(folder).config["options"] == {"seed": 3}
    assert Run(folder).read("metrics") == [{"step": 1}]
    assert read_json(folder / "job.json") == {
        "title": "A quick run", "owner": None, "queued_at": 0.0, "after": None
    }  # fmt: skip


def test_run_that_is_not_finished_is_no_example(run):
    run.set_status(Status.STOPPED)
    with pytest.raises(JobError, match="is stopped: only a finished run can be an example"):
        examples.ship_example(str(run.folder), "quick", "A quick run")
    assert not (run.folder.parent / "checkpoints").exists()
