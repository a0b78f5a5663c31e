"""The named settings of PPO are settings that it takes."""

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS


def test_presets_make_valid_configs():
    for preset in PPO_PRESETS.values():
        PPOConfig(**preset.options)
    assert PPO_PRESETS["quick"].options == {}  # it is the defaults
