"""What the training of a reward model can be asked for."""

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError


def test_all_weights_may_be_trained_but_not_on_no_pairs_or_for_no_epoch():
    assert RewardConfig(lora_rank=0).lora_rank == 0
    for name in ("train_pairs", "epochs", "batch_size"):
        flag = name.replace("_", "-")
        with pytest.raises(ConfigError, match=f"--{flag} is 0: the lowest value is 1"):
            RewardConfig(**{name: 0})
