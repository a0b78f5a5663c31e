"""What one PPO step hands to the loss and to the optimiser, worked out again in plain Python."""

import math
import statistics
import zlib

import pytest
import torch

from rlhf_demo import train_ppo as train_ppo_module
from rlhf_demo.config import PPOConfig
from rlhf_demo.files import read_json
from rlhf_demo.runs import Run
from rlhf_demo.train_ppo import PPOTrainer


@pytest.fixture
def trainer(tiny_model_folder, prompts_file, tmp_path):
    """Make a trainer whose value head already says something, and whose samples are whole steps."""

    def make(scorer=longer, judge=None, **changes):
        options = {
            "policy": str(tiny_model_folder), "reward": "longer", "prompts": str(prompts_file),
            "total_steps": 6, "batch_size": 8, "minibatch_size": 4, "ppo_epochs": 2,
            "max_new_tokens": 8, "learning_rate": 1e-3, "warmup_steps": 1, "kl_budget": 1e6,
            "lora_rank": 0, "dtype": "float32", "samples_every": 1,
        }  # fmt: skip
        config = PPOConfig(**options | changes)
        folder = tmp_path / f"run {len(list(tmp_path.iterdir()))}"
        made = PPOTrainer(config, Run.create(folder, "ppo", config.to_dict()), scorer, judge)
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


def checksum_of(prompt, response):
    return zlib.crc32(f"{prompt}|{response}".encode()) % 1000 / 100


def checksum(prompts, responses):
    """A score that depends on both, so that it tells whose it is."""
    return torch.tensor([checksum_of(*both) for both in zip(prompts, responses)])


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


def test_rewards_of_real_steps_are_score_less_the_adaptive_price_of_drift(trainer):
    """Ziegler 2019, equation 2, from the logged rows alone, where the policy has really moved."""
    one = trainer(
        learning_rate=1e-2, kl_coef=0.4, kl_target=1e-3, missing_eos_penalty=2.0, scorer=checksum
    )
    metrics = [one.run_step() for _ in range(4)]
    scale = read_json(one.run.folder / "reward_scale.json")["reward"]
    price = 0.4
    for row in metrics[1:]:
        samples = [x for x in one.run.read("samples") if x["step"] == row["step"]]
        assert len(samples) == 8  # all of the step's
        # The last step's KL was 0, then far above the target: 4% down, then 4% up, and up.
        price *= 0.96 if row["step"] == 2 else 1.04
        assert row["objective/kl_coef"] == pytest.approx(price)
        drift = [
            p - q for x in samples for p, q in zip(x["logprob"], x["ref_logprob"], strict=True)
        ]
        assert statistics.fmean(map(abs, drift)) > 0.1  # else the price would not show
        for x in samples:
            ended = x["token"][-1] == "<|endoftext|>"
            earned = (x["score"] - scale["mean"]) / scale["std"] - (0.0 if ended else 2.0)
            paid = [price * (p - q) for p, q in zip(x["logprob"], x["ref_logprob"], strict=True)]
            expected = [-cost for cost in paid]
            expected[-1] += earned
            assert x["reward"] == pytest.approx(expected, abs=2e-3)
        assert row["objective/kl_k1"] == pytest.approx(sum(drift) / 8, abs=1e-2)
        assert row["objective/kl"] == pytest.approx(
            sum(sum(x["kl"]) for x in samples) / 8, abs=1e-2
        )


def test_each_response_is_scored_with_its_own_prompt(trainer):
    one = trainer(scorer=checksum)
    for _ in range(3):
        one.run_step()
    rows = one.run.read("samples")
    assert len(rows) == 24 and len({row["prompt"] for row in rows}) > 3
    for row in rows:
        assert row["score"] == pytest.approx(checksum_of(row["prompt"], row["response"]))


def test_kl_coefficient_follows_the_exact_kl_of_the_step(trainer):
    """Ziegler 2019, section 2.2, with our gain of 0.2; an error below 0.2 is not cut."""
    one = trainer(kl_coef=0.5, kl_target=0.0, learning_rate=1e-2)
    _, second = one.run_step(), one.run_step()
    kl, k1 = second["objective/kl"], second["objective/kl_k1"]
    assert abs(k1 - kl) > 0.02 * kl  # so that it shows which of the two is followed
    # Step 1 has no KL whatever the target, so step 2 is the same but for a coefficient 4% lower.
    again = trainer(kl_coef=0.5 / 0.96, kl_target=1.1 * kl, learning_rate=1e-2)
    rows = [again.run_step() for _ in range(3)]
    moved = rows[1]["objective/kl"] / (1.1 * kl) - 1.0
    assert abs(moved) < 0.2
    assert rows[1]["objective/kl_coef"] == pytest.approx(0.5)
    assert rows[2]["objective/kl_coef"] == pytest.approx(0.5 * (1.0 + 0.2 * moved))


def test_dearer_drift_ends_closer_to_the_reference(trainer):
    kls = []
    for price in (0.0, 0.3, 3.0):
        one = trainer(
            kl_coef=price, kl_target=0.0, learning_rate=3e-3, total_steps=16, batch_size=16
        )
        kls.append([one.run_step() for _ in range(16)][-1]["objective/kl"])
    free, cheap, dear = kls
    assert free > 1.3 * cheap > 1.3 * 1.3 * dear


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


def test_movement_is_told_by_epoch_and_after_the_update(trainer):
    """All responses in one minibatch: what epoch 2 sees is what epoch 1 alone leaves behind."""
    options = {"learning_rate": 1e-2, "clip_range": 0.1, "minibatch_size": 8}
    once, twice = trainer(**options, ppo_epochs=1), trainer(**options, ppo_epochs=2)
    first, both = once.run_step(), twice.run_step()
    left, met = once.run.read("samples"), twice.run.read("samples")
    ratios = [ratio for row in left for ratio in row["ratio"]]
    assert first["policy/update_kl"] == pytest.approx(
        statistics.fmean(r - 1 - math.log(r) for r in ratios), abs=1e-3
    )
    assert first["policy/outside_clip"] == pytest.approx(
        statistics.fmean(not 0.9 <= r <= 1.1 for r in ratios), abs=0.02
    )
    assert first["policy/ratio_p01"] < first["policy/ratio_p99"]
    assert sum(r < first["policy/ratio_p01"] for r in ratios) <= 0.02 * len(ratios)
    assert sum(r > first["policy/ratio_p99"] for r in ratios) <= 0.02 * len(ratios)
    # At the first visit nothing has moved, so no clip can stop anything.
    assert both["policy/clip_fraction_by_epoch"][0] == 0.0
    assert both["policy/update_kl_by_epoch"] == pytest.approx(
        [0.0, first["policy/update_kl"]], abs=1e-5
    )
    assert not any(flag for row in left for flag in row["clipped"])
    stopped = []
    for before, row in zip(left, met, strict=True):
        for ratio, advantage, clipped in zip(
            before["ratio"], row["advantage"], row["clipped"], strict=True
        ):
            assert clipped == (ratio > 1.1 if advantage > 0 else ratio < 0.9)
            stopped.append(clipped)
    assert 0 < sum(stopped) < len(stopped)
    share = sum(stopped) / len(stopped)
    assert both["policy/clip_fraction_by_epoch"][1] == pytest.approx(share)
    assert both["policy/clip_fraction"] == pytest.approx(share / 2)


@pytest.fixture
def movements(monkeypatch):
    """Note what each step's row is made of: (rollout, Movement)."""
    seen, real = [], train_ppo_module.metrics_row

    def noting(step, rollout, tensors, moved, *updates, **ranges):
        seen.append((rollout, moved))
        return real(step, rollout, tensors, moved, *updates, **ranges)

    monkeypatch.setattr(train_ppo_module, "metrics_row", noting)
    return seen


def test_the_ratio_of_a_visit_stands_at_its_own_token(trainer, movements):
    """All responses in one minibatch: what epoch 2 sees is what epoch 1 alone leaves behind."""
    for epochs in (1, 2):
        trainer(learning_rate=1e-2, minibatch_size=8, ppo_epochs=epochs).run_step()
    left, met = movements[0][1].ratio_after, movements[1][1].ratio[1]
    assert float(left.std()) > 0.05
    torch.testing.assert_close(met, left, atol=1e-4, rtol=1e-4)


def test_explained_variance_is_that_of_the_rewards_that_really_came(trainer):
    one = trainer(gamma=0.9, gae_lambda=0.5)
    row, samples = one.run_step(), one.run.read("samples")
    realised, values = [], []
    for x in samples:
        for start in range(len(x["reward"])):
            realised.append(sum(0.9**k * r for k, r in enumerate(x["reward"][start:])))
        values += x["value"]
    errors = [a - b for a, b in zip(realised, values, strict=True)]
    expected = 1 - statistics.pvariance(errors) / statistics.pvariance(realised)
    assert row["value/explained_variance"] == pytest.approx(expected, rel=1e-3)


def test_the_two_gradients_are_measured_now_and_then_and_change_nothing(trainer, monkeypatch):
    one, other = trainer(), trainer()
    rows = [one.run_step() for _ in range(6)]
    monkeypatch.setattr(train_ppo_module, "GRADIENT_PARTS_EVERY", 10**6)
    without = [other.run_step() for _ in range(6)]
    measured = [row["step"] for row in rows if "policy/gradient_norm_value" in row]
    assert measured == [1, 6]
    assert rows[0]["policy/gradient_norm_policy"] > 0 < rows[0]["policy/gradient_norm_value"]
    assert [row["policy/loss"] for row in rows] == [row["policy/loss"] for row in without]


def test_a_judge_is_told_beside_the_reward_and_nothing_is_trained_on_it(trainer):
    def shorter(prompts, responses):
        return -longer(prompts, responses)

    alone, judged, same = trainer(), trainer(judge=shorter), trainer(judge=longer)
    rows = [[one.run_step() for _ in range(2)][1] for one in (alone, judged, same)]
    assert "judge/score" not in rows[0]
    assert rows[1]["judge/score"] == pytest.approx(-rows[1]["objective/score"], abs=1e-4)
    assert rows[2]["judge/score"] == pytest.approx(rows[2]["objective/score"], abs=1e-4)
    assert rows[1]["judge/agreement"] == pytest.approx(1 - rows[2]["judge/agreement"])
    assert (
        rows[2]["judge/agreement"] > 0.9
    )  # all but the responses of equal length, which are halves
    assert rows[0]["policy/loss"] == rows[1]["policy/loss"] == rows[2]["policy/loss"]


def test_the_judge_reads_each_response_with_its_own_prompt(trainer):
    row = trainer(scorer=checksum, judge=checksum).run_step()
    assert row["judge/score"] == pytest.approx(row["objective/score"], abs=1e-4)
    assert row["judge/agreement"] > 0.9  # all but equal texts, which are halves
