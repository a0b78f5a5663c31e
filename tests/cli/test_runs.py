"""The command that lists runs and stops one."""

from rlhf_demo.cli.main import main
from rlhf_demo.files import write_json
from rlhf_demo.runs.run import Run
from tests.command import refused


def test_runs_lists_kind_status_and_last_figures(capsys, tmp_path):
    done = Run.create(tmp_path / "done", "ppo", {})
    write_json(done.folder / "config.json", {**done.config, "created_at": "2026-01-01"})
    with done.recording():
        done.append("metrics", [{"step": 1, "objective/score": 0.5, "objective/kl": 2.0}])
        done.append("metrics", [{"step": 2, "objective/score": 1.25, "objective/kl": 3.0}])
    Run.create(tmp_path / "waiting", "reward", {})
    assert main(["runs", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("  ")[1:3] == ["ppo", "finished"]
    assert "step 2, score 1.25, KL from the reference 3" in first
    assert "waiting  reward  queued" in second


def test_runs_stop_asks_a_living_run_and_refuses_a_dead_one(capsys, tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    assert "nothing to stop" in refused(capsys, "runs", run.folder, "--stop")
    with run.recording():
        assert main(["runs", str(run.folder), "--stop"]) == 0
        assert (run.folder / "stop").exists()
