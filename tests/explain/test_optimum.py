"""The best policy under a KL penalty, by hand and against every neighbour."""

import math

import pytest
import torch

from rlhf_demo.explain.optimum import optimum


def test_two_responses_by_hand():
    """Reference 3/4 and 1/4, rewards 0 and ln 9, beta 1: weights 0.75 and 2.25, so 1/4 and 3/4."""
    best = optimum(torch.tensor([0.75, 0.25]), torch.tensor([0.0, math.log(9)]), beta=1.0)
    torch.testing.assert_close(best, torch.tensor([0.25, 0.75]))


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_no_other_policy_has_a_higher_objective(beta):
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(6, generator=generator, dtype=torch.float64).softmax(-1)
    rewards = torch.randn(6, generator=generator, dtype=torch.float64)

    def objective(policy):
        return (policy * (rewards - beta * (policy / reference).log())).sum()

    best = optimum(reference, rewards, beta)
    for _ in range(50):
        noise = 0.3 * torch.randn(6, generator=generator, dtype=torch.float64)
        other = torch.softmax(best.log() + noise, dim=-1)
        assert objective(other) < objective(best)


def test_a_large_beta_keeps_the_reference_and_a_small_one_takes_the_best():
    reference, rewards = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.0, 1.0, 2.0])
    torch.testing.assert_close(optimum(reference, rewards, 1e6), reference, atol=1e-4, rtol=0)
    assert optimum(reference, rewards, 0.05)[2] > 0.999
