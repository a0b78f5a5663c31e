"""GRPO's options are RLOO's, but its KL coefficient weighs another KL."""

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.options import declarations
from rlhf_demo.config.rloo import RLOOConfig


def test_grpo_has_the_options_of_rloo_with_their_defaults():
    assert GRPOConfig().to_dict() == RLOOConfig().to_dict()


def test_unit_of_the_kl_coefficient_is_a_tokens_nat():
    helps = [
        {one.name: one.metadata["help"] for one, *_ in declarations(config)}
        for config in (RLOOConfig, GRPOConfig)
    ]
    differing = {name for name in helps[0] if helps[0][name] != helps[1][name]}
    assert differing == {"kl_coef"} and "mean KL per token" in helps[1]["kl_coef"]
