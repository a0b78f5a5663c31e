"""What one PPO step hands to the loss and to the optimiser, worked out again in plain Python."""

import math
import statistics

import pytest
import torch

from rlhf_demo import train_ppo as train_ppo_module
from rlhf_demo.config import PPOConfig
from rlhf_demo.runs import Run
from rlhf_demo.train_ppo import PPOTrainer


@pytest.fixture
def trainer(tiny_model_folder, prompts_file, tmp_path):
    """Make a trainer whose value head already says something, and whose samples are whole steps."""

    def make(**changes):
        options = {
            "policy": str(tiny_model_folder), "reward": "longer", "prompts": str(prompts_file),
            "total_steps": 6, "batch_size": 8, "minibatch_size": 4, "ppo_epochs": 2,
            "max_new_tokens": 8, "learning_rate": 1e-3, "warmup_steps": 1, "kl_budget": 1e6,
            "lora_rank": 0, "dtype": "float32", "samples_every": 1,
        }  # fmt: skip
        config = PPOConfig(**options | changes)
        made = PPOTrainer(config, Run.create(tmp_path / "run", "ppo", config.to_dict()), longer)
        with torch.no_grad():
            made.policy.value_head.weight.normal_(generator=torch.Generator().manual_seed(0))
        return made

    return make


@pytest.fixture
def losses(monkeypatch):
    """Note what ppo_loss is given: one dictionary of tensors and coefficients a minibatch."""
    calls, real = [], train_ppo_module.ppo_loss

    def noting(logprobs, entropy, values, **given):
        calls.append(given)
        return real(logprobs, entropy, values, **given)

    monkeypatch.setattr(train_ppo_module, "ppo_loss", noting)
    return calls


def longer(prompts, responses):
    return torch.tensor([len(response) / 10 for response in responses])


def gae_in_plain_python(rewards, values, gamma, gae_lambda):
    """Equation 16 of Schulman et al. 2016 as the sum that it is."""
    deltas = [
        reward + gamma * after - value
        for reward, value, after in zip(rewards, values, [*values[1:], 0.0], strict=True)
    ]
    return [
        sum((gamma * gae_lambda) ** k * delta for k, delta in enumerate(deltas[start:]))
        for start in range(len(deltas))
    ]


def real_tokens(call, name):
    return sorted(call[name][call["response_mask"]].tolist())


def test_advantages_are_whitened_and_returns_are_not(trainer, losses):
    one = trainer(gamma=0.9, gae_lambda=0.5, minibatch_size=8, ppo_epochs=1)
    one.run_step()
    rows = one.run.read("samples")
    assert len(rows) == 8
    raw = [gae_in_plain_python(row["reward"], row["value"], 0.9, 0.5) for row in rows]
    returns = [
        advantage + value
        for advantages, row in zip(raw, rows, strict=True)
        for advantage, value in zip(advantages, row["value"], strict=True)
    ]
    flat = [advantage for advantages in raw for advantage in advantages]
    mean, spread = statistics.fmean(flat), statistics.pstdev(flat)
    whitened = [(advantage - mean) / spread for advantage in flat]
    assert abs(mean) > 0.05 and abs(spread - 1) > 0.05  # else whitening would change nothing
    (call,) = losses
    assert real_tokens(call, "returns") == pytest.approx(sorted(returns), abs=1e-3)
    assert real_tokens(call, "advantages") == pytest.approx(sorted(whitened), abs=3e-3)
    told = sorted(x for row in rows for x in row["advantage"])
    assert told == pytest.approx(sorted(whitened), abs=3e-3)


def test_coefficients_and_ranges_reach_the_loss(trainer, losses):
    options = {"clip_range": 0.11, "value_clip_range": 0.22, "value_coef": 0.33}
    trainer(**options, entropy_coef=0.44).run_step()
    for call in losses:
        assert {name: call[name] for name in options} == options
        assert call["entropy_coef"] == 0.44


def test_every_ppo_epoch_reads_all_responses_in_another_order(trainer, losses):
    trainer(batch_size=32, minibatch_size=8, ppo_epochs=2).run_step()
    responses = [
        {(float(value), float(back)) for value, back in zip(call["old_values"][:, 0],
                                                           call["returns"][:, 0], strict=True)}
        for call in losses
    ]  # fmt: skip
    assert len(responses) == 8
    first, second = responses[:4], responses[4:]
    assert set.union(*first) == set.union(*second)
    assert first != second


def test_kl_coefficient_moves_towards_the_target(trainer):
    """Ziegler 2019, section 2.2, with our gain: the error is cut to 0.2, and 0.2 * 0.2 = 4%."""
    one = trainer(kl_coef=0.5, kl_target=1e-3, learning_rate=1e-2)
    rows = [one.run_step() for _ in range(3)]
    assert abs(rows[0]["objective/kl"]) < 1e-4 and rows[1]["objective/kl"] > 1.2e-3
    assert [row["objective/kl_coef"] for row in rows] == pytest.approx(
        [0.5, 0.5 * 0.96, 0.5 * 0.96 * 1.04]
    )


def test_kl_coefficient_without_a_target_stays(trainer):
    one = trainer(kl_coef=0.5, kl_target=0.0, learning_rate=1e-2)
    assert [one.run_step()["objective/kl_coef"] for _ in range(3)] == [0.5] * 3


def test_learning_rate_rises_over_the_warm_up_and_then_falls_in_a_line(trainer):
    one = trainer(learning_rate=8e-4, warmup_steps=2, total_steps=6)
    told, used = [], []
    for _ in range(6):
        told.append(one.run_step()["policy/learning_rate"])
        used.append(one.optimizer.param_groups[0]["lr"])
    assert told == used == pytest.approx([4e-4, 8e-4, 8e-4, 6e-4, 4e-4, 2e-4])


def test_gradients_are_cut_to_their_greatest_norm(trainer, monkeypatch):
    one = trainer(max_grad_norm=0.01)
    norms, real = [], one.optimizer.step

    def noting():
        squares = [float((p.grad**2).sum()) for p in one.trainable.values() if p.grad is not None]
        norms.append(math.sqrt(sum(squares)))
        real()

    monkeypatch.setattr(one.optimizer, "step", noting)
    row = one.run_step()
    assert row["policy/gradient_norm"] > 0.02  # what is told is the norm before the cut
    assert norms == pytest.approx([0.01] * 4, rel=1e-3)


def test_a_token_is_told_as_clipped_where_the_clipped_term_is_the_smaller(trainer):
    one = trainer(learning_rate=1e-2, clip_range=0.1, ppo_epochs=4)
    one.run_step()
    seen = set()
    for row in one.run.read("samples"):
        for ratio, advantage, clipped in zip(
            row["ratio"], row["advantage"], row["clipped"], strict=True
        ):
            cut = min(max(ratio, 0.9), 1.1)
            assert clipped == (advantage * cut < advantage * ratio)
            seen.add((clipped, advantage > 0))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}
