"""The list of runs as the command line prints it."""

from rlhf_demo.runs.listing import line, lines
from rlhf_demo.runs.run import Run, Status


def test_line_tells_kind_status_headline_figures_and_message(tmp_path):
    run = Run.create(tmp_path / "one", "reward", {})
    run.append("metrics", [{"step": 40, "heldout/accuracy": 0.78125, "reward/loss": 0.5}])
    run.set_status(Status.STOPPED, message="asked to stop")
    # Three digits of what the stage names as its headline; the loss of training is none.
    assert (
        line(run)
        == f"{run.folder}  reward  stopped  step 40, held-out accuracy 0.781  asked to stop"
    )


def test_folder_without_runs_says_so(tmp_path):
    assert lines(tmp_path) == [f"no runs in {tmp_path}"]


def test_damaged_run_is_named_among_the_others(tmp_path):
    whole, hurt = (Run.create(tmp_path / name, "ppo", {}) for name in ("whole", "hurt"))
    (hurt.folder / "metrics.jsonl").write_text("{\n")
    told = {text.partition("  ")[0]: text for text in lines(tmp_path)}
    assert "ppo  queued" in told[str(whole.folder)]
    assert "cannot be read" in told[str(hurt.folder)] and "line 1" in told[str(hurt.folder)]
