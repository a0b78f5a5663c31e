"""SFT's options: it trains and samples as DPO does, on texts instead of pairs."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.errors import ConfigError


def test_sft_has_the_options_of_dpo_but_those_of_its_pairs():
    sft, dpo = SFTConfig().to_dict(), DPOConfig().to_dict()
    assert set(dpo) - set(sft) == {"beta", "train_pairs"}
    assert set(sft) - set(dpo) == {"train_texts"}
    assert sft["data"] == dpo["data"] == "shipped"


def test_no_texts_at_all_are_refused():
    with pytest.raises(ConfigError, match="--train-texts is 0: the lowest value is 1"):
        SFTConfig(train_texts=0)
