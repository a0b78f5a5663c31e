"""PPO on what ships: the base, for a few real steps."""

import pytest
import torch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.files import read_json
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import train_ppo


def start(folder, reward, **changes):
    config = PPOConfig(reward=reward, judge="none", samples_every=100, **changes)
    run = Run.create(folder, "ppo", config.to_dict())
    train_ppo(
        config, run, scorer=load_scorer(reward, device=torch.device("cpu"), allow_python=True)
    )
    return run.read("metrics"), read_json(run.folder / "report.json")


@pytest.mark.slow
def test_eight_steps_raise_the_score_on_held_out_prompts_at_little_kl(tmp_path):
    """0.86 at 1.6 nats when this was written; without the KL penalty 1.4 at 8.1 nats."""
    _, report = start(tmp_path / "run", "reward-mini", total_steps=8)
    assert report["held_out"] and report["prompts"] == 256
    assert report["score"] > 0.6
    assert 0.8 < report["kl"] < 2.4


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["longer", "rewards_of_a_user:count_commas"])
def test_a_reward_of_any_size_trains_like_any_other(tmp_path, monkeypatch, reward):
    """README's own examples. Not standardised, characters had a value loss of 500 and more."""
    source = "def count_commas(prompts, responses):\n    return [r.count(',') for r in responses]\n"
    (tmp_path / "rewards_of_a_user.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    prompts = tmp_path / "prompts.txt"  # fewer than ship, so that the report takes less time
    prompts.write_text("\n".join(load_prompts("shipped", "train")[:64]))
    options = {"total_steps": 6, "batch_size": 32, "max_new_tokens": 16, "prompts": str(prompts)}
    rows, report = start(tmp_path / "run", reward, **options)
    assert len(rows) == 6  # not ended by its KL budget
    assert abs(rows[0]["objective/score"]) < 0.5
    assert all(row["value/loss"] < 10 for row in rows)
    assert report["score"] > 3 * report["score_se"]  # it has learned something
