"""When a stage that TRL trains measures, and from which checkpoint it resumes."""

import json
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.runs.run import Run
from rlhf_demo.train.trl_training import ROW_FILE, Recorder, last_checkpoint, trl_arguments


class Noting(Recorder):
    kind, measurements = "reward", 3

    def metrics(self, logs):
        return {"reward/loss": logs["loss"]}

    def measure(self, step, *, last):
        return {"measured": 100.0 + step, "last": float(last)}


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", "reward", {})


def states(total):
    return [SimpleNamespace(global_step=step, max_steps=total) for step in range(1, total + 1)]


def test_rows_come_every_step_and_measurements_evenly_to_the_last(run, tmp_path):
    recorder, total = Noting(run), 10
    args, control = SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(should_save=False)
    recorder.on_train_begin(args, SimpleNamespace(global_step=0, max_steps=total), control)
    for state in states(total):
        recorder.on_step_begin(args, state, control)
        recorder.on_log(args, state, control, logs={"loss": 1 / state.global_step, "grad_norm": 1})
        assert control.should_save == (state.global_step == total)
    rows = run.read("metrics")
    assert [row["step"] for row in rows] == list(range(total + 1))
    assert [row["step"] for row in rows if "measured" in row] == [0, 3, 7, 10]  # 10 / 3, 20 / 3
    assert [row["last"] for row in rows if "last" in row] == [0, 0, 0, 1]
    assert rows[0]["reward/total_steps"] == total and rows[4]["reward/loss"] == 0.25


def test_trainers_own_summary_writes_no_row(run):
    Noting(run).on_log(None, states(1)[0], None, logs={"train_loss": 0.5})
    assert run.read("metrics") == []


def test_last_checkpoint_is_the_newest_that_is_complete_and_others_are_removed(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-14" / "adapter").mkdir(parents=True)  # the trainer would load it
    (tmp_path / "checkpoint-14" / ROW_FILE).write_text(json.dumps({"step": 14}))
    for step, complete in [(2, True), (10, True), (12, False)]:
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if complete:
            (folder / ROW_FILE).write_text(json.dumps({"step": step}))
    for name in ("checkpoint-x", "checkpoint-\u00b2"):  # somebody's own
        (tmp_path / name).mkdir()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-10", "checkpoint-2", "checkpoint-x", "checkpoint-\u00b2",
    ]  # fmt: skip


def test_matrix_products_have_the_number_format_that_was_chosen(tmp_path):
    for dtype, wanted in [(torch.bfloat16, True), (torch.float32, False)]:
        assert trl_arguments(RewardConfig(), tmp_path, dtype)["bf16"] is wanted
