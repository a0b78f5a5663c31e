"""The whole loop in one command: what it does not begin, and where it ends early."""

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.quickstart import quickstart, require_finished


@pytest.mark.parametrize("stage", ["pairs", "reward", "ppo"])
def test_folder_that_holds_a_quickstart_is_refused_before_anything_is_made(tmp_path, stage):
    Run.create(tmp_path / stage, stage, {})
    said = []
    with pytest.raises(JobError, match=f"{stage} already holds a run: choose another folder"):
        quickstart(tmp_path, seed=0, dtype="float32", say=said.append)
    assert said == [] and [path.name for path in tmp_path.iterdir()] == [stage]


def test_chain_ends_where_a_stage_was_stopped(tmp_path):
    run = Run.create(tmp_path / "pairs", "pairs", {})
    run.set_status(Status.FINISHED)
    require_finished(run)
    run.set_status(Status.STOPPED)
    with pytest.raises(JobError, match="was stopped, so quickstart ends here"):
        require_finished(run)
