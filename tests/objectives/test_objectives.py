"""The mathematics, against hand-worked numbers and finite differences.

What TRL makes of the same numbers is in tests/objectives/test_trl_reference.py.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.errors import ShapeError
from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import gradient_norms, policy_loss, ppo_loss, update_kl, value_loss
from rlhf_demo.objectives.masks import explained_variance, masked_mean, whiten
from rlhf_demo.objectives.rewards import adapt_kl_coef, exact_kl, kl_k1, token_rewards

T, F = True, False


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


# -- by hand ---------------------------------------------------------------------------------------


def test_token_logprobs_divides_the_logits_by_the_temperature():
    # logits (0, ln 2) at temperature 0.5 are (0, 2 ln 2): probabilities 1/5 and 4/5.
    logits = torch.tensor([[[0.0, math.log(2.0)]]])
    logprobs, entropy = token_logprobs(logits, torch.tensor([[1]]), 0.5)
    assert_close(logprobs, torch.tensor([[math.log(0.8)]]))
    assert_close(entropy, torch.tensor([[-0.8 * math.log(0.8) - 0.2 * math.log(0.2)]]))


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


def test_update_kl_worked_by_hand():
    # r - 1 - log r: 0.5 - log 1.5 and -0.5 + log 2, on average log(4/3) / 2.
    ratio = tensor([[1.5, 0.5, 9.0]])
    found = update_kl(ratio, torch.tensor([[T, T, F]]))
    assert_close(found, torch.tensor(math.log(4 / 3) / 2, dtype=torch.float64))


def test_token_rewards_put_the_score_on_the_last_real_token():
    kl = tensor([[0.5, -1.0, 0.0], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[T, T, F], [T, T, T]])
    # -0.1 * kl everywhere; + 2 at token 1 of row 0, - 1 at token 2 of row 1.
    expected = tensor([[-0.05, 0.1 + 2.0, 0.0], [-0.1, -0.2, -0.3 - 1.0]])
    assert_close(token_rewards(tensor([2.0, -1.0]), kl, mask, 0.1), expected)


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


def test_whiten_centres_and_scales_over_the_mask_only():
    # 1 and 3 have mean 2 and variance 1.
    x, mask = tensor([[1.0, 3.0, 100.0]]), torch.tensor([[T, T, F]])
    assert_close(whiten(x, mask), tensor([[-1.0, 1.0, 0.0]]), atol=1e-7, rtol=0)


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


def test_value_loss_takes_the_larger_of_moved_and_clipped_error():
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


@pytest.mark.parametrize(
    ("kl", "expected"), [(6.0, 0.2), (60.0, 0.208), (0.0, 0.192), (6.6, 0.204)]
)
def test_kl_coef_rises_above_the_target_and_falls_below_it(kl, expected):
    # error = clip(kl / 6 - 1, -0.2, 0.2); coefficient * (1 + 0.2 * error).
    assert adapt_kl_coef(0.2, kl, 6.0) == pytest.approx(expected)


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(ShapeError, match=r"rewards \[1, 2\], values \[1, 3\]"):
        gae(
            torch.zeros(1, 2),
            torch.zeros(1, 3),
            torch.ones(1, 2, dtype=torch.bool),
            gamma=1.0,
            gae_lambda=1.0,
        )


# -- properties ------------------------------------------------------------------------------------


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


# -- gradients in float64 against finite differences -----------------------------------------------


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


def test_token_logprobs_gradient_matches_finite_differences_for_either_result_alone():
    generator = torch.Generator().manual_seed(4)
    # 70 rows: more than are worked on at a time.
    logits = torch.randn(7, 10, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(0, 4, (7, 10), generator=generator)
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda x: token_logprobs(x, ids, 0.7)[part], (logits,))  # noqa: B023


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
    loss.total.backward()
    assert weight.grad.item() == pytest.approx(-6.0 - 2.0)


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)) == 0


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
