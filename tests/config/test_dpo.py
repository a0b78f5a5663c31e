"""DPO's options: those of its pairs are the reward model's, those of its policy are PPO's."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError


def test_dpo_learns_from_the_same_pairs_as_the_reward_model_and_samples_as_ppo_does():
    dpo = DPOConfig().to_dict()
    for other, names in [
        (RewardConfig(), ("data", "split", "train_pairs", "epochs", "batch_size", "seed")),
        (PPOConfig(), ("policy", "temperature", "max_new_tokens", "lora_rank", "prompts")),
    ]:
        assert {name: dpo[name] for name in names} == {
            name: other.to_dict()[name] for name in names
        }


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_beta_must_be_positive(beta):
    with pytest.raises(ConfigError, match="--beta is"):
        DPOConfig(beta=beta)
