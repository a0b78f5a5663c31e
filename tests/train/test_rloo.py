"""RLOO's step, worked out again in plain Python; and what GRPO has in common with it.

Both are PPO's loop, whose own tests hold for them; here stands what they do otherwise.
"""

import json
import statistics

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import grpo as grpo_module
from rlhf_demo.train import rloo as rloo_module
from rlhf_demo.train.grpo import GRPOTrainer, train_grpo
from rlhf_demo.train.rloo import RLOOTrainer, train_rloo
from rlhf_demo.train.schedule import step_prompts
from tests.command import refused
from tests.stepping import checksum, longer, trainer_maker

METHODS = {
    "rloo": (RLOOTrainer, RLOOConfig, train_rloo, rloo_module, "clipped_loss"),
    "grpo": (GRPOTrainer, GRPOConfig, train_grpo, grpo_module, "grpo_loss"),
}
SAMPLES = 4
SMALL = {"samples_per_prompt": SAMPLES, "total_steps": 4, "checkpoint_every": 2}
OF_VALUES = {"value", "return", "values", "value/loss", "value/explained_variance"}


@pytest.fixture
def trainer(tiny_model_folder, prompts_file, tmp_path):
    return trainer_maker(tiny_model_folder, prompts_file, tmp_path, RLOOTrainer, RLOOConfig)


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def maker(method, tiny_model_folder, prompts_file, tmp_path):
    """Make a trainer of either method."""
    kinds = METHODS[method][:2]
    return trainer_maker(tiny_model_folder, prompts_file, tmp_path, *kinds)


@pytest.fixture
def losses(monkeypatch, method):
    """Note what the loss is given: one dictionary of tensors and coefficients a minibatch."""
    *_, module, name = METHODS[method]
    calls, real = [], getattr(module, name)

    def noting(logprobs, entropy, **given):
        calls.append(given)
        return real(logprobs, entropy, **given)

    monkeypatch.setattr(module, name, noting)
    return calls


def groups_of(rows):
    return [rows[start : start + SAMPLES] for start in range(0, len(rows), SAMPLES)]


def earned(row, scale, missing_eos_penalty):
    ended = row["token"][-1] == "<|endoftext|>"
    return (row["score"] - scale["mean"]) / scale["std"] - (0.0 if ended else missing_eos_penalty)


# -- RLOO ------------------------------------------------------------------------------------------


def test_advantage_is_the_response_less_the_others_to_its_prompt_with_kl_in_the_reward(trainer):
    one = trainer(
        samples_per_prompt=SAMPLES, scorer=checksum, learning_rate=1e-2, kl_coef=0.4,
        kl_target=0.0, missing_eos_penalty=2.0,
    )  # fmt: skip
    one.run_step()
    metrics = one.run_step()  # the policy has moved, so its KL is not 0
    scale = read_json(one.run.folder / "reward_scale.json")["reward"]
    rows = [row for row in one.run.read("samples") if row["step"] == 2]
    assert len(rows) == 8  # all of the step's
    rewards = []
    for row in rows:
        drift = sum(row["logprob"]) - sum(row["ref_logprob"])
        assert abs(drift) > 0.01  # else the price would not show
        rewards.append(earned(row, scale, 2.0) - 0.4 * drift)
        assert sum(row["reward"]) == pytest.approx(rewards[-1], abs=5e-3)
    for group, own in zip(groups_of(rows), groups_of(rewards), strict=True):
        for place, row in enumerate(group):
            others = statistics.fmean(own[:place] + own[place + 1 :])
            expected = [own[place] - others] * len(row["token"])
            assert row["advantage"] == pytest.approx(expected, abs=1e-2)
    assert metrics["objective/reward"] == pytest.approx(statistics.fmean(rewards), abs=1e-2)
    assert "policy/kl_k3" not in metrics


# -- both ------------------------------------------------------------------------------------------


def test_each_prompt_of_a_step_is_answered_several_times(maker):
    one = maker(samples_per_prompt=SAMPLES, batch_size=24, minibatch_size=8)
    first, second = (step_prompts(one.config, one.prompts, step) for step in (1, 2))
    assert len(first) == len(second) == 24
    for prompts in (first, second):
        assert all(len(set(group)) == 1 for group in groups_of(prompts))
    # Six prompts a step, and six there are: each comes in each step, in another order.
    assert sorted(set(first)) == sorted(set(second)) == sorted(one.prompts)
    assert first != second
    one.run_step()
    texts = [row["response"] for row in one.run.read("samples")]
    assert len(set(texts[:SAMPLES])) > 1  # the same prompt, other noise


def test_tokens_of_a_response_have_one_advantage_and_it_reaches_the_loss(maker, losses, method):
    one = maker(samples_per_prompt=SAMPLES, scorer=checksum, clip_range=0.11, entropy_coef=0.44)
    one.run_step()
    told = [row["advantage"] for row in one.run.read("samples")]
    assert all(len(set(row)) == 1 for row in told) and len({row[0] for row in told}) > 4
    given = [
        row[real].tolist()
        for call in losses[:2]  # one epoch
        for row, real in zip(call["advantages"], call["response_mask"], strict=True)
    ]
    assert sorted(round(row[0], 3) for row in given) == pytest.approx(
        sorted(round(row[0], 3) for row in told), abs=2e-3
    )
    for call in losses:
        assert (call["clip_range"], call["entropy_coef"]) == (0.11, 0.44)
        assert not {"old_values", "returns", "value_coef"} & call.keys()


def test_minibatches_get_the_advantages_of_their_own_responses(maker, losses):
    """Each response's advantage is known by the log-probabilities it was sampled with."""
    one = maker(samples_per_prompt=SAMPLES, scorer=checksum)
    one.run_step()
    expected = {
        round(sum(row["logprob"]), 2): row["advantage"][0] for row in one.run.read("samples")
    }
    assert len(expected) == 8
    for call in losses:
        for old, own in zip(call["old_logprobs"], call["advantages"], strict=True):
            assert expected[round(float(old.sum()), 2)] == pytest.approx(float(own[0]), abs=1e-3)


def test_what_only_a_value_head_has_is_absent_everywhere(maker, method):
    one = maker(samples_per_prompt=SAMPLES, total_steps=1)
    one.train(resume=False)
    (metrics,), (spread,) = one.run.read("metrics"), one.run.read("distributions")
    names = {*metrics, *spread, *(key for row in one.run.read("samples") for key in row)}
    assert not OF_VALUES & names
    assert not {name for name in names if name.startswith("policy/gradient_norm_")}
    assert {"objective/score", "policy/loss", "ratio", "words", "advantage"} <= names
    assert not (one.run.model_folder / "value_head.safetensors").exists()
    assert "nan" not in json.dumps(metrics).lower()


def test_value_head_of_the_policy_that_it_starts_from_is_left_behind(
    maker, tiny_model_folder, tmp_path
):
    with_head = load_policy(str(tiny_model_folder), device=torch.device("cpu"), value_head=True)
    with_head.save(tmp_path / "with a head")
    one = maker(policy=str(tmp_path / "with a head"), samples_per_prompt=SAMPLES)
    assert not [name for name in one.trainable if "value_head" in name]
    assert "value" not in one.run_step().keys() | one.run.read("samples")[0].keys()


def test_fifteen_steps_raise_the_score_of_a_toy_reward(maker):
    """A reward for one letter: the policy learns to write tokens that hold it."""

    def scorer(prompts, responses):
        return torch.tensor([float(response.count("a")) for response in responses])

    one = maker(
        scorer, total_steps=15, batch_size=32, minibatch_size=16, learning_rate=6e-3,
        kl_coef=0.0, kl_target=0.0, missing_eos_penalty=0.0, samples_per_prompt=SAMPLES,
    )  # fmt: skip
    scores = [one.run_step()["objective/score"] for _ in range(15)]
    assert sum(scores[-5:]) / 5 > sum(scores[:5]) / 5 + 0.3


def test_dearer_drift_ends_closer_to_the_reference(maker):
    kls = []
    for price in (0.0, 1.0):
        one = maker(
            kl_coef=price, kl_target=0.0, learning_rate=3e-3, total_steps=8, batch_size=32,
            minibatch_size=16, samples_per_prompt=SAMPLES,
        )  # fmt: skip
        kls.append([one.run_step() for _ in range(8)][-1]["objective/kl"])
    free, dear = kls
    assert free > 2 * dear


def test_kl_coefficient_follows_the_kl_of_the_step(maker):
    one = maker(kl_coef=0.5, kl_target=1e-3, learning_rate=1e-2, samples_per_prompt=SAMPLES)
    # KL 0 in the first step, then far above the target: 4% down, then 4% up.
    told = [one.run_step()["objective/kl_coef"] for _ in range(3)]
    assert told == pytest.approx([0.5, 0.5 * 0.96, 0.5 * 0.96 * 1.04])


# -- stopped and resumed ---------------------------------------------------------------------------


def without_time(rows):
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


def assert_same_run(one, other):
    for name in ("metrics", "samples", "distributions"):
        assert without_time(one.read(name)) == without_time(other.read(name))
    assert read_json(one.folder / "report.json") == read_json(other.folder / "report.json")
    weights = [
        AutoModelForCausalLM.from_pretrained(run.model_folder).state_dict() for run in (one, other)
    ]
    assert_close(*weights, atol=0, rtol=0)


@pytest.mark.parametrize("call", [4, 6])
def test_stopped_inside_a_step_and_resumed_equals_uninterrupted(maker, method, call):
    """Call 4 of the scorer is the rollout of step 3, after the scale and two steps."""
    train = METHODS[method][2]
    whole = maker(**SMALL)
    whole.train(resume=False)
    stopped = maker(**SMALL)
    run, calls = Run.create(stopped.run.folder.parent / "own", method, stopped.config.to_dict()), []

    def scorer(prompts, responses):
        calls.append(1)
        if len(calls) == call:
            run.request_stop()
        return longer(prompts, responses)

    train(stopped.config, run, scorer=scorer)
    assert run.status["status"] == Status.STOPPED
    train(stopped.config, run, scorer=longer, resume=True)
    assert run.status["status"] == Status.FINISHED
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3, 4]
    assert_same_run(whole.run, run)


def test_stopped_between_minibatches_and_resumed_equals_uninterrupted(maker, method, monkeypatch):
    _, _, train, module, name = METHODS[method]
    whole = maker(**SMALL)
    whole.train(resume=False)
    stopped = maker(**SMALL)
    run, calls = Run.create(stopped.run.folder.parent / "own", method, stopped.config.to_dict()), []
    original = getattr(module, name)

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:  # step 2 has minibatches 5 to 8
            run.request_stop()
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    train(stopped.config, run, scorer=longer)
    assert [row["step"] for row in run.read("metrics")] == [1]
    monkeypatch.setattr(module, name, original)
    train(stopped.config, run, scorer=longer, resume=True)
    assert_same_run(whole.run, run)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--samples-per-prompt", 1], "--samples-per-prompt is 1: the lowest value is 2"),
        (["--batch-size", 48, "--samples-per-prompt", 5], "multiple of --samples-per-prompt (5)"),
        (["--value-coef", 1], "unrecognized arguments: --value-coef"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(method, capsys, tmp_path, flags, sentence):
    folder = tmp_path / "run"
    assert sentence in refused(capsys, f"train-{method}", "--run-dir", folder, *flags)
    assert not folder.exists()
