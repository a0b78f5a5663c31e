"""What training changed: how far each matrix moved, and what that does to the next token."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_demo.explain.gpt2 import Layer, LayerTrace, Network, forward

MATRICES = ("qkv", "attention_out", "up", "down")
"""The matrices of a layer, as Layer names them."""


def moved(base: Network, tuned: Network) -> Tensor:
    """Return how far each matrix moved: |tuned - base| / |base|, in Frobenius norms.

    Returns:
        [layers, 5]: the matrices in the order of MATRICES, then those of the layer together.
    """
    before, changes = [], []
    for old, new in zip(base.layers, tuned.layers, strict=True):
        pairs = list(zip(_matrices(old), _matrices(new), strict=True))
        before.append([weight.norm() for weight, _ in pairs])
        changes.append([(changed - weight).norm() for weight, changed in pairs])
    size, change = torch.tensor(before), torch.tensor(changes)  # [layers, 4]
    together = change.norm(dim=1, keepdim=True) / size.norm(dim=1, keepdim=True)
    return torch.cat([change / size, together], dim=1)


def _matrices(layer: Layer) -> list[Tensor]:
    return [getattr(layer, name).weight for name in MATRICES]


def next_logprobs(
    network: Network, ids: Tensor, temperature: float, known: Sequence[LayerTrace] = ()
) -> Tensor:
    """Return log-probabilities [T, V] of the token after each of a text's tokens.

    Args:
        ids: [T] token ids.
        known: what the first layers computed of the text.
    """
    return (forward(network, ids, known=known).out / temperature).log_softmax(-1)


def divergence(policy: Tensor, reference: Tensor) -> Tensor:
    """Return the KL divergence [...] between log-probabilities [..., V], in nats.

    It is what PPO's KL penalty estimates from single tokens.
    """
    return (policy.exp() * (policy - reference)).sum(-1)
