"""The row of a PPO step, worked by hand from two responses of four tokens and of one."""

import math

import pytest
import torch

from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.train import ppo_rows
from rlhf_demo.train.ppo_rows import Movement, StepTensors, judge_row, metrics_row, pair_agreement
from rlhf_demo.train.rollout import Rollout

MASK = torch.tensor([[True] * 4, [True, False, False, False]])
PADDED = torch.tensor([99.0, 99.0, 99.0])  # what stands after the second response; never counted


def by_token(first, second):
    return torch.stack([torch.tensor(first), torch.cat([torch.tensor([second]), 0 * PADDED])])


@pytest.fixture
def row():
    """Make the row; what is named is put in the place of the figures below."""
    rollout = Rollout(
        sequence_ids=torch.tensor([[3, 5, 6, 5, 6], [3, 7, 1, 1, 1]]),
        attention_mask=torch.cat([torch.ones(2, 1, dtype=torch.bool), MASK], 1),
        response_mask=MASK,
        old_logprobs=by_token([-1.0, -1.0, -1.0, -1.0], -1.0),
        ref_logprobs=by_token([-1.5, -0.5, -1.0, -1.25], -1.0),
        kl=by_token([0.5, 0.25, 0.25, 0.0], 2.0),
        old_values=by_token([1.0, 2.0, 3.0, 4.0], 0.0),
        scores=torch.tensor([10.0, 30.0]),
        has_eos=torch.tensor([True, True]),
    )
    tensors = {
        "scores": torch.tensor([1.0, 3.0]),
        "log_ratio": by_token([0.5, -0.5, 0.0, 0.25], 0.0),
        "rewards": by_token([0.0, 0.0, 0.0, 1.0], 3.0),
        "advantages": by_token([0.0, 0.0, 0.0, 0.0], 0.0),
        "returns": by_token([1.0, 2.0, 3.0, 4.0], 0.0),  # just the values
        "realised": by_token([2.0, 2.0, 2.0, 2.0], 7.0),
    }
    at_visits = torch.ones(2, 2, 4)
    at_visits[1, 0] = torch.tensor([math.e, 1.0, 1.0, 1.0])
    clipped = torch.zeros(2, 2, 4, dtype=torch.bool)
    clipped[1, 0, :2] = True
    after = torch.stack([torch.tensor([1.5, 0.9, 0.7, 1.0]), torch.cat([torch.ones(1), PADDED])])
    updates = [
        {"policy/gradient_norm": 0.5, "policy/gradient_norm_value": 0.25},
        {"policy/gradient_norm": 3.0},
        {"policy/gradient_norm": 2.5},
    ]

    def make(**changed):
        moved = Movement(changed.pop("ratio", at_visits), clipped, after, MASK, 0 * after)
        given = StepTensors(**tensors | changed)
        return metrics_row(1, rollout, given, moved, updates, clip_range=0.2, max_grad_norm=1.0)

    return make


def test_score_has_a_standard_error(row):
    assert row()["objective/score"] == 2.0
    assert row()["objective/score_se"] == pytest.approx(math.sqrt(2) / math.sqrt(2))


def test_kl_is_summed_over_each_response(row):
    assert row()["objective/kl"] == pytest.approx((1.0 + 2.0) / 2)
    assert row()["objective/kl_k1"] == pytest.approx((0.25 + 0.0) / 2)
    assert row()["objective/reward"] == pytest.approx((1.0 + 3.0) / 2)


def test_distinct_2_counts_as_many_pairs_whatever_the_length(row, monkeypatch):
    assert row()["objective/distinct_2"] == pytest.approx(2 / 3)  # 56 65 56
    monkeypatch.setattr(ppo_rows, "BIGRAMS_EACH", 1)  # of two responses, two pairs: 56 65
    assert row()["objective/distinct_2"] == 1.0


def test_movement_is_of_real_tokens(row):
    found = row()
    assert found["policy/clip_fraction_by_epoch"] == pytest.approx([0.0, 2 / 5])
    assert found["policy/clip_fraction"] == pytest.approx(1 / 5)
    # e - 1 - 1 at one of five tokens.
    assert found["policy/update_kl_by_epoch"] == pytest.approx([0.0, (math.e - 2) / 5])
    moved = sum(r - 1 - math.log(r) for r in (1.5, 0.9, 0.7)) / 5
    assert found["policy/update_kl"] == pytest.approx(moved, abs=1e-6)
    assert found["policy/outside_clip"] == pytest.approx(2 / 5)  # 1.5 and 0.7
    # Of five in order, 0.7 0.9 1 1 1.5: 4% of the way from one to the next.
    assert found["policy/ratio_p01"] == pytest.approx(0.7 + 0.04 * 0.2)
    assert found["policy/ratio_p99"] == pytest.approx(1.5 - 0.04 * 0.5)


def test_updates_are_averaged_over_those_that_tell(row):
    found = row()
    assert found["policy/gradient_norm"] == pytest.approx(2.0)
    assert found["policy/gradient_norm_value"] == 0.25
    assert found["policy/gradient_cut"] == pytest.approx(2 / 3)  # 3 and 2.5 are above 1


def test_explained_variance_is_of_what_really_came(row):
    # Came 2 2 2 2 7, foretold 1 2 3 4 0: variance 4; errors 1 0 -1 -2 7, mean 1, variance 10.
    assert row()["value/explained_variance"] == pytest.approx(1 - 10 / 4)


def test_advantages_tell_what_they_were_before_whitening(row):
    found = row(spread=(torch.tensor(-0.5), torch.tensor(4.0)))
    assert found["policy/advantage_mean"] == -0.5
    assert found["policy/advantage_deviation"] == 2.0
    assert "policy/advantage_mean" not in row()  # RLOO and GRPO do not whiten


def test_length_and_end(row):
    assert row()["response/length"] == 2.5
    assert row()["response/eos_rate"] == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_figure_that_is_not_finite_is_named_also_in_a_list(row, bad):
    with pytest.raises(TrainingDiverged, match="objective/score"):
        row(scores=torch.tensor([1.0, bad]))
    with pytest.raises(TrainingDiverged, match="policy/update_kl_by_epoch"):
        row(ratio=torch.full((2, 2, 4), bad))


@pytest.mark.parametrize(
    ("others", "share"),
    [
        ([1.0, 2.0, 3.0], 1.0),
        ([3.0, 2.0, 1.0], 0.0),
        ([1.0, 3.0, 2.0], 2 / 3),
        ([1.0, 1.0, 2.0], 2.5 / 3),  # a tie is a half
    ],
)
def test_agreement_is_the_share_of_pairs_in_the_same_order(others, share):
    scores = torch.tensor([10.0, 20.0, 30.0])
    assert pair_agreement(scores, torch.tensor(others))[0] == pytest.approx(share)


def test_agreement_has_the_error_of_leaving_one_response_out_at_a_time():
    drawn = torch.Generator().manual_seed(0)
    scores, others = torch.randn(2, 12, generator=drawn).round(decimals=1)
    left = [torch.arange(12) != out for out in range(12)]
    shares = [pair_agreement(scores[kept], others[kept])[0] for kept in left]
    by_hand = math.sqrt(11 / 12 * sum((one - sum(shares) / 12) ** 2 for one in shares))
    assert pair_agreement(scores, others)[1] == pytest.approx(by_hand)
    assert pair_agreement(scores[:2], others[:2])[1] == 0.0


def test_error_of_the_agreement_is_how_much_it_scatters():
    drawn = torch.Generator().manual_seed(0)
    scores, noise = torch.randn(2, 400, 32, generator=drawn)
    found = [pair_agreement(one, one + other) for one, other in zip(scores, noise)]
    shares, errors = torch.tensor(found).T
    assert float(errors.mean()) == pytest.approx(float(shares.std()), rel=0.15)


def test_judge_is_told_with_its_standard_errors():
    row = judge_row(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 2.0, 4.0, 2.0]))
    # Variance (4 + 0 + 4 + 0) / 3, so the error is sqrt(8 / 3 / 4).
    assert (row["judge/score"], row["judge/score_se"]) == (2.0, pytest.approx(math.sqrt(2 / 3)))
    # Four pairs alike, one tie, one the other way round.
    assert row["judge/agreement"] == pytest.approx(4.5 / 6)
    # Sums of signs: first 3; second 1 + 1 + 0; third 1 + 1 - 1; fourth 1 + 0 - 1.
    spread = math.sqrt(((3 - 1.5) ** 2 + 0.5**2 + 0.5**2 + 1.5**2) / 3)
    assert row["judge/agreement_se"] == pytest.approx(spread / (2 * 2))
