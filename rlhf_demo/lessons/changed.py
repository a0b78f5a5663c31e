"""What PPO changed: how far each layer moved, and what each layer's change does alone."""

from collections.abc import Collection
from typing import Any

from torch import Tensor

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.changes import divergence, moved, next_logprobs
from rlhf_demo.explain.gpt2 import PARTS, Network, Part, Trace, forward, with_changes
from rlhf_demo.lessons.looks import ChangedLook, Outcome
from rlhf_demo.lessons.request import Models, rounded, text_of

TEXT = "The acting was"
TEMPERATURE = 0.7
"""At which the models write on this page."""
SHOWN = 4
"""Most likely next tokens of each model."""
PROMPTS = (
    "The acting was",
    "The film is",
    "This movie was",
    "I thought the plot was",
    "The story is",
    "The music was",
    "The characters are",
    "The director",
)
"""What the answer is measured on."""


def look(models: Models, request: dict[str, Any]) -> ChangedLook:
    """Return what PPO's changes do to one text, in each layer alone and in the chosen ones.

    Args:
        request: `text`; `layers`, a list of numbers from 1; `part`, one of PARTS, or nothing.

    Raises:
        DemoError: the text, a layer or the part cannot be used.
    """
    text = text_of(request, TEXT, models)
    base, ppo = models.network("base"), models.network("ppo")
    chosen = _layers_of(request, len(base.layers))
    part = _part_of(request)
    (ids,) = models.tensors(text)
    mixed = with_changes(base, ppo, [layer - 1 for layer in chosen], (part,) if part else PARTS)
    read = forward(base, ids)
    before = (read.out / TEMPERATURE).log_softmax(-1)
    after = next_logprobs(ppo, ids, TEMPERATURE)
    same = read.layers[: min(chosen, default=1) - 1]
    now = next_logprobs(mixed, ids, TEMPERATURE, same)
    top = {int(token) for each in (before, after) for token in each[-1].topk(SHOWN).indices}
    tokens = sorted(top, key=lambda token: -before[-1, token])
    places = range(len(ids) - 1)
    return {
        "text": text,
        "pieces": models.pieces(ids[1:].tolist()),
        "layers": chosen,
        "part": part or "",
        "moved": models.kept("ppo", "moved", lambda: rounded(moved(base, ppo))),
        "alone": [round(effect, 3) for effect in _alone(base, ppo, [ids], [read])],
        "all": round(divergence(after[-1], before[-1]).item(), 3),
        "chosen": round(divergence(now[-1], before[-1]).item(), 3),
        "log_ratios": rounded((now - before)[places, ids[1:]], 2),
        "tokens": models.pieces(tokens),
        "base": rounded(before[-1, tokens].exp()),
        "ppo": rounded(after[-1, tokens].exp()),
        "mixed": rounded(now[-1, tokens].exp()),
    }


def outcome(models: Models) -> Outcome:
    """Return which layer matters most over several prompts, and whether it changed most."""
    base, ppo = models.network("base"), models.network("ppo")
    texts = models.tensors(*PROMPTS)
    read = [forward(base, ids) for ids in texts]
    layers = range(len(base.layers))
    shares = moved(base, ppo)[:, -1]
    alone = _alone(base, ppo, texts, read)
    most, matters = int(shares.argmax()), max(layers, key=lambda layer: alone[layer])
    late = matters >= len(layers) // 2
    compared = f", and layer 1 alone by {alone[0]:.2f}" if matters else ""
    own = f", and those of layer {matters + 1} by {shares[matters]:.2%}" if most != matters else ""
    result = (
        f"Over {len(PROMPTS)} prompts, layer {matters + 1} alone moves the next token most: "
        f"by {alone[matters]:.2f} nats{compared}. The weights of layer {most + 1} changed most, "
        f"by {shares[most]:.2%} of their size{own}. All layers together move the next token by "
        f"{_effect(ppo, texts, read):.2f} nats; the single effects add up to {sum(alone):.2f}."
    )
    return {"answer": 2 * late + (most != matters), "result": result}


def _alone(base: Network, ppo: Network, texts: list[Tensor], read: list[Trace]) -> list[float]:
    """Return the effect of each layer's change alone."""
    layers = range(len(base.layers))
    return [_effect(with_changes(base, ppo, [layer]), texts, read, layer) for layer in layers]


def _effect(network: Network, texts: list[Tensor], read: list[Trace], same: int = 0) -> float:
    """Return how far the token after each text is from the base's, on average, in nats.

    Args:
        network: of which the first `same` layers are the base's.
        texts: token ids.
        read: of each text, by the base.
    """
    effects: list[float] = []
    for ids, trace in zip(texts, read, strict=True):
        old = (trace.out[-1] / TEMPERATURE).log_softmax(-1)
        now = next_logprobs(network, ids, TEMPERATURE, trace.layers[:same])[-1]
        effects.append(divergence(now, old).item())
    return sum(effects) / len(effects)


def _layers_of(request: dict[str, Any], count: int) -> list[int]:
    layers = request.get("layers", [count])
    known: Collection[int] = range(1, count + 1)
    if not isinstance(layers, list) or not all(type(each) is int for each in layers):
        raise ConfigError(f"layers is {str(layers)[:40]}: give a list of whole numbers")
    if any(layer not in known for layer in layers):
        raise ConfigError(f"layers is {str(layers)[:40]}: choose from 1 to {count}")
    return sorted(set(layers))


def _part_of(request: dict[str, Any]) -> Part | None:
    part = request.get("part") or None
    if part is not None and part not in PARTS:
        raise ConfigError(f"part is {str(part)[:40]!r}: choose one of {', '.join(PARTS)}")
    return part
