"""GPT-2's forward pass, with a name for every intermediate result and edits as arguments.

It computes what GPT2Model of `transformers` computes, for one text, and keeps what that throws
away. Tests hold the two equal. Shapes: T tokens, V tokens of the vocabulary, D width (256 in the
shipped models), H heads of width d = D / H, F width of the feed-forward layer (4 D).

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762 (attention in section 3.2, the
feed-forward part in 3.3); Radford et al. 2019, "Language models are unsupervised multitask
learners", section 2.3 (layer norms before each part, and one at the end).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from rlhf_demo.errors import CheckpointError

Part = Literal["attention", "feed-forward"]
PARTS: tuple[Part, ...] = ("attention", "feed-forward")


class Affine(NamedTuple):
    """Weights of x @ weight + bias, or of a layer norm's (x - mean) / deviation * weight + bias."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Layer:
    """Weights of one layer (a "block")."""

    norm_1: Affine  # [D]
    qkv: Affine  # [D, 3 D]: queries, keys and values of all heads
    attention_out: Affine  # [D, D]
    norm_2: Affine  # [D]
    up: Affine  # [D, F]
    down: Affine  # [F, D]


@dataclass(frozen=True)
class Network:
    """Weights of a GPT-2.

    Attributes:
        tokens: [V, D] a vector for each token.
        positions: [P, D] a vector for each of the P positions that the model can read.
        layers: from the first to the last.
        final_norm: [D].
        head: [D, V] to logits; of a reward model, [D, 1] to the score.
        heads: attention heads of a layer.
        epsilon: of the layer norms.
    """

    tokens: Tensor
    positions: Tensor
    layers: tuple[Layer, ...]
    final_norm: Affine
    head: Tensor
    heads: int
    epsilon: float


@dataclass(frozen=True)
class Edits:
    """What to leave out of a forward pass. Layers and heads are counted from 0.

    Attributes:
        heads_off: (layer, head) of the heads whose output becomes zero.
        attention_off: layers whose attention adds nothing.
        feed_forward_off: layers whose feed-forward part adds nothing.
        positions_off: no token gets a vector for its position.
    """

    heads_off: Collection[tuple[int, int]] = ()
    attention_off: Collection[int] = ()
    feed_forward_off: Collection[int] = ()
    positions_off: bool = False


NOTHING = Edits()
"""Leaves nothing out."""


class Attention(NamedTuple):
    """What the attention of one layer computes."""

    queries: Tensor  # [H, T, d]
    keys: Tensor  # [H, T, d]
    values: Tensor  # [H, T, d]
    products: Tensor  # [H, T, T] queries times keys, over sqrt(d); -inf where a key comes later
    pattern: Tensor  # [H, T, T] softmax of the products: the weights, which sum to 1 in a row
    mixed: Tensor  # [H, T, d] values, weighted by the pattern
    out: Tensor  # [T, D] what attention adds


class FeedForward(NamedTuple):
    """What the feed-forward part of one layer computes, for each token by itself."""

    units: Tensor  # [T, F] after the activation function
    out: Tensor  # [T, D] what it adds


class LayerTrace(NamedTuple):
    """One layer's part of a forward pass."""

    attention: Attention
    between: Tensor  # [T, D] the sum after attention
    feed_forward: FeedForward
    after: Tensor  # [T, D] the sum after the layer


@dataclass(frozen=True)
class Trace:
    """One forward pass over one text.

    Attributes:
        embedded: [T, D] vector of the token plus vector of its position.
        layers: from the first to the last.
        final: [T, D] the last layer's sum, normalised.
        out: [T, V] logits; of a reward model, [T, 1] the score of the text up to each token.
    """

    embedded: Tensor
    layers: list[LayerTrace] = field(repr=False)
    final: Tensor = field(repr=False)
    out: Tensor = field(repr=False)

    @property
    def depths(self) -> list[Tensor]:
        """The running sum [T, D] at the input and after each layer."""
        return [self.embedded, *(layer.after for layer in self.layers)]


# -- the forward pass ------------------------------------------------------------------------------


@torch.no_grad()
def forward(
    network: Network, ids: Tensor, edits: Edits = NOTHING, known: Sequence[LayerTrace] = ()
) -> Trace:
    """Read a text and keep every intermediate result.

    Args:
        ids: [T] token ids, at most as many as the network has positions.
        edits: what to leave out.
        known: what the first layers computed of the same text; only the others compute again.
    """
    embedded = network.tokens[ids]
    if not edits.positions_off:
        embedded = embedded + network.positions[: len(ids)]
    layers = list(known)
    running = layers[-1].after if layers else embedded
    for number, layer in enumerate(network.layers[len(known) :], start=len(known)):
        read = layer_norm(running, layer.norm_1, network.epsilon)
        off = [head for of_layer, head in edits.heads_off if of_layer == number]
        attention = attend(layer, read, network.heads, off)
        if number in edits.attention_off:
            attention = attention._replace(out=torch.zeros_like(running))
        between = running + attention.out
        read = layer_norm(between, layer.norm_2, network.epsilon)
        feed_forward = think(layer, read)
        if number in edits.feed_forward_off:
            feed_forward = feed_forward._replace(out=torch.zeros_like(running))
        running = between + feed_forward.out
        layers.append(LayerTrace(attention, between, feed_forward, running))
    final = layer_norm(running, network.final_norm, network.epsilon)
    return Trace(embedded, layers, final, final @ network.head)


def attend(layer: Layer, read: Tensor, heads: int, off: Collection[int] = ()) -> Attention:
    """Let each token collect from those before it, and from itself: softmax(Q K' / sqrt(d)) V.

    Vaswani et al. 2017, equation 1, with the mask of section 3.2.3.

    Args:
        read: [T, D] the normalised sum.
        heads: H.
        off: heads whose output becomes zero.
    """
    queries, keys, values = (
        part.unflatten(-1, (heads, -1)).transpose(0, 1)  # [T, D] -> [H, T, d]
        for part in (read @ layer.qkv.weight + layer.qkv.bias).chunk(3, dim=-1)
    )
    products = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[-1])
    later = torch.ones_like(products[0], dtype=torch.bool).triu(1)
    products = products.masked_fill(later, -math.inf)
    pattern = products.softmax(-1)
    mixed = pattern @ values
    mixed[list(off)] = 0.0
    together = mixed.transpose(0, 1).flatten(1)  # [H, T, d] -> [T, D]
    out = together @ layer.attention_out.weight + layer.attention_out.bias
    return Attention(queries, keys, values, products, pattern, mixed, out)


def think(layer: Layer, read: Tensor) -> FeedForward:
    """Change each token's vector by itself: gelu(x W1 + b1) W2 + b2, with gelu in its tanh form.

    Args:
        read: [T, D] the normalised sum.
    """
    units = functional.gelu(read @ layer.up.weight + layer.up.bias, approximate="tanh")
    return FeedForward(units, units @ layer.down.weight + layer.down.bias)


def layer_norm(running: Tensor, norm: Affine, epsilon: float) -> Tensor:
    """Give each token's vector [..., D] mean 0 and variance 1, then scale and shift it.

    Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450, section 3.
    """
    return functional.layer_norm(running, running.shape[-1:], norm.weight, norm.bias, epsilon)


def read_out(network: Network, running: Tensor) -> Tensor:
    """Read a running sum [..., D] as if it were the last one: logits [..., V], or a score [..., 1].

    This is the "logit lens" (nostalgebraist 2020). No early layer was trained to be read so.
    """
    return layer_norm(running, network.final_norm, network.epsilon) @ network.head


# -- networks --------------------------------------------------------------------------------------


def network_of(model: PreTrainedModel, label: int = 0) -> Network:
    """Return the weights of a GPT-2 as `transformers` holds it; they are shared, not copied.

    Args:
        model: a causal language model, or a reward model.
        label: of a reward model: the label whose logit is the score.

    Raises:
        CheckpointError: the model is no GPT-2, or is a variant that `forward` does not compute.
    """
    config = model.config
    if config.model_type != "gpt2":
        raise CheckpointError(
            f"this lesson looks inside a GPT-2, and the model is of type {config.model_type}: "
            "choose a GPT-2"
        )
    if config.scale_attn_by_inverse_layer_idx or config.activation_function != "gelu_new":
        raise CheckpointError(
            "this GPT-2 scales its attention or activates its units in an unusual way: choose "
            "another model"
        )
    trunk: Any = model.base_model
    score = getattr(model, "score", None)
    output: Any = score or model.get_output_embeddings()
    head = output.weight if score is None else output.weight[label : label + 1]
    return Network(
        tokens=trunk.wte.weight.detach(),
        positions=trunk.wpe.weight.detach(),
        layers=tuple(_layer_of(block) for block in trunk.h),
        final_norm=_affine(trunk.ln_f),
        head=head.detach().T,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_epsilon,
    )


def _layer_of(block: Any) -> Layer:
    attention, feed_forward = block.attn, block.mlp
    return Layer(
        norm_1=_affine(block.ln_1),
        qkv=_affine(attention.c_attn),
        attention_out=_affine(attention.c_proj),
        norm_2=_affine(block.ln_2),
        up=_affine(feed_forward.c_fc),
        down=_affine(feed_forward.c_proj),
    )


def _affine(module: Any) -> Affine:
    return Affine(module.weight.detach(), module.bias.detach())


OF_PART: dict[Part, tuple[str, ...]] = {
    "attention": ("norm_1", "qkv", "attention_out"),
    "feed-forward": ("norm_2", "up", "down"),
}
"""The weights of each part of a layer."""


def with_changes(
    base: Network, tuned: Network, layers: Collection[int], parts: Collection[Part] = PARTS
) -> Network:
    """Return the base with the tuned network's weights in some layers only.

    Args:
        base: what training started from.
        tuned: what came of it.
        layers: counted from 0.
        parts: of those layers.
    """

    def chosen(number: int) -> Layer:
        if number not in layers:
            return base.layers[number]
        names = [name for part in parts for name in OF_PART[part]]
        theirs = {name: getattr(tuned.layers[number], name) for name in names}
        return replace(base.layers[number], **theirs)

    return replace(base, layers=tuple(map(chosen, range(len(base.layers)))))
