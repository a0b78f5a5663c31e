"""What sampling preference pairs can be asked for."""

import pytest

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.errors import ConfigError


def test_either_side_may_be_empty_and_not_both():
    assert PairsConfig(train_pairs=0, heldout_pairs=1).train_pairs == 0
    assert PairsConfig(train_pairs=1, heldout_pairs=0).heldout_pairs == 0
    with pytest.raises(ConfigError, match="--train-pairs and --heldout-pairs are both 0"):
        PairsConfig(train_pairs=0, heldout_pairs=0)


def test_a_rater_errs_in_half_of_its_preferences_at_most():
    assert PairsConfig(error_rate=0.5).error_rate == 0.5  # a coin
    with pytest.raises(ConfigError, match=r"--error-rate is 0\.51: the highest value is 0\.5"):
        PairsConfig(error_rate=0.51)
