"""Teach a copy of a model one text, as training teaches a model very many.

Adam: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980. The loss is that of surprise.py.
"""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from rlhf_demo.explain.gpt2 import Network, network_of

RATE = 3e-4
"""Learning rate. At 1e-4, ten steps hardly cost the other texts anything; at 1e-3, nearly all."""
LONGEST_GRADIENT = 1.0
"""A longer gradient is scaled down to this length before each step, as in train/pretrain.py."""


def taught(model: PreTrainedModel, ids: Tensor, steps: int) -> Iterator[Network]:
    """Yield a copy of a model before the first step, and after each.

    All copies share their weights: measure one before you ask for the next.

    Args:
        model: stays as it is.
        ids: [T] token ids of the text.
        steps: of Adam, each on this text alone.
    """
    copy = deepcopy(model).requires_grad_(True)
    optimizer = torch.optim.Adam(copy.parameters(), lr=RATE)
    network = network_of(copy)
    yield network
    for _ in range(steps):
        logits = copy(input_ids=ids[None]).logits[0]
        functional.cross_entropy(logits[:-1], ids[1:]).backward()
        clip_grad_norm_(copy.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad()
        yield network
