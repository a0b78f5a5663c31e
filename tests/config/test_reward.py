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


@pytest.mark.parametrize(("share", "bound"), [(-0.1, "lowest value is 0.0"), (1.1, "highest")])
def test_label_noise_is_a_share_and_none_by_default(share, bound):
    assert RewardConfig().label_noise == 0
    with pytest.raises(ConfigError, match=f"--label-noise is {share}: the {bound}"):
        RewardConfig(label_noise=share)
