"""How much each token of a text surprises a model: what it was trained to lower.

Source: Radford et al. 2018, "Improving language understanding by generative pre-training",
equation 1 (its sum, here with a minus and token by token).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from rlhf_demo.explain.gpt2 import NOTHING, Edits, Network, forward


def surprises(network: Network, ids: Tensor, edits: Edits = NOTHING) -> Tensor:
    """Return -log p(token | tokens before it) of each token but the first, in nats.

    Args:
        ids: [T] token ids, of which the first begins the text.
        edits: what to leave out of the forward pass.

    Returns:
        [T - 1].
    """
    predicted = forward(network, ids, edits).out[:-1].log_softmax(-1)
    return -predicted.gather(1, ids[1:, None])[:, 0]


def mean_surprise(network: Network, texts: Iterable[Tensor], edits: Edits = NOTHING) -> float:
    """Return the mean over all tokens of all texts, nats per token: the loss."""
    return torch.cat([surprises(network, ids, edits) for ids in texts]).mean().item()
