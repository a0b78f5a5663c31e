"""PPO's losses, against hand-worked numbers and finite differences.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import (
    clipped_loss,
    gradient_norms,
    grpo_loss,
    kl_k3,
    policy_loss,
    ppo_loss,
    update_kl,
    value_loss,
)
from tests.tensors import F, T, tensor


def test_update_kl_worked_by_hand():
    # r - 1 - log r: 0.5 - log 1.5 and -0.5 + log 2, on average log(4/3) / 2.
    ratio = tensor([[1.5, 0.5, 9.0]])
    found = update_kl(ratio, torch.tensor([[T, T, F]]))
    assert_close(found, torch.tensor(math.log(4 / 3) / 2, dtype=torch.float64))


def test_policy_loss_clips_on_the_side_that_would_gain():
    # Ratios 1.5, 1.5, 0.5, 0.5 with advantages +1, -1, +1, -1 and clip 0.2:
    # -min(1.5, 1.2), -min(-1.5, -1.2), -min(0.5, 0.8), -min(-0.5, -0.8)
    # = -1.2, 1.5, -0.5, 0.8; mean 0.15.
    ratio = tensor([[1.5, 1.5, 0.5, 0.5]])
    loss, found, clipped = policy_loss(
        ratio.log(),
        torch.zeros_like(ratio),
        tensor([[1.0, -1.0, 1.0, -1.0]]),
        torch.tensor([[T, T, T, T]]),
        clip_range=0.2,
    )
    assert_close(loss, torch.tensor(0.15, dtype=torch.float64))
    assert_close(found, ratio)
    assert clipped.tolist() == [[T, F, F, T]]


def test_value_loss_takes_the_larger_of_unclipped_and_clipped_error():
    # Old 0, now 1, clip 0.2: the clipped value is 0.2. Return 2: errors 1 and 1.8 -> 1.8^2 = 3.24.
    # Return 0.5: errors 0.5 and -0.3 -> 0.25. Half the mean: 0.5 * (3.24 + 0.25) / 2 = 0.8725.
    loss = value_loss(
        tensor([[1.0, 1.0]]),
        tensor([[0.0, 0.0]]),
        tensor([[2.0, 0.5]]),
        torch.tensor([[T, T]]),
        value_clip_range=0.2,
    )
    assert_close(loss, torch.tensor(0.8725, dtype=torch.float64))


def test_gradient_of_the_whole_loss_matches_finite_differences():
    generator = torch.Generator().manual_seed(1)
    batch, time, vocabulary = 2, 3, 5
    logits = torch.randn(
        batch, time, vocabulary, generator=generator, dtype=torch.float64, requires_grad=True
    )
    values = torch.randn(batch, time, generator=generator, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(0, vocabulary, (batch, time), generator=generator)
    mask = torch.tensor([[T, T, T], [T, T, F]])
    fixed = [torch.randn(batch, time, generator=generator, dtype=torch.float64) for _ in range(4)]

    old = (
        torch.log_softmax(logits.detach() / 0.7, dim=-1).gather(-1, ids[..., None]).squeeze(-1)
        + 0.3 * fixed[0]
    )

    def loss(logits, values):
        logprobs, entropy = token_logprobs(logits, ids, 0.7)
        return ppo_loss(
            logprobs, entropy, values,
            old_logprobs=old, old_values=fixed[1], advantages=fixed[2], returns=fixed[3],
            response_mask=mask, clip_range=0.2, value_clip_range=0.2,
            value_coef=0.1, entropy_coef=0.01,
        ).total  # fmt: skip

    assert torch.autograd.gradcheck(loss, (logits, values), eps=1e-6, atol=1e-7)


def test_clipped_tokens_get_no_gradient_and_masked_ones_neither():
    logprobs = tensor([[math.log(1.5), 0.0, 0.3]]).requires_grad_()
    mask = torch.tensor([[T, T, F]])
    loss, *_ = policy_loss(
        logprobs,
        torch.zeros(1, 3, dtype=torch.float64),
        tensor([[1.0, 1.0, 1.0]]),
        mask,
        clip_range=0.2,
    )
    loss.backward()
    # Token 0 is beyond the clip with a positive advantage.
    # Token 1 has ratio 1: gradient -A * ratio / 2 tokens.
    assert_close(logprobs.grad, tensor([[0.0, -0.5, 0.0]]))


def test_ppo_loss_and_its_figures_worked_by_hand():
    mask = torch.tensor([[T, T, F]])
    loss = ppo_loss(
        tensor([[math.log(1.5), math.log(0.5), 7.0]]),
        tensor([[0.3, 0.5, 7.0]]),
        tensor([[1.0, 2.0, 7.0]]),
        old_logprobs=tensor([[0.0, 0.0, 0.0]]),
        old_values=tensor([[0.5, 2.0, 0.0]]),
        advantages=tensor([[1.0, 1.0, 7.0]]),
        returns=tensor([[2.0, 1.0, 0.0]]),
        response_mask=mask,
        clip_range=0.2,
        value_clip_range=0.2,
        value_coef=0.1,
        entropy_coef=0.01,
    )
    # Ratios 1.5, cut to 1.2, and 0.5, not cut since the advantage is positive: -(1.2 + 0.5) / 2.
    assert_close(loss.policy, torch.tensor(-0.85, dtype=torch.float64))
    assert_close(loss.ratio, tensor([[1.5, 0.5, 1.0]]))
    assert loss.clipped.tolist() == [[T, F, F]]
    # Value 1 may move from 0.5 to 0.7 at most: error 1.3 squared. Value 2 has not moved: error 1.
    assert_close(loss.value, torch.tensor(0.5 * (1.69 + 1.0) / 2, dtype=torch.float64))
    assert_close(loss.entropy, torch.tensor(0.4, dtype=torch.float64))
    assert_close(loss.total, torch.tensor(-0.85 + 0.1 * 0.6725 - 0.01 * 0.4, dtype=torch.float64))


def test_clipped_loss_worked_by_hand_has_no_value_and_no_kl():
    loss = clipped_loss(
        tensor([[math.log(1.5), math.log(0.5), 7.0]]),
        tensor([[0.3, 0.5, 7.0]]),
        old_logprobs=tensor([[0.0, 0.0, 0.0]]),
        advantages=tensor([[1.0, 1.0, 7.0]]),
        response_mask=torch.tensor([[T, T, F]]),
        clip_range=0.2,
        entropy_coef=0.01,
    )
    # As in the test above: -(1.2 + 0.5) / 2, less the entropy's mean of 0.4.
    assert_close(loss.policy, torch.tensor(-0.85, dtype=torch.float64))
    assert_close(loss.total, torch.tensor(-0.85 - 0.01 * 0.4, dtype=torch.float64))
    assert loss.clipped.tolist() == [[T, F, F]]
    assert loss.value is None and loss.kl is None and not loss.ratio.requires_grad


def test_kl_k3_and_its_gradient_worked_by_hand():
    # p_ref / p is 2, then 1/2, then 1: 2 - log 2 - 1 and 1/2 + log 2 - 1, and 0.
    logprobs = tensor([[0.0, math.log(2.0), -1.0, 5.0]]).requires_grad_()
    ref_logprobs, mask = tensor([[math.log(2.0), 0.0, -1.0, 7.0]]), torch.tensor([[T, T, T, F]])
    found = kl_k3(logprobs, ref_logprobs, mask)
    log_2 = math.log(2.0)
    assert_close(found, tensor([[1.0 - log_2, log_2 - 0.5, 0.0, 0.0]]))
    found.sum().backward()
    assert_close(logprobs.grad, tensor([[-1.0, 0.5, 0.0, 0.0]]))  # 1 - p_ref / p


def test_grpo_loss_worked_by_hand():
    mask = torch.tensor([[T, T, F]])
    loss = grpo_loss(
        tensor([[math.log(1.5), math.log(0.5), 7.0]]),
        tensor([[0.3, 0.5, 7.0]]),
        old_logprobs=tensor([[0.0, 0.0, 0.0]]),
        ref_logprobs=tensor([[math.log(3.0), math.log(0.5), -7.0]]),
        advantages=tensor([[1.0, 1.0, 7.0]]),
        response_mask=mask,
        clip_range=0.2,
        kl_coef=0.1,
        entropy_coef=0.01,
    )
    # k3 of the two tokens: p_ref / p = 2: 1 - log 2; and 1: 0.
    kl = (1.0 - math.log(2.0)) / 2
    assert_close(loss.policy, torch.tensor(-0.85, dtype=torch.float64))
    assert_close(loss.kl, torch.tensor(kl, dtype=torch.float64))
    assert_close(loss.total, torch.tensor(-0.85 - 0.01 * 0.4 + 0.1 * kl, dtype=torch.float64))
    assert loss.value is None and not loss.ratio.requires_grad


def test_gradient_norms_are_those_of_either_loss_alone():
    # One weight moves the log-probability by 3 and the value by 4 for each unit; ratio 1, clip far.
    weight = torch.nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
    unused = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    zero, mask = tensor([[0.0]]), torch.tensor([[T]])
    loss = ppo_loss(
        3 * weight * torch.ones(1, 1, dtype=torch.float64), zero, 4 * weight + zero,
        old_logprobs=zero, old_values=zero, advantages=tensor([[2.0]]), returns=tensor([[5.0]]),
        response_mask=mask, clip_range=0.2, value_clip_range=9.0, value_coef=0.1, entropy_coef=0.0,
    )  # fmt: skip
    policy, value = gradient_norms(loss, 0.1, [weight, unused])
    assert policy.item() == pytest.approx(2.0 * 3.0)  # |-A * d log p|
    assert value.item() == pytest.approx(0.1 * 5.0 * 4.0)  # |value_coef * (V - R) * dV|
    # Another process, whose gradients are three times as large, holds three quarters of the tokens.
    share = loss.weighted(torch.tensor(0.25, dtype=torch.float64))
    assert share.policy.item() == pytest.approx(0.25 * loss.policy.item())
    assert share.kl is None and share.ratio is loss.ratio
    both = gradient_norms(share, 0.1, [weight, unused], lambda gradients: gradients[0].mul_(10))
    assert [norm.item() for norm in both] == pytest.approx([0.25 * 10 * 6.0, 0.25 * 10 * 2.0])
    loss.total.backward()
    assert weight.grad.item() == pytest.approx(-6.0 - 2.0)
