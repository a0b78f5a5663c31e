"""Jobs as their folders describe them: ids, titles, order, examples."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.runs.run import Run, Status
from tests.fake_jobs import fake, jobs, new_jobs, row, start, wait_for


@pytest.fixture
def idle(new_jobs):
    """An app that starts nothing."""
    return new_jobs(scheduling=False)


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
