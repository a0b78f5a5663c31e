"""Attention: what every head of every layer looks at."""

from typing import Any

import torch

from rlhf_demo.explain.gpt2 import Trace, forward
from rlhf_demo.lessons.looks import AttentionLook, HeadRow, Outcome
from rlhf_demo.lessons.request import Models, number_of, rounded, text_of, which_of

TEXT = "The actress was very good and"
LAYER, HEAD = 6, 2
"""Of the question, counted from 1."""
GOOD, ACTRESS = 5, 2
"""Places of these words in the text, the token that begins it counted as 0."""
EQUAL = 0.5
"""A head that puts less weight than this on any one token spreads it over several."""


def look(models: Models, request: dict[str, Any]) -> AttentionLook:
    """Return where each head looks.

    Args:
        request: `text`, `model`; `layer`, `head` from 1 and `place` from 0 of the row by hand.

    Raises:
        DemoError: the text, the model or a number cannot be used.
    """
    text, which = text_of(request, TEXT, models), which_of(request)
    ids = models.ids(text)
    network = models.network(which)
    layer = number_of(request, "layer", min(LAYER, len(network.layers)), 1, len(network.layers))
    head = number_of(request, "head", min(HEAD, network.heads), 1, network.heads)
    place = number_of(request, "place", len(ids) - 1, 0, len(ids) - 1)
    trace = forward(network, torch.tensor(ids))
    return {
        "text": text,
        "model": which,
        "pieces": models.pieces(ids),
        "patterns": [rounded(each.attention.pattern, 3) for each in trace.layers],
        "row": _row(trace, layer, head, place),
    }


def _row(trace: Trace, layer: int, head: int, place: int) -> HeadRow:
    attention = trace.layers[layer - 1].attention
    query, keys = attention.queries[head - 1, place], attention.keys[head - 1, : place + 1]
    return {
        "layer": layer,
        "head": head,
        "place": place,
        "width": len(query),
        "dot_products": rounded(keys @ query, 2),
        "scaled": rounded(attention.products[head - 1, place, : place + 1], 3),
        "weights": rounded(attention.pattern[head - 1, place, : place + 1]),
    }


def outcome(models: Models) -> Outcome:
    """Return where the question's head looks."""
    trace = forward(models.network("base"), models.tensors(TEXT)[0])
    weights = trace.layers[LAYER - 1].attention.pattern[HEAD - 1, -1]
    most = int(weights.argmax())
    name = models.pieces(models.ids(TEXT))[most].strip()
    result = f"It puts {weights[most]:.2f} of its total weight of 1 on \u201c{name}\u201d."
    places = {GOOD: 0, ACTRESS: 1}
    return {"answer": places.get(most, 2) if weights[most] > EQUAL else 2, "result": result}
