"""Layer by layer: the running sum read at every depth, and what each part added to it."""

from typing import Any

import torch
from torch import Tensor

from rlhf_demo.explain.gpt2 import Network, Trace, forward, read_out
from rlhf_demo.lessons.looks import LayersLook, Outcome, Reading, Unit
from rlhf_demo.lessons.request import WHICH, Models, number_of, rounded, text_of
from rlhf_demo.models.token_text import HALF_CHARACTER

TEXT = "It was a waste of my"
LEADERS, PROMOTED = 4, 3
"""Tokens shown of a reading, and of a unit."""
READ = 30
"""Tokens among which those of a unit are sought: some are only a part of a character."""


def look(models: Models, request: dict[str, Any]) -> LayersLook:
    """Return how the base and the PPO model would go on, read at every depth.

    Args:
        request: `text`; `place` from 0 of the token whose sum is read.

    Raises:
        DemoError: the text, a model or the number cannot be used.
    """
    text = text_of(request, TEXT, models)
    ids = models.ids(text)
    place = number_of(request, "place", len(ids) - 1, 0, len(ids) - 1)
    networks = [models.network(which) for which in WHICH]
    traces = [forward(network, torch.tensor(ids)) for network in networks]
    pairs = list(zip(networks, traces, strict=True))
    shares = torch.stack([_shares(network, trace, place) for network, trace in pairs])
    top = shares.topk(LEADERS).indices  # [model, depth, leader]
    tokens, places = top.unique(return_inverse=True)
    readings: list[Reading] = [
        {
            "model": which,
            "top": places[i].tolist(),
            "shares": rounded(shares[i][:, tokens], 3),
            "attention": _lengths([layer.attention.out[place] for layer in traces[i].layers]),
            "feed_forward": _lengths([layer.feed_forward.out[place] for layer in traces[i].layers]),
            "units": _units(models, networks[i], traces[i], place),
        }
        for i, which in enumerate(WHICH)
    ]
    return {
        "text": text,
        "pieces": models.pieces(ids),
        "place": place,
        "tokens": models.names(tokens.tolist()),
        "readings": readings,
    }


def _shares(network: Network, trace: Trace, place: int) -> Tensor:
    """Return the probabilities [depth, V] of the next token."""
    sums = torch.stack([depth[place] for depth in trace.depths])
    return read_out(network, sums).softmax(-1)


def _lengths(vectors: list[Tensor]) -> list[float]:
    return rounded(torch.stack(vectors).norm(dim=-1), 1)


def _units(models: Models, network: Network, trace: Trace, place: int) -> list[Unit]:
    """Return the unit of each layer that adds the longest vector, and the tokens it promotes."""
    found: list[Unit] = []
    for layer, traced in zip(network.layers, trace.layers, strict=True):
        activations = traced.feed_forward.units[place]
        unit = int((activations.abs() * layer.down.weight.norm(dim=-1)).argmax())
        added = activations[unit] * layer.down.weight[unit]
        read = (added - added.mean()) * network.final_norm.weight @ network.head
        promoted = models.names(read.topk(READ).indices.tolist())
        whole = [name for name in promoted if name.strip() and HALF_CHARACTER not in name]
        found.append(
            {
                "unit": unit + 1,
                "activation": round(float(activations[unit]), 2),
                "tokens": whole[:PROMOTED],
            }
        )
    return found


def outcome(models: Models) -> Outcome:
    """Return from which depth on the base's final word leads."""
    network, (ids,) = models.network("base"), models.tensors(TEXT)
    shares = _shares(network, forward(network, ids), -1)
    leaders = shares.argmax(-1).tolist()
    word = leaders[-1]
    first = max((depth + 1 for depth, leader in enumerate(leaders) if leader != word), default=0)
    name = models.names([word])[0].strip()
    where = f"layer {first}" if first else "the input"
    result = (
        f"\u201c{name}\u201d leads from {where} on: its probability is {shares[first, word]:.2f} "
        f"there, and {shares[-1, word]:.2f} at the end."
    )
    return {"answer": (first + 1) // 2, "result": result}
