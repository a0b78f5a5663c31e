"""Surprise: against transformers' own loss, and a model that knows nothing."""

import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf_demo.explain.gpt2 import Edits, network_of
from rlhf_demo.explain.surprise import mean_surprise, surprises


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 12, "vocab_size": 20}
    return GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3)).eval()


def test_mean_equals_the_loss_of_transformers(model):
    ids = torch.tensor([0, 7, 3, 11, 4])
    with torch.no_grad():
        expected = model(input_ids=ids[None], labels=ids[None]).loss.item()
    found = surprises(network_of(model), ids)
    assert found.shape == (4,)
    assert found.mean().item() == pytest.approx(expected, abs=1e-5)


def test_mean_counts_tokens_not_texts(model):
    texts = [torch.tensor([0, 7]), torch.tensor([0, 3, 11, 4])]
    each = [surprises(network_of(model), ids).sum().item() for ids in texts]
    assert mean_surprise(network_of(model), texts) == pytest.approx(sum(each) / 4, abs=1e-5)


def test_parts_can_be_off(model):
    ids, edits = torch.tensor([0, 7, 3]), Edits(feed_forward_off={0})
    network = network_of(model)
    without = surprises(network, ids, edits)
    assert not torch.allclose(surprises(network, ids), without)
    mean = mean_surprise(network, [ids], edits)
    assert mean == pytest.approx(without.mean().item(), abs=1e-6)


def test_equal_logits_surprise_by_the_logarithm_of_the_vocabulary(model):
    network = network_of(model)
    silent = type(network)(**vars(network) | {"head": torch.zeros_like(network.head)})
    assert surprises(silent, torch.tensor([0, 5])).item() == pytest.approx(math.log(20), abs=1e-6)
