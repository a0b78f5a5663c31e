"""What a PPO step measures after its updates, and a run at its end, worked out again."""

import json
import math
import statistics

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf_demo.files import read_json
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.reward_scale import RewardScale
from rlhf_demo.train import ppo as train_ppo_module
from rlhf_demo.train.ppo_report import ppo_report
from rlhf_demo.train.rollout import Rollout
from tests.stepping import checksum, longer, trainer_maker


@pytest.fixture
def trainer(tiny_model_folder, prompts_file, tmp_path):
    return trainer_maker(tiny_model_folder, prompts_file, tmp_path)


def test_movement_is_logged_by_epoch_and_after_the_update(trainer):
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
    monkeypatch.setattr(train_ppo_module, "GRADIENT_TERMS_EVERY", 10**6)
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


def test_more_responses_than_are_read_again_are_told_of_by_the_first(trainer, monkeypatch):
    """Forty responses, of which 32 are read again and judged."""
    seen, real = [], train_ppo_module.metrics_row

    def noting(step, rollout, tensors, moved, updates, **how):
        seen.append((rollout, moved))
        return real(step, rollout, tensors, moved, updates, **how)

    monkeypatch.setattr(train_ppo_module, "metrics_row", noting)
    one = trainer(
        scorer=checksum, judge=checksum, batch_size=40, minibatch_size=40, learning_rate=3e-3
    )
    rows = [one.run_step() for _ in range(2)]
    rollout, moved = seen[1]
    whole = token_outputs(
        one.policy, rollout.sequence_ids, rollout.attention_mask, rollout.response_mask, 0.7
    )
    ratio = torch.exp(whole.logprobs - rollout.old_logprobs).detach()[:32]
    time = moved.mask_after.shape[1]
    assert torch.equal(moved.mask_after, rollout.response_mask[:32, :time])
    assert (ratio[:, :time] - 1).abs().max() > 0.05
    torch.testing.assert_close(moved.ratio_after, ratio[:, :time], atol=1e-4, rtol=1e-4)
    # The judge is the reward here, so it agrees on all pairs (but ties), and its mean is that of
    # the same 32 scores.
    scores = one.run.read("distributions")[1]["scores"]
    assert len(scores) == 40
    assert rows[1]["judge/score"] == pytest.approx(statistics.fmean(scores[:32]), abs=1e-3)
    assert rows[1]["judge/agreement"] > 0.99


@pytest.fixture
def reported(trainer, tmp_path, monkeypatch):
    """A run of one step that moves far, and what its report was made of.

    Returns:
        The trainer, the held-out prompts, each call of the scorer, and the report's rollouts.
    """
    prompts = tmp_path / "own.jsonl"
    names = ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"]
    rows = [("train", f"{name} of us") for name in names]
    rows += [("heldout", f"{name} films") for name in (*names, *names, "Nine", "Ten")]
    rows += [("heldout", "One of us")]  # trained on, so it is not reported on
    prompts.write_text("".join(json.dumps({"prompt": p, "split": s}) + "\n" for s, p in rows))
    calls, rollouts, real = [], [], train_ppo_module.ppo_report

    def noting(prompts, responses):
        calls.append((prompts, responses))
        return checksum(prompts, responses)

    def noting_report(made, scale):
        rollouts.extend(made)
        return real(made, scale)

    monkeypatch.setattr(train_ppo_module, "ppo_report", noting_report)
    one = trainer(scorer=noting, prompts=str(prompts), total_steps=1, learning_rate=1e-2)
    one.train(resume=False)
    return one, [prompt for _, prompt in rows[8:-1]], calls, rollouts


def test_report_is_on_every_held_out_prompt_once_each_with_its_own_noise(reported):
    one, asked, calls, _ = reported
    first, second, third = calls[-3:]  # batches of 8, 8 and 2
    assert [*first[0], *second[0], *third[0]] == asked
    assert first[0] == second[0] and first[1] != second[1]  # the same prompts, other answers
    report = read_json(one.run.folder / "report.json")
    assert (report["prompts"], report["held_out"]) == (18, True)


def test_report_tells_the_score_in_deviations_of_the_bases(reported):
    one, _, calls, _ = reported
    raw = [float(x) for call in calls[-3:] for x in checksum(*call)]
    of_base = checksum(*calls[0]).tolist()  # the scale is measured first
    assert len(of_base) == 256
    scores = [(x - statistics.fmean(of_base)) / statistics.pstdev(of_base) for x in raw]
    report = read_json(one.run.folder / "report.json")
    assert report["raw_score"] == pytest.approx(statistics.fmean(raw), abs=1e-4)
    assert report["score"] == pytest.approx(statistics.fmean(scores), abs=1e-4)
    assert report["score_se"] == pytest.approx(statistics.stdev(scores) / math.sqrt(18), abs=1e-4)


def test_report_tells_the_exact_kl_of_the_saved_model_from_the_base(reported, tiny_model_folder):
    """Each response is read alone, by plain transformers, and summed over the vocabulary."""
    one, _, _, rollouts = reported
    saved = AutoModelForCausalLM.from_pretrained(one.run.folder / "model")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    kl, k1 = [], []
    for rollout in rollouts:
        texts = zip(rollout.sequence_ids, rollout.attention_mask, rollout.responses(), strict=True)
        for ids, attended, response in texts:
            tokens, length = ids[attended], len(response)
            with torch.no_grad():
                ours, theirs = (
                    torch.log_softmax(model(tokens[None]).logits[0, -length - 1 : -1] / 0.7, -1)
                    for model in (saved, base)
                )
            kl.append(float((ours.exp() * (ours - theirs)).sum()))
            k1.append(float((ours - theirs)[range(length), tokens[-length:]].sum()))
    report = read_json(one.run.folder / "report.json")
    assert abs(statistics.fmean(k1) - statistics.fmean(kl)) > 0.1  # the cheap one tells otherwise
    assert report["kl"] == pytest.approx(statistics.fmean(kl), abs=1e-3)
    assert report["kl_se"] == pytest.approx(statistics.stdev(kl) / math.sqrt(18), abs=1e-3)


def rolled_out(kl, scores, lengths):
    """Make what `ppo_report` reads of responses: KL by token, and padding after their lengths."""
    mask = torch.arange(3) < torch.tensor(lengths)[:, None]
    blank = torch.zeros(mask.shape)
    return Rollout(
        sequence_ids=mask.long(), attention_mask=mask, response_mask=mask, old_logprobs=blank,
        ref_logprobs=blank + 1, kl=torch.tensor(kl), old_values=blank,
        scores=torch.tensor(scores), has_eos=mask[:, 0],
    )  # fmt: skip


def test_report_of_three_responses_worked_by_hand():
    rollouts = [
        rolled_out([[0.5, 0.5, 0.0], [3.0, 0.0, 0.0]], [3.0, 5.0], [2, 1]),
        rolled_out([[1.0, 2.0, 2.0]], [10.0], [3]),
    ]
    assert ppo_report(rollouts, RewardScale(mean=2.0, std=4.0, samples=256)) == pytest.approx(
        {
            "kl": 3.0,  # of 1, 3 and 5
            "kl_se": math.sqrt(4 / 3),
            "score": 1.0,  # of 0.25, 0.75 and 2
            "score_se": math.sqrt(0.8125 / 3),
            "raw_score": 6.0,
            "length": 2.0,
            "prompts": 3,
        }
    )


def test_report_on_prompts_that_hold_no_others_says_so(trainer):
    one = trainer(total_steps=1)
    one.train(resume=False)
    report = read_json(one.run.folder / "report.json")
    assert (report["prompts"], report["held_out"]) == (6, False)
