"""A reward of any size trains alike: scores are brought to the scale of the base's own samples."""

import pytest
import torch

from rlhf_demo.config.ppo import SCALE_SAMPLES, PPOConfig
from rlhf_demo.errors import DataError
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_scale import RewardScale, measure_scales, run_scales
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import train_ppo

HOW = {"max_new_tokens": 4, "temperature": 1.0, "seed": 0}


def test_scale_worked_by_hand():
    # 1, 3, 5, 7: mean 4, deviations 3, 1, 1, 3, so the variance is 20 / 4 = 5.
    scale = RewardScale.of(torch.tensor([1.0, 3.0, 5.0, 7.0]))
    assert (scale.mean, scale.std, scale.samples) == (4.0, pytest.approx(5.0**0.5), 4)
    assert scale.standardised(torch.tensor([4.0, 9.0])).tolist() == pytest.approx([0.0, 5.0**0.5])


def test_scores_that_are_all_the_same_are_shifted_only(caplog):
    scale = RewardScale.of(torch.full((6,), 2.5))
    assert (scale.mean, scale.std) == (2.5, 1.0)
    assert "6 samples all score 2.5" in caplog.text


@pytest.mark.parametrize(("offset", "unit"), [(0.0, 1e-8), (1e7, 1.0), (-5.0, 1e6)])
def test_small_units_and_large_offsets_have_a_scale_too(offset, unit):
    raw = torch.tensor([1.0, 3.0, 5.0, 7.0])
    scale = RewardScale.of(offset + unit * raw)
    assert scale.std == pytest.approx(unit * 5.0**0.5, rel=1e-3)
    assert scale.standardised(offset + unit * raw).tolist() == pytest.approx(
        [(one - 4.0) / 5.0**0.5 for one in raw.tolist()], abs=1e-2
    )


def test_a_judge_that_comes_later_gets_its_scale_then(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))

    def scorer(prompts, responses):
        return torch.tensor([float(len(response)) for response in responses])

    path = tmp_path / "scale.json"
    first = run_scales(path, policy, ["I"], {"reward": scorer}, **HOW)
    both = run_scales(path, policy, ["I"], {"reward": scorer, "judge": scorer}, **HOW)
    assert both == first | {"judge": first["reward"]}


def test_scales_are_those_of_the_bases_answers_to_the_prompts(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))
    seen = []

    def scorer(prompts, responses):
        seen.append((prompts, responses))
        return torch.arange(float(len(responses)))

    scales = measure_scales(policy, ["I", "We", "It"], {"reward": scorer, "judge": scorer}, **HOW)
    (prompts, responses), again = seen
    assert again == (prompts, responses)  # both score the same texts
    assert len(prompts) == SCALE_SAMPLES and set(prompts) == {"I", "We", "It"}
    assert max(map(prompts.count, prompts)) - min(map(prompts.count, prompts)) <= 1
    assert len(set(responses)) > 10
    assert scales["reward"].mean == pytest.approx((SCALE_SAMPLES - 1) / 2)


def test_a_score_that_is_not_finite_is_named(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))

    def broken(prompts, responses):
        return torch.tensor([float("nan"), *[1.0] * (len(responses) - 1)])  # one is enough

    with pytest.raises(DataError, match="the judge gave one of the base's texts the score nan"):
        measure_scales(policy, ["I"], {"judge": broken}, **HOW)


def test_a_run_keeps_its_scale(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))

    def scorer(prompts, responses):
        return torch.tensor([float(len(response)) for response in responses])

    def never(prompts, responses):
        raise AssertionError("a scale that the run has is not measured again")

    path = tmp_path / "scale.json"
    first = run_scales(path, policy, ["I"], {"reward": scorer}, **HOW)
    assert run_scales(path, policy, ["I"], {"reward": never}, **HOW) == first
    assert read_json(path)["reward"]["samples"] == SCALE_SAMPLES


def rows_of(folder, prompts, base, score):
    config = PPOConfig(
        policy=str(base), prompts=str(prompts), reward="longer", total_steps=3, batch_size=8,
        minibatch_size=4, max_new_tokens=6, learning_rate=1e-3, warmup_steps=1, lora_rank=0,
        kl_budget=1e6, dtype="float32",
    )  # fmt: skip
    run = Run.create(folder, "ppo", config.to_dict())

    def scorer(prompts, responses):
        return torch.tensor([score(len(response)) for response in responses])

    train_ppo(config, run, scorer=scorer)
    return run.read("metrics"), run.read("samples")


def test_units_of_a_reward_change_nothing_but_the_scores_that_texts_show(
    tiny_model_folder, prompts_file, tmp_path
):
    """Thousands of characters or thousandths of them: the same training, step by step."""
    ones, texts = rows_of(tmp_path / "1", prompts_file, tiny_model_folder, lambda n: float(n))
    many, scaled = rows_of(tmp_path / "2", prompts_file, tiny_model_folder, lambda n: 7e3 + 1e3 * n)
    for one, other in zip(ones, many, strict=True):
        for name in ("objective/score", "objective/kl", "policy/loss", "value/loss"):
            assert one[name] == pytest.approx(other[name], rel=1e-2, abs=1e-4), name
    assert abs(ones[0]["objective/score"]) < 1.0  # near the base's mean, whatever the unit
    for one, other in zip(texts, scaled, strict=True):
        assert one["score"] == len(one["response"])
        assert other["score"] == 7e3 + 1e3 * len(other["response"])
