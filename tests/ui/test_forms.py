"""Form fields made from the declarations in config/."""

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.ui.forms import fields, options

NAMES = ("kl_coef", "total_steps", "dtype", "policy")


def test_fields_have_the_defaults_and_choices_that_were_declared():
    kl_coef, steps, dtype, policy = fields(PPOConfig, NAMES)
    assert [type(one).__name__ for one in (kl_coef, steps, dtype, policy)] == [
        "Number", "Number", "Dropdown", "Textbox"
    ]  # fmt: skip
    assert (kl_coef.value, kl_coef.precision) == (0.25, None)
    assert (steps.value, steps.precision) == (40, None)
    assert [value for _, value in dtype.choices] == ["auto", "float32", "bfloat16"]
    assert (policy.value, policy.label) == ("gpt2-mini", "policy")
    assert kl_coef.info == "initial KL coefficient, standard deviations of the score per nat"


def test_values_become_options_of_their_kind():
    found = options(PPOConfig, NAMES, (1, 20.0, "float32", "gpt2"))
    assert found == {"kl_coef": 1.0, "total_steps": 20, "dtype": "float32", "policy": "gpt2"}
    assert type(found["total_steps"]) is int


@pytest.mark.parametrize("typed", [1.5, "3", True, [2]])
def test_number_that_is_not_whole_passes_the_field_and_is_refused_in_a_sentence(typed):
    field = fields(PPOConfig, ("total_steps",))[0].preprocess(typed)
    with pytest.raises(ConfigError, match=r"^--total-steps is .*: give a whole number$"):
        PPOConfig(**options(PPOConfig, ("total_steps",), (field,)))


def test_number_outside_its_range_passes_the_field_and_is_refused_in_a_sentence():
    steps = fields(PPOConfig, ("total_steps",))[0].preprocess(0)
    with pytest.raises(ConfigError, match=r"^--total-steps is 0: the lowest value is 1$"):
        PPOConfig(**options(PPOConfig, ("total_steps",), (steps,)))


def test_number_that_was_emptied_is_said_to_be_missing():
    with pytest.raises(ConfigError, match="total steps is empty: give a number"):
        options(PPOConfig, NAMES, (0.25, None, "auto", "gpt2-mini"))
