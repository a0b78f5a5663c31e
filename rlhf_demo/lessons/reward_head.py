"""Same body, other head: what the reward model makes of a text, layer by layer."""

from typing import Any

import torch

from rlhf_demo.explain.changes import next_logprobs
from rlhf_demo.explain.gpt2 import forward, read_out
from rlhf_demo.lessons.looks import Outcome, RewardHeadLook
from rlhf_demo.lessons.request import Models, check_letters, rounded, text_of
from rlhf_demo.models.token_text import token_texts

TEXT = "The acting was not terrible."
BLUNT, PRAISE = "The acting was terrible.", "The acting was excellent."
"""What the question's text is compared with."""
NEAR = 0.25
"""Scores this close to 0, or to each other, count as equal."""
MINUS = str.maketrans("-", "\u2212")


def look(models: Models, request: dict[str, Any]) -> RewardHeadLook:
    """Return a text's score, up to each token and read after each layer.

    Args:
        request: `text`.

    Raises:
        DemoError: the text cannot be used.
    """
    text = text_of(request, TEXT, models)
    ids = torch.tensor(models.reward.encode(text))
    network = models.network("reward")
    trace = forward(network, ids)
    ends = torch.stack([depth[-1] for depth in trace.depths])  # [layers + 1, D]
    return {
        "text": text,
        "pieces": token_texts(models.reward.tokenizer, ids[1:].tolist()),
        "running": rounded(trace.out[1:, 0], 3),
        "depths": rounded(read_out(network, ends)[:, 0], 3),
        "score": round(trace.out[-1, 0].item(), 3),
        "surprise": round(_surprise(models, text), 2),
    }


def outcome(models: Models) -> Outcome:
    """Return where the question's text stands between the blunt one and the praise."""
    score, blunt, praise = (score_of(models, text) for text in (TEXT, BLUNT, PRAISE))
    result = (
        f"It scores {score:+.2f}; \u201cterrible\u201d without \u201cnot\u201d scores "
        f"{blunt:+.2f}, and \u201cexcellent\u201d scores {praise:+.2f}."
    ).translate(MINUS)
    if score > NEAR:
        return {"answer": 0, "result": result}
    if score >= -NEAR:
        return {"answer": 1, "result": result}
    return {"answer": 2 if score > blunt + NEAR else 3, "result": result}


def score_of(models: Models, text: str) -> float:
    """Return a text's score.

    Raises:
        DemoError: the text is not in Latin letters, or the model cannot be used.
    """
    check_letters(text)
    ids = torch.tensor(models.reward.encode(text))
    return round(forward(models.network("reward"), ids).out[-1].item(), 3)


def _surprise(models: Models, text: str) -> float:
    """Return the base's mean -log p of a text's tokens, in nats."""
    (ids,) = models.tensors(text)
    logprobs = next_logprobs(models.network("base"), ids, 1.0)
    return -logprobs[range(len(ids) - 1), ids[1:]].mean().item()
