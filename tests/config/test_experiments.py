"""The experiments change what they say, and can be decided."""

import json

import pytest

from rlhf_demo.config.experiments import DEFAULT_REWARD, DEFAULT_RUN, EXPERIMENTS
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.paths import CHECKPOINTS


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_experiment_has_valid_options_and_three_answers_in_order(experiment):
    STAGES[experiment.kind].config(**experiment.options)
    RewardConfig(**experiment.reward or {})
    assert experiment.metric in GLOSSARY
    assert experiment.bounds[0] < experiment.bounds[1]
    assert len(set(experiment.answers)) == 3
    assert experiment.question.endswith(("?", "."))


def test_each_changes_what_its_title_says():
    changed = {name: (each.kind, each.options, each.reward) for name, each in EXPERIMENTS.items()}
    assert changed == {
        "no-kl": ("ppo", {"kl_coef": 0.0, "kl_target": 0.0, "kl_budget": 200.0}, None),
        "flipped-20": ("ppo", {}, {"label_noise": 0.2}),
        "flipped-40": ("ppo", {}, {"label_noise": 0.4}),
        "length-rule": ("ppo", {"reward": "longer", "judge": "star-rater"}, None),
        "clip-10": ("ppo", {"clip_range": 10.0}, None),
        "pairs-100": ("ppo", {}, {"train_pairs": 100}),
        "rloo": ("rloo", {}, None),
    }


def test_default_run_is_a_shipped_example_with_the_default_options_and_seed():
    for name, config in ((DEFAULT_RUN, PPOConfig), (DEFAULT_REWARD, RewardConfig)):
        path = CHECKPOINTS / "examples" / name / "config.json"
        options = json.loads(path.read_text(encoding="utf-8"))["options"]
        assert config.from_dict(options) == config()
