"""Heads off: what changes when a head, or a layer's feed-forward part, adds nothing."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.explain.gpt2 import NOTHING, Edits, Network, forward
from rlhf_demo.explain.surprise import mean_surprise
from rlhf_demo.lessons.attention import HEAD, LAYER, TEXT
from rlhf_demo.lessons.looks import HeadsOffLook, Outcome
from rlhf_demo.lessons.request import (
    FILMS,
    Models,
    numbers_of,
    rounded,
    text_of,
    which_of,
    word_of,
)
from rlhf_demo.models.pauses import pause

WORD = "she"
SHOWN = 5
"""Tokens of each distribution whose probabilities are shown."""
SAME, THIRD = 0.8, 1 / 3
"""What remains of the probability: at least so much counts as the same, at most so much as lost."""


def look(models: Models, request: dict[str, Any]) -> HeadsOffLook:
    """Return the next token's probabilities with and without some parts.

    Args:
        request: `text`, `model`, `word`; `heads` and `feed_forward` that are off. Heads are counted
            from 0 through all layers, feed-forward parts by layer from 0. Without `heads`, the
            question's head is off, and each head is measured alone.

    Raises:
        DemoError: the text, the model, the word or a number cannot be used.
    """
    text, which = text_of(request, TEXT, models), which_of(request)
    word, token = word_of(request, WORD, models)
    network = models.network(which)
    layers, in_layer = len(network.layers), network.heads
    question = min((LAYER - 1) * in_layer + HEAD, layers * in_layer) - 1
    heads = numbers_of({"heads": [question]} | request, "heads", layers * in_layer)
    feed_forward = numbers_of(request, "feed_forward", layers)
    edits = Edits({divmod(head, in_layer) for head in heads}, feed_forward_off=feed_forward)
    (ids,), films = models.tensors(text), models.tensors(*FILMS)
    before, after = _next(network, ids, NOTHING), _next(network, ids, edits)
    shown = _shown(token, before, after)
    return {
        "text": text,
        "model": which,
        "word": word,
        "heads": heads,
        "feed_forward": feed_forward,
        "tokens": models.names(shown),
        "before": rounded(before[shown]),
        "after": rounded(after[shown]),
        "alone": None if "heads" in request else rounded(_alone(network, ids, token)),
        "loss_before": models.kept(which, "film loss", lambda: mean_surprise(network, films)),
        "loss_after": mean_surprise(network, films, edits),
    }


def _next(network: Network, ids: Tensor, edits: Edits) -> Tensor:
    return forward(network, ids, edits).out[-1].softmax(-1)


def _shown(token: int, *distributions: Tensor) -> list[int]:
    """Return the token, then the most likely ones of each distribution, without repetition."""
    leaders = [int(leader) for shares in distributions for leader in shares.topk(SHOWN).indices]
    return list(dict.fromkeys([token, *leaders]))


def _alone(network: Network, ids: Tensor, token: int) -> Tensor:
    """Return the token's probability [layer, head] when only this head is off."""
    shares: list[Tensor] = []
    read = forward(network, ids).layers
    for layer, head in product(range(len(network.layers)), range(network.heads)):
        pause()
        without = forward(network, ids, Edits(heads_off={(layer, head)}), read[:layer])
        shares.append(without.out[-1].softmax(-1)[token])
    return torch.stack(shares).unflatten(0, (-1, network.heads))


def outcome(models: Models) -> Outcome:
    """Return what the word keeps of its probability without the question's head."""
    network, (ids,), token = models.network("base"), models.tensors(TEXT), models.id_of(f" {WORD}")
    off = Edits(heads_off={(LAYER - 1, HEAD - 1)})
    before, after = (float(_next(network, ids, edits)[token]) for edits in (NOTHING, off))
    result = f"The probability of \u201c{WORD}\u201d goes from {before:.1%} to {after:.1%}."
    kept = after / before
    if kept > 1 / SAME:
        return {"answer": 3, "result": result}
    return {"answer": 0 if kept >= SAME else 1 if kept > THIRD else 2, "result": result}
