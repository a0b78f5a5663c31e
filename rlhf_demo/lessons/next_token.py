"""The next token: the most likely ones, and the logits of all."""

from typing import Any

import torch

from rlhf_demo.explain.gpt2 import forward
from rlhf_demo.lessons.looks import NextTokenLook, Outcome
from rlhf_demo.lessons.request import Models, rounded, text_of, which_of

TEXT = "The acting was"
SHOWN = 12
LOW, HIGH = 0.7, 2.0
"""The two temperatures of the question."""


def look(models: Models, request: dict[str, Any]) -> NextTokenLook:
    """Return the logits after a text.

    Args:
        request: `text`, `model`.

    Raises:
        DemoError: the text or the model cannot be used.
    """
    text, which = text_of(request, TEXT, models), which_of(request)
    logits = _logits(models, text, which)
    ordered = logits.sort(descending=True)
    tokens = models.names(ordered.indices[:SHOWN].tolist())
    return {"text": text, "model": which, "logits": rounded(ordered.values, 3), "tokens": tokens}


def outcome(models: Models) -> Outcome:
    """Return whether the leader changes with the temperature."""
    logits = _logits(models, TEXT, "base")
    cool, hot = ((logits / temperature).softmax(-1) for temperature in (LOW, HIGH))
    before, after = int(cool.argmax()), int(hot.argmax())
    names = [name.strip() for name in models.names([before, after])]
    figures = f"{cool[before]:.2f} at {LOW} and {hot[after]:.3f} at {HIGH:g}"
    if before == after:
        return {
            "answer": 0,
            "result": f"\u201c{names[0]}\u201d leads both times, with a probability of {figures}.",
        }
    result = f"\u201c{names[0]}\u201d led, then \u201c{names[1]}\u201d, with {figures}."
    return {"answer": 1, "result": result}


def _logits(models: Models, text: str, which: str) -> torch.Tensor:
    return forward(models.network(which), models.tensors(text)[0]).out[-1]
