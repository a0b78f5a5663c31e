"""What the list of runs shows of each run."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import pytest

from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs.run_rows import Overview
from rlhf_demo.runs.run import Status
from tests.fake_jobs import PATIENT, fake, jobs, new_jobs, row, start, wait_for, wait_until


def test_time_left_is_reckoned_from_the_last_steps(jobs, fake):
    fake.scripts["ppo"] = PATIENT.replace(
        "    while", '    run.append("metrics", [{"step": n, "time/step_seconds": 60 if n == 1 '
        'else 2} for n in range(1, 11)])\n    while'
    )  # fmt: skip
    run_id = start(jobs, total_steps=40)
    wait_until(lambda: row(jobs, run_id)["step"] == 10)
    # The last five steps took 2 s each, and 40 - 10 steps are left.
    assert row(jobs, run_id)["seconds_left"] == 60
    assert row(jobs, run_id)["total_steps"] == 40


def test_damaged_metrics_do_not_hide_the_run(jobs, tmp_path):
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    (tmp_path / "runs" / run_id / "metrics.jsonl").write_text("{\n")
    assert row(jobs, run_id)["figures"] == {} and row(jobs, run_id)["step"] is None


@pytest.mark.parametrize("total", ["x", [1], {"a": 1}, 1.5, True, None])
def test_an_undeclared_number_of_steps_does_not_take_the_list_away(jobs, tmp_path, total):
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    path = tmp_path / "runs" / run_id / "config.json"
    config = read_json(path)
    write_json(path, config | {"options": config["options"] | {"total_steps": total}})
    assert row(jobs, run_id)["total_steps"] is None
    assert row(jobs, run_id)["status"] == Status.FINISHED


def test_a_run_whose_row_cannot_be_made_is_damaged_and_the_others_are_shown(jobs, monkeypatch):
    odd, other = start(jobs, "reward"), start(jobs, "reward")
    wait_for(jobs, other, Status.FINISHED)
    make = Overview._row

    def fail(self, job, place):
        if job.id == odd:
            raise OverflowError
        return make(self, job, place)

    monkeypatch.setattr(Overview, "_row", fail)
    assert (row(jobs, odd)["kind"], row(jobs, odd)["status"]) == ("damaged", "damaged")
    assert row(jobs, other)["status"] == Status.FINISHED


def test_message_and_log_of_a_run_name_no_path_of_the_server(jobs, tmp_path):
    run_id = start(jobs, "reward")
    wait_for(jobs, run_id, Status.FINISHED)
    folder = tmp_path / "runs" / run_id
    jobs.find(run_id).set_status(Status.FAILED, message=f"there is no {folder}/model: check it")
    (folder / "job.log").write_text(f"error: {folder}/model is gone\n")
    wait_until(lambda: row(jobs, run_id)["status"] == Status.FAILED)
    assert row(jobs, run_id)["message"] == f"there is no {run_id}/model: check it"
    assert jobs.log_tail(run_id) == f"error: {run_id}/model is gone"
