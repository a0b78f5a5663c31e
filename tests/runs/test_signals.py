"""Ctrl-C and SIGTERM: the first asks for a stop that saves, the second breaks off."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rlhf_demo.runs.run import Run, Status
from rlhf_demo.runs.signals import stopping_on_signals


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_saves_and_resume_goes_on_from_there(
    number, tmp_path, tiny_model_folder, prompts_file
):
    run = Run(tmp_path / "run")
    command = [sys.executable, "-m", "rlhf_demo", "train-ppo", "--run-dir", run.folder]
    training = subprocess.Popen(
        [
            *command, "--policy", tiny_model_folder, "--prompts", prompts_file,
            "--reward", "longer", "--total-steps", "10000", "--batch-size", "4",
            "--minibatch-size", "2", "--ppo-epochs", "1", "--max-new-tokens", "4",
            "--kl-budget", "100000", "--checkpoint-every", "1000", "--dtype", "float32",
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: len(run.read("metrics")) >= 3)
    training.send_signal(number)
    _, err = training.communicate(timeout=30)
    assert training.returncode == 130
    assert "saving, then stopping" in err and "Traceback" not in err
    assert run.status["status"] == Status.STOPPED
    done = len(run.read("metrics"))
    assert run.checkpoint_path.is_file() and run.model_folder.is_dir()
    again = subprocess.Popen([*command, "--resume"], stderr=subprocess.DEVNULL)
    wait_for(lambda: len(run.read("metrics")) > done)
    again.kill()
    again.wait()
    steps = [row["step"] for row in run.read("metrics")]
    assert steps == list(range(1, len(steps) + 1))


def test_second_signal_breaks_off(tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    with pytest.raises(KeyboardInterrupt), stopping_on_signals(run), run.recording():
        os.kill(os.getpid(), signal.SIGTERM)
        assert (run.folder / "stop").exists()
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal did nothing")
    assert run.status["status"] == Status.STOPPED


def test_signal_before_the_training_breaks_off(tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    with pytest.raises(KeyboardInterrupt), stopping_on_signals(run):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal did nothing")


def test_signals_do_afterwards_what_they_did_before(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopping_on_signals(Run.create(tmp_path / "run", "ppo", {})):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
