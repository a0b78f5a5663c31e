"""How far matrices moved, and how far the next token did."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf_demo.explain.changes import MATRICES, divergence, moved, next_logprobs
from rlhf_demo.explain.gpt2 import Affine, forward, network_of
from rlhf_demo.models.policy import load_policy


@pytest.fixture(scope="module")
def network():
    return network_of(load_policy("gpt2-mini", device=torch.device("cpu")).lm)


def test_a_matrix_that_grew_by_a_tenth_moved_by_a_tenth(network):
    first = network.layers[0]
    larger = replace(first, up=Affine(first.up.weight * 1.1, first.up.bias))
    tuned = replace(network, layers=(larger, *network.layers[1:]))
    shares = moved(network, tuned)
    assert shares.shape == (6, len(MATRICES) + 1)
    assert shares[1:].abs().max() == 0
    assert shares[0, :4].tolist() == pytest.approx([0, 0, 0.1, 0], abs=1e-5)
    sizes = [getattr(first, name).weight.norm().item() for name in MATRICES]
    whole = 0.1 * sizes[2] / math.hypot(*sizes)
    assert shares[0, 4].item() == pytest.approx(whole, abs=1e-5)


def test_divergence_worked_by_hand():
    policy, reference = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert divergence(policy, reference).item() == pytest.approx(expected)
    assert divergence(policy, policy).item() == 0


def test_log_probabilities_follow_the_temperature(network):
    ids = torch.tensor([0, 5, 7])
    hot = next_logprobs(network, ids, 2.0)
    torch.testing.assert_close(hot, (forward(network, ids).out / 2).log_softmax(-1))
