"""What decides how much memory and time a model takes: all of its files but the weights' values.

What a network needs for a text follows from its configuration, its tokenizer, and the shapes of its
weights. So a model of the same structure as one that was tried (model_trial.py) is not tried again,
whoever it comes from: a training changes values alone.
"""

import hashlib
import json
import math
from itertools import islice
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import memory_of, read_json, short_name
from rlhf_demo.hub.locate import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    CONFIG,
    MOST_CONFIG,
    TOKENIZER,
    TOKENIZER_FILES,
    VALUE_HEAD,
    adapter_base,
    weight_files,
)

MOST_MODEL_FILES = 1000
"""Files in a model's folder, which is looked through whenever the model is used; ours have ten."""

MOST_TEXT = 2**26
"""Bytes of each file of a tokenizer."""

SMALL = 2**16
"""A value head of so many bytes costs nothing to speak of; PPO has one and DPO has none."""

ODD = ValueError, TypeError, KeyError, AttributeError, RecursionError
"""What odd values in a file raise."""

NO_COST = {
    "_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache",
    "base_model_name_or_path", "peft_version", "inference_mode", "lora_alpha", "lora_dropout",
}  # fmt: skip
"""Keys of a configuration that change no shape: all weights are read in float32."""

MOST_SHORT = 5000
"""Bytes of memory of a value that costs nothing: the longest path has 4,096 letters."""

FLOATS = {"F32", "F16", "BF16"}
ANY_RANK = 2**24
"""Adapters of up to so many numbers count as one structure, of whatever rank: loading adds them to
their base. Rank 512, the highest of our options, makes 11.8 million of the shipped base's."""
MOST_HEADER = 10**6
"""Bytes that name the tensors in all files of a model; those of GPT-2 XL take 60,000."""


def stamp(folder: Path) -> str:
    """Tell a model's files, and those of the base under an adapter, from others put there later.

    Taken before loading: if a file is replaced meanwhile, the next caller loads them again.

    Args:
        folder: as `locate` returns it.

    Raises:
        CheckpointError: the base under an adapter cannot be found, or the folder holds more than
            MOST_MODEL_FILES files.
    """
    base = adapter_base(folder)
    found = sorted(islice(folder.iterdir(), MOST_MODEL_FILES + 1))
    if len(found) > MOST_MODEL_FILES:
        raise CheckpointError(
            f"{short_name(folder)} holds more than {MOST_MODEL_FILES:,} files: choose another model"
        )
    paths = [path for path in found if path.is_file()]
    # An archive keeps the times of modification; those of status nobody can set.
    files = [(path.name, path.stat().st_ctime_ns) for path in paths]
    return f"{folder} {files} {stamp(base) if base else ''}"


def structure(folder: Path) -> str | None:
    """Return a hash that two models share only if both take the same memory and time.

    Args:
        folder: as `locate` returns it.

    Returns:
        None if a file is missing, damaged or too large to be looked at: it equals no other.

    Raises:
        CheckpointError: the base under an adapter cannot be found.
    """
    base = adapter_base(folder)
    try:
        found: list[Any] = [_texts(folder), _value_head(folder)]
        if base is None:
            found += [_config(folder / CONFIG), _tensors(weight_files(folder))]
        else:
            found += [structure(base), *_adapter(folder)]
            if not (folder / TOKENIZER).is_file():  # an older form, which config.json chooses
                found.append(_config(folder / CONFIG))
    except (*ODD, OSError, DataError, SafetensorError):
        return None
    if None in found:
        return None
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _texts(folder: Path) -> dict[str, str]:
    """Return the hashes of the tokenizer's files."""
    found: dict[str, str] = {}
    for path in (folder / name for name in TOKENIZER_FILES):
        if path.is_file():
            with open(path, "rb") as file:
                text = file.read(MOST_TEXT + 1)
            if len(text) > MOST_TEXT:
                raise ValueError
            found[path.name] = hashlib.sha256(text).hexdigest()
    return found


def _config(path: Path) -> dict[str, Any]:
    spec: dict[str, Any] = read_json(path, MOST_CONFIG) if path.is_file() else {}
    return _costly(spec)


def _costly(spec: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes no shape, if it is short: whatever is long takes time to look at."""
    return {
        key: value
        for key, value in spec.items()
        if not (key in NO_COST and memory_of(value, 0) < MOST_SHORT)
    }


def _adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an adapter's configuration, up to the order of its modules, and its tensors."""
    spec: dict[str, Any] = read_json(folder / ADAPTER, MOST_CONFIG)
    tensors, modules, rank = _tensors([folder / ADAPTER_WEIGHTS]), spec["target_modules"], spec["r"]
    if not isinstance(modules, list):  # a regular expression, which is refused
        raise ValueError
    kept = _costly(spec)
    kept["target_modules"] = sorted(cast("list[str]", modules))
    if sum(math.prod(shape) for _, shape in tensors.values()) <= ANY_RANK:
        kept["r"] = "any"
        for name, (kind, shape) in tensors.items():
            if ".lora_" in name:
                tensors[name] = kind, ["rank" if size == rank else size for size in shape]
    return kept, tensors


def _tensors(files: list[Path]) -> dict[str, tuple[str, list[Any]]]:
    """Return the type and the shape of each tensor."""
    found: dict[str, tuple[str, list[Any]]] = {}
    left = MOST_HEADER
    for path in files:
        with open(path, "rb") as file:  # else the library would read headers of 100 MB
            left -= int.from_bytes(file.read(8), "little")
        if left < 0:
            raise ValueError
        opened: Any = safe_open(path, "numpy")  # without types
        with opened as tensors:
            for name in tensors.keys():
                part = tensors.get_slice(name)
                kind: str = part.get_dtype()
                found[name] = "float" if kind in FLOATS else kind, part.get_shape()
    return found


def _value_head(folder: Path) -> int:
    path = folder / VALUE_HEAD
    size = path.stat().st_size if path.is_file() else 0
    return 0 if size <= SMALL else size
