"""Advantages and returns, against hand-worked numbers; padding and inputs stay as they are.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.errors import ShapeError
from rlhf_demo.objectives.advantages import gae, group_standardised, leave_one_out
from rlhf_demo.objectives.losses import policy_loss
from rlhf_demo.objectives.masks import whiten
from rlhf_demo.objectives.rewards import token_rewards
from tests.tensors import F, T, tensor


def test_gae_worked_by_hand_for_two_lengths():
    rewards = tensor([[1.0, 0.0, 2.0], [0.5, 1.0, 99.0]])
    values = tensor([[0.5, 1.0, 1.5], [1.0, 2.0, 99.0]])
    mask = torch.tensor([[T, T, T], [T, T, F]])
    # gamma 0.9, lambda 0.5, so each step back multiplies by 0.45.
    # Row 0: delta_2 = 2 - 1.5 = 0.5;  A_2 = 0.5
    #        delta_1 = 0 + 0.9 * 1.5 - 1 = 0.35;  A_1 = 0.35 + 0.45 * 0.5 = 0.575
    #        delta_0 = 1 + 0.9 * 1 - 0.5 = 1.4;  A_0 = 1.4 + 0.45 * 0.575 = 1.65875
    # Row 1: delta_1 = 1 - 2 = -1;  delta_0 = 0.5 + 0.9 * 2 - 1 = 1.3;  A_0 = 1.3 - 0.45 = 0.85
    advantages, returns = gae(rewards, values, mask, gamma=0.9, gae_lambda=0.5)
    expected = tensor([[1.65875, 0.575, 0.5], [0.85, -1.0, 0.0]])
    assert_close(advantages, expected)
    assert_close(returns, expected + tensor([[0.5, 1.0, 1.5], [1.0, 2.0, 0.0]]))


def test_gae_with_lambda_one_equals_reward_to_go_less_the_value():
    rewards, values = tensor([[1.0, 2.0, 4.0]]), tensor([[3.0, 5.0, 7.0]])
    advantages, returns = gae(rewards, values, torch.tensor([[T, T, T]]), gamma=1.0, gae_lambda=1.0)
    assert_close(returns, tensor([[7.0, 6.0, 4.0]]))
    assert_close(advantages, tensor([[4.0, 1.0, -3.0]]))


def test_leave_one_out_worked_by_hand_for_two_groups():
    # Group 1: 3 - (0 + 6) / 2 = 0;  0 - (3 + 6) / 2 = -4.5;  6 - (3 + 0) / 2 = 4.5
    # Group 2: equal rewards, so none is better than the others.
    advantages = leave_one_out(tensor([3.0, 0.0, 6.0, 2.0, 2.0, 2.0]), 3)
    assert_close(advantages, tensor([0.0, -4.5, 4.5, 0.0, 0.0, 0.0]))


def test_group_standardised_worked_by_hand_for_two_groups():
    # Group 1: mean 3, squares 0 + 9 + 9 over 3 - 1: deviation 3, so 0 / 3, -3 / 3, 3 / 3.
    # Group 2: deviation 0, and 0 / 0.0001 is 0.
    advantages = group_standardised(tensor([3.0, 0.0, 6.0, 2.0, 2.0, 2.0]), 3)
    expected = 3.0 / 3.0001
    assert_close(advantages, tensor([0.0, -expected, expected, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("advantages_of", [leave_one_out, group_standardised])
def test_other_groups_and_a_shift_of_the_own_one_change_no_advantage(advantages_of):
    rewards = tensor([3.0, 0.0, 6.0, -1.0, 2.0, 9.0])
    first = advantages_of(rewards, 3)[:3]
    assert_close(advantages_of(tensor([3.0, 0.0, 6.0, 7.0, 7.5, 0.0]), 3)[:3], first)
    assert_close(advantages_of(rewards + 10, 3)[:3], first)


@pytest.mark.parametrize("advantages_of", [leave_one_out, group_standardised])
@pytest.mark.parametrize("size", [1, 4])
def test_what_is_no_groups_of_two_or_more_is_refused(advantages_of, size):
    with pytest.raises(ShapeError, match=rf"rewards \[6\] must hold groups of {size}"):
        advantages_of(torch.zeros(6), size)


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(ShapeError, match=r"rewards \[1, 2\], values \[1, 3\]"):
        gae(
            torch.zeros(1, 2),
            torch.zeros(1, 3),
            torch.ones(1, 2, dtype=torch.bool),
            gamma=1.0,
            gae_lambda=1.0,
        )


def random_batch(seed=0, batch=3, time=5):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(batch, time, generator=generator, dtype=torch.float64)  # noqa: E731
    lengths = torch.randint(1, time + 1, (batch, 1), generator=generator)
    mask = torch.arange(time) < lengths
    return draw, mask


def pad(x, value):
    return torch.cat([x, torch.full_like(x[:, :2], value)], dim=1)


def test_extra_padding_changes_nothing():
    draw, mask = random_batch()
    rewards, values, logprobs, old = draw() * mask, draw(), draw(), draw()
    wide = pad(mask, F)
    plain = gae(rewards, values, mask, gamma=0.99, gae_lambda=0.9)
    padded = gae(pad(rewards, 7.0), pad(values, 7.0), wide, gamma=0.99, gae_lambda=0.9)
    for a, b in zip(plain, padded, strict=True):
        assert_close(pad(a, 0.0), b)
    assert_close(pad(whiten(values, mask), 0.0), whiten(pad(values, 7.0), wide))
    loss, *_ = policy_loss(logprobs, old, values, mask, clip_range=0.2)
    wide_loss, *_ = policy_loss(
        pad(logprobs, 7.0), pad(old, -7.0), pad(values, 7.0), wide, clip_range=0.2
    )
    assert_close(loss, wide_loss)


def test_inputs_are_not_modified():
    draw, mask = random_batch()
    rewards, values = draw(), draw()
    before = rewards.clone(), values.clone()
    gae(rewards, values, mask, gamma=1.0, gae_lambda=0.95)
    token_rewards(torch.ones(3, dtype=torch.float64), rewards, mask, 0.1)
    whiten(values, mask)
    assert_close((rewards, values), before, atol=0, rtol=0)
