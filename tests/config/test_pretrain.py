"""What the pretraining of a base model can be asked for."""

import pytest

from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.errors import ConfigError


def test_text_unit_of_an_older_run_is_read_by_its_name_of_today():
    assert BaseConfig.from_dict({"stage": "packed", "seed": 3}) == BaseConfig(
        text_unit="packed", seed=3
    )


def test_text_unit_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="'words': choose one of packed, segments, plain"):
        BaseConfig(text_unit="words")
