"""KL and the reward of each token, against hand-worked numbers.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.objectives.rewards import adapt_kl_coef, exact_kl, kl_k1, token_rewards
from tests.tensors import F, T, tensor


def test_kl_is_zero_outside_the_mask_and_signed_inside():
    logprobs, ref = tensor([[-1.0, -2.0, -9.0]]), tensor([[-1.5, -1.0, 0.0]])
    mask = torch.tensor([[T, T, F]])
    assert_close(kl_k1(logprobs, ref, mask), tensor([[0.5, -1.0, 0.0]]))


def test_exact_kl_sums_over_the_vocabulary_at_the_temperature():
    # At temperature 0.5, logits (0, ln 2) are (1/5, 4/5) and (0, 0) are (1/2, 1/2):
    # 0.2 ln(0.2 / 0.5) + 0.8 ln(0.8 / 0.5). The other way round: 0.5 ln(0.5/0.2) + 0.5 ln(0.5/0.8).
    one, even = tensor([[0.0, math.log(2.0)]]), tensor([[0.0, 0.0]])
    there = 0.2 * math.log(0.4) + 0.8 * math.log(1.6)
    back = 0.5 * math.log(2.5) + 0.5 * math.log(0.625)
    assert_close(exact_kl(one, even, 0.5), tensor([there]))
    assert_close(exact_kl(even, one, 0.5), tensor([back]))
    assert exact_kl(one, one + 3.0, 0.5).tolist() == [pytest.approx(0.0, abs=1e-12)]


def test_exact_kl_is_torchs_own_and_the_mean_of_k1(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    logits, ref = torch.randn(2, 150, 7, generator=generator, dtype=torch.float64)
    before = logits.clone(), ref.clone()
    found = exact_kl(logits, ref, 0.7)
    p, q = (torch.distributions.Categorical(logits=x / 0.7) for x in (logits, ref))
    assert_close(found, torch.distributions.kl_divergence(p, q))
    assert_close((logits, ref), before, atol=0, rtol=0)  # nothing modifies its inputs
    tokens = torch.multinomial(p.probs, 20_000, replacement=True, generator=generator)
    k1 = p.logits.gather(1, tokens) - q.logits.gather(1, tokens)
    assert abs(float(k1.mean() - found.mean())) < 4 * float(k1.std()) / math.sqrt(k1.numel())


def test_exact_kl_of_tokens_ruled_out_on_both_sides_is_that_of_the_others():
    logits, ref = tensor([[0.0, 1.0, -1e9]]), tensor([[0.5, 0.0, -1e9]])
    assert_close(exact_kl(logits, ref, 0.7), exact_kl(logits[:, :2], ref[:, :2], 0.7))


def test_token_rewards_put_the_score_on_the_last_real_token():
    kl = tensor([[0.5, -1.0, 0.0], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[T, T, F], [T, T, T]])
    # -0.1 * kl everywhere; + 2 at token 1 of row 0, - 1 at token 2 of row 1.
    expected = tensor([[-0.05, 0.1 + 2.0, 0.0], [-0.1, -0.2, -0.3 - 1.0]])
    assert_close(token_rewards(tensor([2.0, -1.0]), kl, mask, 0.1), expected)


@pytest.mark.parametrize(
    ("kl", "expected"), [(6.0, 0.2), (60.0, 0.208), (0.0, 0.192), (6.6, 0.204)]
)
def test_kl_coef_rises_above_the_target_and_falls_below_it(kl, expected):
    # error = clip(kl / 6 - 1, -0.2, 0.2); coefficient * (1 + 0.2 * error).
    assert adapt_kl_coef(0.2, kl, 6.0) == pytest.approx(expected)
