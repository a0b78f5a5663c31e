"""One training in several processes: the figures of one process, up to rounding."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from rlhf_demo.cli.main import main
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.data_parallel import Processes
from tests.command import refused
from tests.fake_jobs import wait_until

COMMANDS = {"ppo": "train-ppo", "rloo": "train-rloo", "grpo": "train-grpo"}
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
ALL = """
import sys
from rlhf_demo.cli.main import main
folder, policy, prompts = sys.argv[1:4]
for kind in ("ppo", "rloo", "grpo"):
    assert main([f"train-{kind}", "--run-dir", f"{folder}/{kind}", "--policy", policy,
                 "--prompts", prompts, *sys.argv[4:]]) == 0
"""
SMALL = {
    "reward": "longer", "judge": "none", "total-steps": 4, "batch-size": 12, "minibatch-size": 3,
    "max-new-tokens": 8, "learning-rate": 0.001, "warmup-steps": 1, "kl-budget": 1000,
    "lora-rank": 4, "dtype": "float32", "checkpoint-every": 2,
}  # fmt: skip
"""Three responses to a minibatch: one of two processes takes two of them."""


def options(changes):
    return [part for name, value in (SMALL | changes).items() for part in (f"--{name}", str(value))]


def launched(*command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [*LAUNCH, *map(str, command)], env=environment, cwd=REPOSITORY, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def assert_same_up_to_rounding(one, several):
    rows, others = one.read("metrics"), several.read("metrics")
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, other in zip(rows, others, strict=True):
        for name in row.keys() - {key for key in row if key.startswith("time/")}:
            assert other[name] == pytest.approx(row[name], rel=1e-3, abs=1e-4), name
    for row, other in zip(one.read("samples"), several.read("samples"), strict=True):
        assert (row["prompt"], row["response"]) == (other["prompt"], other["response"])
    for file in one.model_folder.glob("*.safetensors"):
        weights, theirs = load_file(file), load_file(several.model_folder / file.name)
        for name, weight in weights.items():
            torch.testing.assert_close(theirs[name], weight, rtol=1e-3, atol=1e-5)
    assert several.report() == pytest.approx(one.report(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("count", "rows", "sizes"),
    [(1, 5, [5]), (2, 6, [3, 3]), (3, 8, [3, 3, 2]), (4, 4, [1] * 4), (3, 2, [2, 2, 2])],
)
def test_shares_of_a_batch_differ_by_one_row_at_most(count, rows, sizes):
    """A batch with fewer rows than processes is not shared."""
    processes = Processes(torch.device("cpu"))
    processes.count = count
    assert processes.sizes(rows) == sizes
    taken = []
    for processes.rank in range(count):
        taken += range(rows)[processes.share(rows)]
    assert taken == list(range(rows)) * (count if rows < count else 1)


def test_two_processes_give_the_figures_of_one(tiny_model_folder, prompts_file, tmp_path):
    given = [str(tiny_model_folder), str(prompts_file)]
    script = tmp_path / "all.py"
    script.write_text(ALL)
    with launched(script, tmp_path / "two", *given, *options({})) as of_two:
        for kind, command in COMMANDS.items():
            folder = str(tmp_path / "one" / kind)
            where = ["--run-dir", folder, "--policy", given[0], "--prompts", given[1]]
            assert main([command, *where, *options({})]) == 0
        _, errors = of_two.communicate(timeout=300)
    assert of_two.returncode == 0, errors[-2000:]
    for kind in COMMANDS:
        one, two = Run(tmp_path / "one" / kind), Run(tmp_path / "two" / kind)
        assert two.status["status"] == Status.FINISHED
        assert len(two.read("metrics")) == 4
        assert_same_up_to_rounding(one, two)


def test_stopped_in_two_processes_and_resumed_in_one_gives_the_same(
    tiny_model_folder, prompts_file, tmp_path
):
    """Both stop at the same minibatch, whichever of them sees the request first."""
    given = ["--policy", str(tiny_model_folder), "--prompts", str(prompts_file)]
    given += options({"total-steps": 12, "checkpoint-every": 100})
    run, whole = Run(tmp_path / "two"), Run(tmp_path / "one")
    with launched("-m", "rlhf_demo", "train-ppo", "--run-dir", run.folder, *given) as training:
        wait_until(lambda: run.exists() and len(run.read("metrics")) >= 2, seconds=120)
        training.send_signal(signal.SIGTERM)
        training.communicate(timeout=120)
    assert run.status["status"] == Status.STOPPED
    assert len(run.read("metrics")) < 12
    assert main(["train-ppo", "--run-dir", str(run.folder), "--resume"]) == 0
    assert main(["train-ppo", "--run-dir", str(whole.folder), *given]) == 0
    assert [row["step"] for row in run.read("metrics")] == list(range(1, 13))
    assert_same_up_to_rounding(whole, run)


@pytest.mark.parametrize("command", ["train-reward", "train-sft", "train-dpo", "make-pairs"])
def test_stage_of_one_process_says_so(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    error = refused(capsys, command, "--run-dir", tmp_path / "run")
    assert f"{command} trains in one process: leave out accelerate launch" in error


def test_process_that_follows_leaves_errors_to_the_first_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        main(["train-ppo", "--run-dir", str(tmp_path / "run"), "--batch-size", "7"])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "run").exists()
