"""Options of an overoptimise run, and those that it passes on to its parts."""

import pytest

from rlhf_demo.config.overoptimise import SIZES, OveroptimiseConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError

GIVEN = {"policy": "some/model", "seed": 7, "dtype": "float32", "device": "cpu"}


def test_parts_get_its_options_and_their_own_defaults():
    config = OveroptimiseConfig(
        **GIVEN, data="pairs.jsonl", train_pairs=50, judge="longer", prompts="prompts.txt",
        total_steps=9, checkpoint_every=3,
    )  # fmt: skip
    shared = {name: GIVEN[name] for name in ("seed", "dtype", "device")}
    assert config.proxy == RewardConfig(
        model="some/model", data="pairs.jsonl", train_pairs=50, **shared
    )
    assert config.ppo == PPOConfig(
        policy="some/model", reward="proxy", judge="longer", prompts="prompts.txt", total_steps=9,
        checkpoint_every=3, kl_coef=0.0, kl_target=0.0, kl_budget=200.0, **shared,
    )  # fmt: skip


def test_default_is_the_smallest_proxy_and_a_judge_that_taught_none():
    config = OveroptimiseConfig()
    assert (config.train_pairs, config.judge) == (min(SIZES), "fluency-judge")


@pytest.mark.parametrize("judge", ["auto", "none"])
def test_a_run_without_a_judge_is_refused(judge):
    with pytest.raises(ConfigError, match=f"--judge is '{judge}': name the judge to compare with"):
        OveroptimiseConfig(judge=judge)


@pytest.mark.parametrize(
    ("name", "value"),
    [("train_pairs", 7), ("best_of", 1), ("best_of", 65), ("best_of_prompts", 1)],
)
def test_too_few_or_too_many_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} is {value}: the "):
        OveroptimiseConfig(**{name: value})
