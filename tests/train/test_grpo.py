"""GRPO's step, worked out again in plain Python; what it shares with RLOO is in test_rloo.py."""

import math
import statistics

import pytest
import torch

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.files import read_json
from rlhf_demo.train import grpo as grpo_module
from rlhf_demo.train.grpo import GRPOTrainer
from tests.stepping import checksum, trainer_maker
from tests.train.test_rloo import SAMPLES, earned, groups_of


@pytest.fixture
def trainer(tiny_model_folder, prompts_file, tmp_path):
    return trainer_maker(tiny_model_folder, prompts_file, tmp_path, GRPOTrainer, GRPOConfig)


def test_advantage_is_the_score_in_deviations_of_its_group_and_no_reward_pays_for_kl(trainer):
    one = trainer(
        samples_per_prompt=SAMPLES, scorer=checksum, learning_rate=1e-2, kl_coef=0.4,
        kl_target=0.0, missing_eos_penalty=2.0,
    )  # fmt: skip
    one.run_step()
    metrics = one.run_step()  # the policy has moved, so its KL is not 0
    assert metrics["objective/kl"] > 0.01
    scale = read_json(one.run.folder / "reward_scale.json")["reward"]
    rows = [row for row in one.run.read("samples") if row["step"] == 2]
    assert len(rows) == 8  # all of the step's
    rewards = [earned(row, scale, 2.0) for row in rows]
    for row, reward in zip(rows, rewards, strict=True):
        assert row["reward"] == pytest.approx([0.0] * (len(row["token"]) - 1) + [reward], abs=1e-3)
    for group, own in zip(groups_of(rows), groups_of(rewards), strict=True):
        mean, spread = statistics.fmean(own), statistics.stdev(own)
        for row, reward in zip(group, own, strict=True):
            expected = [(reward - mean) / (spread + 1e-4)] * len(row["token"])
            assert row["advantage"] == pytest.approx(expected, abs=1e-2)
    assert metrics["objective/reward"] == pytest.approx(statistics.fmean(rewards), abs=1e-2)


def test_kl_of_the_loss_is_k3_of_the_tokens_at_the_adaptive_price(trainer, monkeypatch):
    calls, real = [], grpo_module.grpo_loss

    def noting(logprobs, entropy, **given):
        calls.append(given | {"loss": (loss := real(logprobs, entropy, **given))})
        return loss

    monkeypatch.setattr(grpo_module, "grpo_loss", noting)
    one = trainer(
        samples_per_prompt=SAMPLES, learning_rate=1e-2, minibatch_size=8, ppo_epochs=1,
        kl_coef=0.5, kl_target=1e-3,
    )  # fmt: skip
    rows = [one.run_step() for _ in range(3)]
    # KL 0 in the first step, then far above the target: 4% down, then 4% up.
    assert [call["kl_coef"] for call in calls] == pytest.approx([0.5, 0.48, 0.48 * 1.04])
    assert rows[0]["policy/kl_k3"] == pytest.approx(0.0, abs=1e-6)
    # One minibatch of the whole step before any update: the samples tell its k3.
    log_r = [
        q - p
        for row in one.run.read("samples")
        if row["step"] == 3
        for p, q in zip(row["logprob"], row["ref_logprob"], strict=True)
    ]
    k3 = statistics.fmean(math.exp(x) - x - 1 for x in log_r)
    assert k3 > 0.01
    assert rows[2]["policy/kl_k3"] == pytest.approx(k3, rel=1e-2)
    loss = calls[2]["loss"]
    price = calls[2]["kl_coef"] * k3
    assert (loss.total - loss.policy).item() == pytest.approx(price, rel=1e-2)


def test_equal_scores_move_nothing_but_towards_the_reference(trainer):
    def same(prompts, responses):
        return torch.ones(len(responses))

    one = trainer(same, samples_per_prompt=SAMPLES, missing_eos_penalty=0.0)
    row = one.run_step()
    assert row["policy/loss"] == 0.0 and row["policy/gradient_norm"] == pytest.approx(0, abs=1e-5)
