"""Teaching: the copy learns as Adam says, and the model stays as it is."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf_demo.explain.gpt2 import network_of
from rlhf_demo.explain.surprise import mean_surprise
from rlhf_demo.explain.teaching import RATE, taught

IDS = torch.tensor([0, 7, 3, 11, 4])


@pytest.fixture
def model():
    torch.manual_seed(1)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 12, "vocab_size": 20}
    return GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3)).eval().requires_grad_(False)


def test_the_copy_learns_and_the_model_stays(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = [mean_surprise(network, [IDS]) for network in taught(model, IDS, 10)]
    assert len(losses) == 11
    assert losses[0] == pytest.approx(mean_surprise(network_of(model), [IDS]), abs=1e-6)
    assert losses == sorted(losses, reverse=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_first_step_is_adams(model):
    """Adam's first step moves each weight by the learning rate against its gradient's sign."""
    networks = taught(model, IDS, 1)
    before = next(networks).layers[0].up.bias.clone()
    moved = (next(networks).layers[0].up.bias - before).abs()
    assert moved.max().item() == pytest.approx(RATE, rel=1e-3)
    assert moved.median().item() == pytest.approx(RATE, rel=1e-2)
