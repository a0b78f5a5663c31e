"""Options that DPO and SFT share."""

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.ppo import PPOConfig


def test_policy_is_sampled_and_measured_as_ppos():
    offline, ppo = OfflineConfig().to_dict(), PPOConfig().to_dict()
    shared = (
        "policy", "temperature", "max_new_tokens", "lora_rank", "reward", "label", "judge",
        "prompts", "dtype", "device",
    )  # fmt: skip
    assert {name: offline[name] for name in shared} == {name: ppo[name] for name in shared}
