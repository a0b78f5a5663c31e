"""The PPO loop on a tiny model: it learns, stops, resumes bit for bit, reports broken numbers."""

import os
import sys
import threading
import time

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from rlhf_demo.cli.main import main
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import CheckpointError, ConfigError, ShapeError, TrainingDiverged
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.ppo import PPOTrainer, train_ppo
from rlhf_demo.train.schedule import step_prompts
from tests.forked import FORKS

ALL = {"samples_every": 1, "checkpoint_every": 2}


@pytest.fixture
def config(tiny_model_folder, prompts_file):
    def make(**changes):
        options = {
            "policy": str(tiny_model_folder), "reward": "longer", "prompts": str(prompts_file),
            "total_steps": 4, "batch_size": 8, "minibatch_size": 4, "ppo_epochs": 2,
            "max_new_tokens": 8, "learning_rate": 1e-3, "warmup_steps": 1, "kl_budget": 1e6,
            "lora_rank": 0, "entropy_coef": 0.0,
            "dtype": "float32",
        }  # fmt: skip
        return PPOConfig(**options | changes)

    return make


def longer(prompts, responses):
    return torch.tensor([len(response) / 10 for response in responses])


def start(config, folder, scorer=longer, **kwargs):
    run = Run.create(folder, "ppo", config.to_dict())
    train_ppo(config, run, scorer=scorer, **kwargs)
    return run


def without_time(rows):
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


def weights(run):
    return AutoModelForCausalLM.from_pretrained(run.model_folder).state_dict()


def assert_same_run(one, other):
    assert without_time(one.read("metrics")) == without_time(other.read("metrics"))
    assert one.read("samples") == other.read("samples")
    assert_close(weights(one), weights(other), atol=0, rtol=0)
    assert (one.model_folder / "value_head.safetensors").read_bytes() == (
        other.model_folder / "value_head.safetensors"
    ).read_bytes()


def test_thirty_steps_raise_the_score_of_a_toy_reward(config, tmp_path):
    """A reward for the share of one common token: the policy learns to write it."""
    chosen = "the"

    def scorer(prompts, responses):
        return torch.tensor([5.0 * response.lower().count(chosen) / 8 for response in responses])

    settings = config(
        total_steps=30, batch_size=32, minibatch_size=16, learning_rate=3e-3,
        kl_coef=0.0, kl_target=0.0, missing_eos_penalty=0.0,
    )  # fmt: skip
    run = start(settings, tmp_path / "run", scorer)
    scores = [row["objective/score"] for row in run.read("metrics")]
    assert sum(scores[-5:]) / 5 > sum(scores[:5]) / 5 + 0.3


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_first_step_has_no_kl_and_its_first_ratio_is_one(config, tmp_path, lora_rank):
    settings = config(total_steps=1, ppo_epochs=1, minibatch_size=8, lora_rank=lora_rank)
    row = start(settings, tmp_path / "run").read("metrics")[0]
    assert 0 <= row["objective/kl"] < 1e-5 and abs(row["objective/kl_k1"]) < 1e-5
    assert abs(row["policy/update_kl_by_epoch"][0]) < 1e-5  # read before the only update
    assert row["policy/update_kl"] > 1e-5  # and this after it


def test_first_step_in_bfloat16_has_little_kl(config, tmp_path):
    row = start(config(total_steps=1, dtype="bfloat16"), tmp_path / "run").read("metrics")[0]
    assert abs(row["objective/kl"]) < 0.02


def test_same_seed_same_run_and_another_seed_another(config, tmp_path):
    one, two = start(config(**ALL), tmp_path / "1"), start(config(**ALL), tmp_path / "2")
    assert_same_run(one, two)
    other = start(config(**ALL, seed=1), tmp_path / "3")
    assert without_time(other.read("metrics")) != without_time(one.read("metrics"))


def stop_at(run, call):
    """Make a scorer or hook that asks the run to stop at its n-th call."""
    calls = []

    def scorer(prompts, responses):
        calls.append(1)
        if len(calls) == call:
            run.request_stop()
        return longer(prompts, responses)

    return scorer


@pytest.mark.parametrize(("lora_rank", "dtype"), [(0, "float32"), (4, "float32"), (4, "bfloat16")])
def test_stopped_inside_a_step_and_resumed_equals_uninterrupted(config, tmp_path, lora_rank, dtype):
    settings = config(**ALL, lora_rank=lora_rank, dtype=dtype)
    whole = start(settings, tmp_path / "whole")
    run = Run.create(tmp_path / "stopped", "ppo", settings.to_dict())
    # After the rollout of step 3, before its first minibatch.
    train_ppo(settings, run, scorer=stop_at(run, 4))  # the first call measures the scale
    assert run.status["status"] == Status.STOPPED
    assert [row["step"] for row in run.read("metrics")] == [1, 2]
    assert (run.model_folder / "value_head.safetensors").is_file()
    train_ppo(settings, run, scorer=longer, resume=True)
    assert run.status["status"] == Status.FINISHED
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3, 4]
    if lora_rank == 0:
        assert_same_run(whole, run)
    else:
        assert without_time(whole.read("metrics")) == without_time(run.read("metrics"))
        name = "adapter_model.safetensors"
        assert (whole.model_folder / name).read_bytes() == (run.model_folder / name).read_bytes()
        assert whole.saved_steps() == run.saved_steps() == [2, 4]
        for step in (2, 4):
            folders = (whole.step_folder(step), run.step_folder(step))
            assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_stopped_between_minibatches_and_resumed_equals_uninterrupted(
    config, tmp_path, monkeypatch
):
    whole = start(config(**ALL), tmp_path / "whole")
    settings = config(**ALL)
    run = Run.create(tmp_path / "stopped", "ppo", settings.to_dict())
    from rlhf_demo.train import ppo as module

    calls, original = [], module.ppo_loss

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:  # step 2 has minibatches 5 to 8
            run.request_stop()
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "ppo_loss", counted)
    train_ppo(settings, run, scorer=longer)
    assert [row["step"] for row in run.read("metrics")] == [1]
    monkeypatch.setattr(module, "ppo_loss", original)
    train_ppo(settings, run, scorer=longer, resume=True)
    assert_same_run(whole, run)


def called(arguments):
    """Call the command line in a process of its own, without its progress bar."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(main(arguments))


def run_command(config, folder, *extra):
    flags = [] if "--resume" in extra else [
        text for key, value in config.to_dict().items() if value is not None and value is not False
        for text in (f"--{key.replace('_', '-')}", str(value))
    ]  # fmt: skip
    command = ["train-ppo", "--run-dir", str(folder), *flags, *extra]
    process = FORKS.Process(target=called, args=(command,))
    process.start()
    return process


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_killed_and_resumed_equals_uninterrupted(config, tmp_path):
    """SIGKILL at about row 1 (before the first periodic state) and 4 (after it), then --resume."""
    settings = config(**ALL, total_steps=8)
    whole = run_command(settings, tmp_path / "whole")
    for rows in (1, 4):
        run = Run(tmp_path / f"killed-{rows}")
        killed = run_command(settings, run.folder)
        wait_until(lambda run=run, rows=rows: run.exists() and len(run.read("metrics")) >= rows)
        killed.kill()
        killed.join()
        assert run.status["status"] in (Status.FAILED, Status.FINISHED)
        if run.status["status"] == Status.FAILED:  # else it was faster than the signal
            resumed = run_command(settings, run.folder, "--resume")
            resumed.join()
            assert resumed.exitcode == 0
        whole.join()
        assert whole.exitcode == 0
        assert_same_run(Run(tmp_path / "whole"), run)


def test_kl_over_the_budget_ends_the_run_and_keeps_the_model(config, tmp_path):
    def scorer(prompts, responses):
        return torch.tensor([5.0 * response.count("a") for response in responses])

    settings = config(total_steps=50, learning_rate=3e-4, kl_coef=0.0, kl_target=0.0, kl_budget=0.8)
    run = start(settings, tmp_path / "run", scorer)
    rows, report = run.read("metrics"), read_json(run.folder / "report.json")
    assert 2 < len(rows) < 50 and all(row["objective/kl"] <= 0.8 for row in rows)
    assert f"ended after step {len(rows)} of 50" in run.status["message"]
    assert "over the budget of 0.8" in run.status["message"]
    # The model that is saved is the one whose KL the message names, not one update further.
    named = float(run.status["message"].split("the next texts, ")[1].split()[0])
    assert named == pytest.approx(report["kl"], abs=4 * report["kl_se"] + 0.1)
    assert (run.model_folder / "model.safetensors").is_file()


def test_a_score_that_is_not_finite_ends_the_run_naming_step_and_metric(config, tmp_path):
    calls = []

    def scorer(prompts, responses):
        calls.append(1)
        return longer(prompts, responses) * (float("nan") if len(calls) == 4 else 1.0)

    settings = config(**ALL)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    with pytest.raises(TrainingDiverged, match="step 3: objective/score became nan"):
        train_ppo(settings, run, scorer=scorer)
    assert run.status["status"] == Status.FAILED
    assert "objective/score" in run.status["message"]
    # The state after step 2 is kept, and saved as a model.
    assert torch.load(run.checkpoint_path, weights_only=True)["step"] == 2
    assert all(bool(torch.isfinite(value).all()) for value in weights(run).values())


def test_a_gradient_that_is_not_finite_is_never_applied(config, tmp_path, monkeypatch):
    from rlhf_demo.train import ppo as module

    monkeypatch.setattr(
        module.torch.nn.utils, "clip_grad_norm_", lambda *args: torch.tensor(float("inf"))
    )
    settings = config()
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    with pytest.raises(TrainingDiverged, match="step 1: policy/gradient_norm became inf"):
        train_ppo(settings, run, scorer=longer)
    base = AutoModelForCausalLM.from_pretrained(settings.policy).state_dict()
    assert_close(weights(run), base, atol=0, rtol=0)


def test_a_weight_that_is_not_finite_after_the_last_minibatch_is_never_kept(config, tmp_path):
    settings = config(checkpoint_every=1, samples_every=1)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    steps = []

    def spoil(optimizer, *args):
        steps.append(1)
        if len(steps) == 2 * settings.minibatches:  # the last of step 2
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0][0, 0] = float("nan")

    hook = register_optimizer_step_post_hook(spoil)
    with pytest.raises(TrainingDiverged, match=r"step 2: the weight .* became nan"):
        train_ppo(settings, run, scorer=longer)
    hook.remove()
    assert [row["step"] for row in run.read("metrics")] == [1]
    assert all(tensor.isfinite().all() for tensor in weights(run).values())


def test_damaged_and_foreign_saved_states_are_refused(config, tmp_path):
    settings = config()
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    run.checkpoint_path.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train_ppo(settings, run, scorer=longer, resume=True)
    PPOTrainer(config(seed=5), run, longer).save_state()
    with pytest.raises(ConfigError, match="other options"):
        train_ppo(settings, run, scorer=longer, resume=True)


def test_stop_is_obeyed_within_a_minibatch(config, tmp_path):
    settings = config(total_steps=1000)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    thread = threading.Thread(target=train_ppo, args=(settings, run), kwargs={"scorer": longer})
    thread.start()
    wait_until(lambda: len(run.read("metrics")) >= 2)
    asked = time.monotonic()
    run.request_stop()
    thread.join(10)
    assert not thread.is_alive() and time.monotonic() - asked < 5
    assert run.status["status"] == Status.STOPPED


def test_saved_model_and_value_head_load_again(config, tmp_path):
    run = start(config(total_steps=2), tmp_path / "run")
    policy = load_policy(str(run.folder), device=torch.device("cpu"))
    assert policy.value_head.weight.abs().sum() > 0
    assert read_json(run.folder / "config.json")["kind"] == "ppo"
    assert not run.checkpoint_path.exists()  # a finished run needs no state to resume from


def test_adapter_is_kept_at_its_saved_steps_and_loads_like_any_model(config, tmp_path):
    run = start(config(total_steps=5, checkpoint_every=2, lora_rank=4), tmp_path / "run")
    assert run.saved_steps() == [2, 4]
    kept = [load_policy(str(run.step_folder(step)), device=torch.device("cpu")) for step in (2, 4)]
    kept.append(load_policy(str(run.folder), device=torch.device("cpu")))
    assert all(policy.value_head is not None for policy in kept)
    weights = [policy.lm.transformer.h[0].mlp.c_fc.weight for policy in kept]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


def test_whole_weights_are_not_kept_at_every_saved_step(config, tmp_path):
    run = start(config(total_steps=2, checkpoint_every=1), tmp_path / "run")
    assert run.saved_steps() == []


def test_killed_before_the_state_is_written_a_resumed_run_writes_the_step_again(
    config, tmp_path, monkeypatch
):
    settings = config(**ALL, lora_rank=4)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    save_state = PPOTrainer.save_state

    def killed_at_step_2(trainer):
        if trainer.step == 2:
            raise KeyboardInterrupt
        save_state(trainer)

    monkeypatch.setattr(PPOTrainer, "save_state", killed_at_step_2)
    with pytest.raises(KeyboardInterrupt):
        train_ppo(settings, run, scorer=longer)
    name = "adapter_model.safetensors"
    before = (run.step_folder(2) / name).read_bytes()
    (run.step_folder(2) / name).write_bytes(b"")  # so that it shows whether it is written again
    monkeypatch.setattr(PPOTrainer, "save_state", save_state)
    train_ppo(settings, run, scorer=longer, resume=True)
    assert run.saved_steps() == [2, 4]
    assert (run.step_folder(2) / name).read_bytes() == before


def test_prompts_come_round_in_a_new_order(config):
    settings, prompts = config(batch_size=6, minibatch_size=6), list("abcdef")
    first, second = (step_prompts(settings, prompts, step) for step in (1, 2))
    assert sorted(first) == sorted(second) == prompts
    assert first != second


def test_a_policy_over_the_budget_is_not_updated_again_when_resumed(config, tmp_path):
    settings = config(total_steps=5, kl_budget=2.0)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    trainer = PPOTrainer(settings, run, longer)
    with torch.no_grad():
        trainer.policy.lm.transformer.wte.weight *= 3.0  # far from the reference
    trainer.step = 2
    run.append("metrics", [{"step": 1}, {"step": 2}])
    trainer.save_state()
    train_ppo(settings, run, scorer=longer, resume=True)
    assert [row["step"] for row in run.read("metrics")] == [1, 2]
    assert "ended after step 2 of 5" in run.status["message"]
    assert_close(weights(run), trainer.policy.lm.state_dict(), atol=0, rtol=0)


def test_more_new_tokens_than_positions_are_refused_before_anything_is_made(config, tmp_path):
    settings = config(max_new_tokens=64)
    run = Run.create(tmp_path / "run", "ppo", settings.to_dict())
    with pytest.raises(ShapeError, match="--max-new-tokens is 64"):
        train_ppo(settings, run, scorer=longer)
    assert not run.checkpoint_path.exists()
