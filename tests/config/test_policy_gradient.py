"""Settings of RLOO and GRPO that must fit together."""

import pytest

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.errors import ConfigError


@pytest.mark.parametrize("config_class", [RLOOConfig, GRPOConfig])
def test_batch_that_holds_no_whole_groups_is_refused(config_class):
    with pytest.raises(
        ConfigError,
        match=r"^--batch-size is 64: it must be a multiple of --samples-per-prompt \(6\)$",
    ):
        config_class(samples_per_prompt=6)
    assert config_class(batch_size=48, samples_per_prompt=6).batch_size == 48


@pytest.mark.parametrize("config_class", [RLOOConfig, GRPOConfig])
def test_one_response_to_a_prompt_is_refused(config_class):
    with pytest.raises(ConfigError, match=r"^--samples-per-prompt is 1: the lowest value is 2$"):
        config_class(samples_per_prompt=1)


@pytest.mark.parametrize("config_class", [RLOOConfig, GRPOConfig])
def test_rules_of_the_shared_options_hold(config_class):
    with pytest.raises(ConfigError, match="--minibatch-size"):
        config_class(batch_size=64, minibatch_size=48)
    with pytest.raises(ConfigError, match="--kl-coef is 0"):
        config_class(kl_coef=0.0)


@pytest.mark.parametrize("config_class", [RLOOConfig, GRPOConfig])
def test_batch_size_counts_responses_not_prompts(config_class):
    config = config_class(batch_size=48, samples_per_prompt=6, minibatch_size=12, ppo_epochs=3)
    assert (config.prompts_per_step, config.minibatches) == (8, 12)
