"""Whether this process is one of several, and that one which follows writes nothing."""

import pytest

from rlhf_demo.runs.launch import FollowedRun, follows, launched
from rlhf_demo.runs.run import Run, StopRequested


@pytest.mark.parametrize(
    ("variables", "is_launched", "is_following"),
    [
        ({}, False, False),
        ({"RANK": "0", "WORLD_SIZE": "1"}, False, False),  # accelerate launch on one GPU
        ({"RANK": "0", "WORLD_SIZE": "2"}, True, False),
        ({"RANK": "1", "WORLD_SIZE": "2"}, True, True),
    ],
)
def test_launcher_is_known_by_its_variables(monkeypatch, variables, is_launched, is_following):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (launched(), follows()) == (is_launched, is_following)


def test_run_that_is_followed_stays_as_it_is(tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    run.append("metrics", [{"step": 1}, {"step": 2}])
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    followed = FollowedRun(run.folder)
    with followed.recording():
        followed.append("metrics", [{"step": 3}])
        followed.rewind(1)
        followed.end_early("over the budget")
        raise StopRequested
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
