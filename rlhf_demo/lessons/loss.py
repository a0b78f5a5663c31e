"""Loss: how much each token of a text surprises the models, and what teaching one text changes."""

import math
from functools import partial
from typing import Any

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.surprise import mean_surprise, surprises
from rlhf_demo.explain.teaching import taught
from rlhf_demo.lessons.looks import ExampleText, LossLook, Outcome, Taught
from rlhf_demo.lessons.request import FILMS, WHICH, Models, rounded, text_of

TEXT = "Photosynthesis turns water and light into sugar."
EXAMPLES = {
    "a film sentence": FILMS[0],
    "its words in another order": "sister, ending. loved with this we I movie both my and the "
    "watched",
    "photosynthesis": TEXT,
    "the stock market": "The stock market fell sharply after the bank raised its interest rates.",
    "a line of Python": "for i in range(10): print(i * 2)",
}
ASKED = 4
"""The first examples are the answers to choose from."""
STEPS = 10


def look(models: Models, request: dict[str, Any]) -> LossLook:
    """Return the surprise of each token, and the loss on the examples.

    Args:
        request: `text`; without it, the examples are measured too. `teach`, to teach a copy of
            the base the text first.

    Raises:
        DemoError: the text or a model cannot be used, or teaching is off.
    """
    text, teach = text_of(request, TEXT, models), request.get("teach", False)
    if not isinstance(teach, bool):
        raise ConfigError("teach is neither true nor false")
    if teach and not models.may_train:
        raise ConfigError(
            "this page is public, so teaching is off here: start the app on your own computer to "
            "try it"
        )
    (ids,) = models.tensors(text)
    networks = [models.network(which) for which in WHICH]
    found = [surprises(network, ids) for network in networks]
    return {
        "text": text,
        "pieces": models.pieces(ids.tolist())[1:],
        "surprises": [rounded(each, 2) for each in found],
        "losses": [round(each.mean().item(), 3) for each in found],
        "nothing": round(math.log(len(networks[0].tokens)), 3),
        "examples": None if "text" in request else _examples(models),
        "taught": _taught(models, text) if teach else None,
    }


def _examples(models: Models) -> list[ExampleText]:
    found: list[ExampleText] = []
    losses = [models.kept(which, "examples", partial(_losses, models, which)) for which in WHICH]
    for (name, text), *of_text in zip(EXAMPLES.items(), *losses, strict=True):
        found.append({"name": name, "text": text, "losses": [round(loss, 2) for loss in of_text]})
    return found


def _losses(models: Models, which: str) -> list[float]:
    network = models.network(which)
    return [mean_surprise(network, models.tensors(text)) for text in EXAMPLES.values()]


def _taught(models: Models, text: str) -> Taught:
    """Teach a copy of the base one text, and measure what it has learned and forgotten."""
    (ids,), losses, network = models.tensors(text), [], None
    for network in taught(models.base.lm, ids, STEPS):
        losses.append(round(mean_surprise(network, [ids]), 3))
    assert network is not None
    examples = [mean_surprise(network, models.tensors(each)) for each in EXAMPLES.values()]
    return {"losses": losses, "examples": [round(loss, 2) for loss in examples]}


def outcome(models: Models) -> Outcome:
    """Return which example surprises the base most per token."""
    losses = models.kept("base", "examples", partial(_losses, models, "base"))[:ASKED]
    named = [f"{name} {loss:.1f}" for name, loss in zip(EXAMPLES, losses, strict=False)]
    result = f"In nats per token: {', '.join(named)}."
    return {"answer": losses.index(max(losses)), "result": result}
