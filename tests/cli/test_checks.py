"""What is looked at before the slow imports."""

from rlhf_demo.cli.checks import NO_MODELS
from rlhf_demo.config.scorers import RULES


def test_rules_are_not_looked_for_among_the_models():
    assert set(RULES) <= set(NO_MODELS)
