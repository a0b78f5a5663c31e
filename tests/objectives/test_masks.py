"""Means, whitening and explained variance over a mask, against hand-worked numbers.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import torch
from torch.testing import assert_close

from rlhf_demo.objectives.masks import explained_variance, masked_mean, whiten
from tests.tensors import F, T, tensor


def test_whiten_centres_and_scales_over_the_mask_only():
    # 1 and 3 have mean 2 and variance 1.
    x, mask = tensor([[1.0, 3.0, 100.0]]), torch.tensor([[T, T, F]])
    assert_close(whiten(x, mask), tensor([[-1.0, 1.0, 0.0]]), atol=1e-7, rtol=0)


def test_explained_variance_of_perfect_useless_and_wrong_values():
    returns, mask = tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[T, T, T, F]])
    assert_close(explained_variance(returns, returns, mask), torch.tensor(1.0, dtype=torch.float64))
    assert_close(
        explained_variance(torch.zeros_like(returns), returns, mask),
        torch.tensor(0.0, dtype=torch.float64),
    )
    # values = -returns: error variance is 4 times the returns', so 1 - 4 = -3.
    assert_close(
        explained_variance(-returns, returns, mask), torch.tensor(-3.0, dtype=torch.float64)
    )


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)) == 0
