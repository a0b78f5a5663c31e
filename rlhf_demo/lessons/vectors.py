"""Vectors: which words lie close to each other, and what the vectors of positions are for."""

from functools import partial
from typing import Any

import torch

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.explain.gpt2 import NOTHING, Edits
from rlhf_demo.explain.surprise import mean_surprise
from rlhf_demo.explain.vectors import nearest, similarities, sinusoids
from rlhf_demo.lessons.looks import Outcome, PositionsOff, VectorsLook
from rlhf_demo.lessons.request import FILMS, WHICH, Models, rounded, word_of

WORD = "terrible"
RIVALS = ("fantastic", "bad")
SHOWN, SOUGHT = 10, 20
"""Nearest words that are shown, and among which coarse ones are left out."""
POSITIONS = 24
"""That the maps show."""


def look(models: Models, request: dict[str, Any]) -> VectorsLook:
    """Return the nearest words, maps of the positions, and the loss without positions.

    Args:
        request: `word`; without it, the loss without positions is measured too.

    Raises:
        DemoError: the word is more than one token, or a model cannot be used.
    """
    word, token = word_of(request, WORD, models)
    network, trained = models.network("base"), models.network("ppo")
    found = nearest(network.tokens, token, SOUGHT)
    names = models.names(found[1].tolist())
    shown = [place for place, name in enumerate(names) if not has_coarse_word(name)][:SHOWN]
    width = network.tokens.shape[1]
    return {
        "word": word,
        "vector": rounded(network.tokens[token], 2),
        "cosines": rounded(found[0][shown], 3),
        "tokens": [names[place] for place in shown],
        "unchanged": torch.equal(network.tokens, trained.tokens),
        "learned": rounded(similarities(network.positions[:POSITIONS]), 2),
        "sinusoids": rounded(similarities(sinusoids(POSITIONS, width)), 2),
        "without": None if "word" in request else _without(models),
    }


def _without(models: Models) -> list[PositionsOff]:
    """Return the loss on each film sentence, with and without positions."""
    kept = [models.kept(which, "positions off", partial(_losses, models, which)) for which in WHICH]
    return [
        {
            "text": text,
            "losses": [losses[place][0] for losses in kept],
            "losses_off": [losses[place][1] for losses in kept],
        }
        for place, text in enumerate(FILMS)
    ]


def _losses(models: Models, which: str) -> list[list[float]]:
    network, cases = models.network(which), (NOTHING, Edits(positions_off=True))
    return [
        [round(mean_surprise(network, models.tensors(text), edits), 2) for edits in cases]
        for text in FILMS
    ]


def outcome(models: Models) -> Outcome:
    """Return which of the two words lies closer."""
    network, word = models.network("base"), models.id_of(f" {WORD}")
    rivals = [models.id_of(f" {rival}") for rival in RIVALS]
    cosines = similarities(network.tokens[[word, *rivals]])[0, 1:].tolist()
    figures = [
        f"{cosine:.2f} for \u201c{rival}\u201d"
        for rival, cosine in zip(RIVALS, cosines, strict=True)
    ]
    result = f"The cosine is {' and '.join(figures)}; it would be 1 for the same direction."
    if round(cosines[0], 2) == round(cosines[1], 2):
        return {"answer": 2, "result": result}
    return {"answer": cosines.index(max(cosines)), "result": result}
