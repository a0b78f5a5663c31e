"""Options for training the rater."""

import pytest

from rlhf_demo.config.rater import RaterConfig
from rlhf_demo.errors import ConfigError


def test_rater_is_always_an_adapter():
    assert RaterConfig(lora_rank=1).lora_rank == 1
    with pytest.raises(ConfigError, match="--lora-rank is 0: the lowest value is 1"):
        RaterConfig(lora_rank=0)


def test_report_is_on_all_test_reviews_or_on_one_at_least():
    assert RaterConfig().report_reviews is None
    with pytest.raises(ConfigError, match="--report-reviews is 0"):
        RaterConfig(report_reviews=0)
