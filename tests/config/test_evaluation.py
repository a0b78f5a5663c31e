"""What writing responses and comparing models can be asked for."""

import pytest

from rlhf_demo.config.evaluation import CompareConfig, DuelOptions, GenerateConfig
from rlhf_demo.errors import ConfigError


def test_models_are_never_compared_on_prompts_that_they_were_trained_on():
    assert CompareConfig().split == "test"
    with pytest.raises(ConfigError, match="'train': choose one of test, heldout"):
        CompareConfig(split="train")


def test_all_three_sample_alike_where_nothing_is_given():
    for cls in (GenerateConfig, DuelOptions):
        for name in ("max_new_tokens", "temperature", "seed"):
            assert getattr(cls(), name) == getattr(CompareConfig(), name)


def test_nothing_is_ruled_out_where_nothing_is_given():
    options = DuelOptions()
    assert (options.top_k, options.top_p) == (0, 1.0)
    with pytest.raises(ConfigError, match=r"--top-p is 1\.1"):
        DuelOptions(top_p=1.1)
