"""Read the configuration of a network that a stranger may have sent.

transformers would read other files that config.json names, run code from the Hub, and make lists as
long as the file asks for. So the file is read and checked here, and transformers gets the finished
configuration.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import read_json, short_name
from rlhf_demo.hub.locate import MOST_CONFIG

KNOWN_TYPES = {
    "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "llama", "mistral", "qwen2", "qwen3",
    "phi", "phi3", "gemma", "olmo", "olmo2", "smollm3", "stablelm", "starcoder2",
    "bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra", "albert", "deberta",
    "deberta-v2", "modernbert",
}  # fmt: skip
"""Types of models that write texts or classify them, and whose size is that of their weights.
transformers knows hundreds more. Some make other configurations, some fetch files from the Hub, and
some compute with tables as large as a number in the file says."""

OTHER_PARTS = re.compile(
    r'"(\w{0,80}_implementation\w{0,80}|(quantization|fusion|kernel|distributed)_config'
    r'|transformers_weights)": (?!null|"\w*")'
    r'|"(attribute_map|per_layer_config)": '
)
"""Keys, at any depth, by which transformers takes other weights or replaces parts of a network; a
plain name such as "sdpa" chooses among its own parts. An attribute_map would let the checks of
sizes read other numbers than the network does. Without bounds on the letters, a text of a thousand
such words would be searched for minutes."""

MOST_LAYERS = 9_999
"""transformers makes a list of all layers and labels as soon as it reads a configuration."""

LARGE = re.compile(
    r"vocab_size|\w*(token_ids?|position\w*|theta|length|window)|(hidden|intermediate)_size|n_embd"
    r"|n_inner|n_ctx|ffn_dim|hidden_dim|dim"
)
"""Whole numbers that may be above MOST_LAYERS: each but the ids of tokens is a size of weights, or
bounds what is read. Others count modules without weights (ALBERT's groups), or steps."""

MOST_HEADS, MOST_WORDS, MOST_WIDER, MOST_WIDTH, MOST_REACH = 128, 300_000, 64, 65_536, 512
"""Attention heads, words of the vocabulary, how many times as wide as the rest of the network its
feed-forward layers and all heads together may be, numbers for a token anywhere, and relative
positions of DeBERTa. For a text of T tokens, the network computes heads * T * T, words * T,
width * T and heads * reach * T numbers, however few its weights are."""

SHARES = ("partial_rotary_factor", "rotary_pct")
"""Of a head's numbers, the share that the position turns."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a model's or an adapter's configuration, unchecked.

    Raises:
        CheckpointError: there is none, it is too large, or it is not a JSON object.
    """
    try:
        spec = read_json(path, MOST_CONFIG)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(spec, dict):
        raise CheckpointError(f"{short_name(path)} holds no configuration: restore that file")
    return spec


def network_config(folder: Path, num_labels: int | None) -> PretrainedConfig:
    """Read config.json, and nothing that it names.

    Args:
        num_labels: labels of a new classification head; None keeps those of the file.

    Raises:
        CheckpointError: the file cannot be read.
        ValueError: a value is of a wrong type, the type of the model is unknown, or the file asks
            for other weights or code, or for very much.
    """
    spec = read_config(folder / "config.json")
    _check(spec)
    if spec.get("model_type") not in KNOWN_TYPES:
        raise ValueError(f"its model_type {str(spec.get('model_type'))[:60]!r} is not supported")
    labels = {} if num_labels is None else {"num_labels": num_labels}
    try:
        kind = type(AutoConfig.for_model(spec["model_type"]))
        config = kind.from_dict(spec, **labels)
        _check_widths(config)
        # Else every layer keeps its heads * T * T numbers until the end.
        config.output_attentions = config.output_hidden_states = False
        return config
    except Exception as error:  # of any class: libraries check the types of values in their own way
        raise ValueError(str(error)) from error


def _check(spec: dict[str, Any]) -> None:
    """Refuse other weights, other code, and very many layers, labels or other modules.

    Raises:
        ValueError: the configuration asks for one of these, or has an unknown form.
    """
    written = json.dumps(spec)  # blanks and escapes in the file could hide a key
    if OTHER_PARTS.search(written):
        raise ValueError("its configuration names other weights or code")
    if written.count('"model_type": ') > 1:
        raise ValueError("its configuration holds another one")
    # GPT-Neo's: kinds of attention, and how many times these layers come one after another.
    kinds = spec.get("attention_types") or []
    layers = sum(len(names) * abs(count) for names, count in kinds)
    large = any(
        abs(value) > (1 if key in SHARES else MOST_LAYERS) and not LARGE.fullmatch(key)
        for key, value in _numbers(spec)
    )
    if large or layers > MOST_LAYERS:
        raise ValueError("its configuration asks for too much")


def _numbers(spec: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield all numbers, at any depth, with the names they have."""
    if isinstance(spec, dict):
        for name, value in spec.items():
            yield from _numbers(value, name)
    elif isinstance(spec, list):
        for value in spec:
            yield from _numbers(value, key)
    elif isinstance(spec, int | float):
        yield key, spec


def _check_widths(config: PretrainedConfig) -> None:
    """Refuse a network that computes far more numbers than it has weights.

    Raises:
        ValueError: it has very many heads or words, or is very wide somewhere.
    """
    names = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
    heads = max(config.num_attention_heads, getattr(config, "num_key_value_heads", None) or 0)
    each = max(getattr(config, name, None) or 0 for name in ("head_dim", "attention_head_size"))
    wide = max(heads * each, *(getattr(config, name, None) or 0 for name in names))
    reach = getattr(config, "max_relative_positions", None) or 0
    if config.model_type == "deberta-v2" and reach < 1:
        reach = config.max_position_embeddings
    if (
        heads > MOST_HEADS
        or config.vocab_size > MOST_WORDS
        or wide > MOST_WIDER * config.hidden_size
        or max(wide, config.hidden_size) > MOST_WIDTH
        or max(reach, getattr(config, "position_buckets", None) or 0) > MOST_REACH
    ):
        raise ValueError("its configuration asks for too wide a network")
