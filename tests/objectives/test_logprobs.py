"""Log-probabilities and entropy, against hand-worked numbers and finite differences.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import math

import torch
from torch.testing import assert_close

from rlhf_demo.objectives.logprobs import token_logprobs


def test_token_logprobs_divides_the_logits_by_the_temperature():
    # logits (0, ln 2) at temperature 0.5 are (0, 2 ln 2): probabilities 1/5 and 4/5.
    logits = torch.tensor([[[0.0, math.log(2.0)]]])
    logprobs, entropy = token_logprobs(logits, torch.tensor([[1]]), 0.5)
    assert_close(logprobs, torch.tensor([[math.log(0.8)]]))
    assert_close(entropy, torch.tensor([[-0.8 * math.log(0.8) - 0.2 * math.log(0.2)]]))


def test_token_logprobs_gradient_matches_finite_differences_for_either_result_alone():
    generator = torch.Generator().manual_seed(4)
    # 70 rows: more than are worked on at a time.
    logits = torch.randn(7, 10, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(0, 4, (7, 10), generator=generator)
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda x: token_logprobs(x, ids, 0.7)[part], (logits,))  # noqa: B023


def test_token_logprobs_are_exact_under_autocast_too():
    """Trainings read the logits inside autocast, which would lower some operations' precision."""
    logits = 3.0 * torch.randn(8, 500, generator=torch.Generator().manual_seed(0)) - 50.0
    ids = torch.arange(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logprobs, entropy = token_logprobs(logits, ids, 0.7)
    expected = torch.distributions.Categorical(logits=logits.double() / 0.7)
    assert_close(logprobs.double(), expected.log_prob(ids), atol=1e-4, rtol=0)
    assert_close(entropy.double(), expected.entropy(), atol=1e-4, rtol=0)


def test_gradient_of_a_likely_token_survives_bfloat16():
    """With two tokens and logits (x, 0), d log p_0 / d x = 1 - p_0 = 1 / (1 + e^x)."""
    logits = torch.tensor([[7.0, 0.0], [5.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    logprobs, _ = token_logprobs(logits, torch.tensor([0, 0]), 1.0)
    logprobs.sum().backward()
    expected = torch.tensor([1 / (1 + math.exp(7)), 1 / (1 + math.exp(5))])
    assert_close(logits.grad[:, 0].float(), expected, atol=0, rtol=0.01)
