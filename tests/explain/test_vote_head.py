"""A scoring head from a few votes, against values worked by hand."""

import math

import pytest
import torch

from rlhf_demo.explain.vote_head import fit_head, last_vectors
from rlhf_demo.models.policy import load_policy


def test_one_vote_worked_by_hand():
    """One vote of length 1: the best weight w solves 1 - sigmoid(w) = ridge w."""
    weights = fit_head(torch.tensor([[1.0, 0.0]]), ridge=0.5)
    assert weights[1].item() == 0
    w = weights[0].item()
    assert 1 / (1 + math.exp(w)) == pytest.approx(0.5 * w, abs=1e-5)


def test_weights_are_where_the_loss_is_flat():
    votes = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    weights = fit_head(votes, ridge=2.0).requires_grad_()
    loss = -torch.nn.functional.logsigmoid(votes @ weights).sum() + weights.square().sum()
    loss.backward()
    assert weights.grad.abs().max().item() < 1e-4


def test_turned_votes_turn_the_weights():
    votes = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fit_head(-votes, 3.0), -fit_head(votes, 3.0))


def test_vectors_are_those_of_each_text_alone():
    base = load_policy("gpt2-mini", device=torch.device("cpu"))
    ids = base.tokenizer(["The film is good.", "Bad."])["input_ids"]
    together = last_vectors(base, ids)
    assert together.shape == (2, 256)
    for row, vector in zip(ids, together, strict=True):
        torch.testing.assert_close(last_vectors(base, [row])[0], vector, atol=1e-3, rtol=1e-3)
