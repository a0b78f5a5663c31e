"""Settings of PPO that must fit together."""

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import ConfigError


def test_minibatch_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ConfigError, match=r"--batch-size is 64.*--minibatch-size \(48\)"):
        PPOConfig(batch_size=64, minibatch_size=48)
    with pytest.raises(ConfigError, match="multiple"):
        PPOConfig(batch_size=8, minibatch_size=16)


def test_minibatches_counts_the_optimiser_steps_of_a_rollout():
    # 3 passes over 24 responses in slices of 8: 3 * 3.
    assert PPOConfig(batch_size=24, minibatch_size=8, ppo_epochs=3).minibatches == 9
