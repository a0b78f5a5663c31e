"""RLOO's options are PPO's, but for the value head's."""

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.rloo import RLOOConfig

VALUE_OPTIONS = {"value_clip_range", "value_coef", "gamma", "gae_lambda"}


def test_rloo_has_the_options_of_ppo_with_their_defaults_but_for_the_value_heads():
    rloo, ppo = RLOOConfig().to_dict(), PPOConfig().to_dict()
    assert rloo.pop("samples_per_prompt") == 4
    assert ppo.keys() - rloo.keys() == VALUE_OPTIONS
    assert rloo == {name: ppo[name] for name in rloo}
