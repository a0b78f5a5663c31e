"""Load networks from a folder; a file that cannot be loaded gets one clear sentence.

- **Weights.** Safetensors only, never pickled, in float32. Adapters are merged into their base.
- **Untrusted files.** Code that comes with a model is never run. The size that a configuration asks
  for is compared with the weights in the files before the network is built.

tokenizer.py, policy.py and reward_model.py build on these functions. Source: Hu et al. 2021 (LoRA).
"""

import copy
import json
import math
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import read_json, short_name
from rlhf_demo.hub.locate import ADAPTER, MOST_CONFIG, adapter_base

UNREADABLE = (
    OSError, ValueError, KeyError, RuntimeError, SafetensorError,
    TypeError, AttributeError, ArithmeticError, ImportError, IndexError,  # from odd values
)  # fmt: skip

LORA = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision",
    "inference_mode", "r", "target_modules", "modules_to_save", "lora_alpha", "lora_dropout",
    "fan_in_fan_out", "bias", "use_rslora", "peft_type", "runtime_config",
}  # fmt: skip
"""Keys that an adapter's configuration may set; all others must have peft's default."""

INDEX = "model.safetensors.index.json"

READERS_AND_WRITERS = {
    *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    *MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}
"""Types of models that write texts or classify them. The configurations of other types, of images
or sounds, are not even made: some make long lists."""

READ_WHOLE = ("config.json", "generation_config.json", ADAPTER, INDEX)
"""JSON files that transformers and peft read with a model."""

WEIGHT_FILE = re.compile(r"[\w.-]+\.safetensors", re.ASCII)

MOST_WEIGHTS = 1.05
"""Weights of a network per weight in its files, at most: a new head adds a few."""

LONG_LISTS = re.compile(r'"\w*(layers?|labels)": [0-9]{5,}')
"""transformers makes a list of all layers and labels as soon as it reads a configuration."""

MOST_LAYERS = 9_999

MOST_CALLS = 200_000
"""Calls of torch that may build a network: it takes 5 for each tensor, 1,000 for 12 layers."""

MOST_BUFFERS = 2**26
"""Bytes of buffers, such as masks, that a model may have beyond 4 per weight in its files."""


def is_classifier(folder: Path) -> bool:
    """Return whether the model in `folder` scores texts instead of writing them."""
    adapter = folder / ADAPTER
    path = adapter if adapter.is_file() else folder / "config.json"
    spec = _read(path)
    if path == adapter:
        return spec.get("task_type") == "SEQ_CLS"
    return "ForSequenceClassification" in str(spec.get("architectures"))


def _read(path: Path) -> dict[str, Any]:
    """Read a model's configuration."""
    try:
        spec = read_json(path, MOST_CONFIG)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(spec, dict):
        raise CheckpointError(f"{short_name(path)} holds no configuration: restore that file")
    return spec


def load_network(
    auto_class: Any, folder: Path, num_labels: int | None = None
) -> tuple[PreTrainedModel, bool]:
    """Load a network in float32 from safetensors; an adapter is merged into its base.

    Args:
        auto_class: of transformers, e.g. AutoModelForCausalLM.
        num_labels: labels of a new classification head; None loads the head from the files.

    Returns:
        The network, and whether an adapter was merged.

    Raises:
        CheckpointError: files are missing, damaged, do not fit together, or ask for too much.
    """
    base = adapter_base(folder)
    if base is not None and not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(
            f"{short_name(folder)} cannot be loaded (it has no adapter_model.safetensors): choose "
            "another model"
        )
    if base is not None:
        _check_adapter(folder, base)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a new head is expected, not worth a warning
    try:
        with readable(base or folder):
            _check_files(base or folder)
            config = _configuration(base or folder, num_labels)
            _check_size(auto_class, base or folder, config)
            model, info = auto_class.from_pretrained(
                base or folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
            )
            if info["missing_keys"] and num_labels is None:  # a new head is always missing
                raise ValueError(f"its files lack {min(info['missing_keys'])}")
    finally:
        transformers_logging.set_verbosity(verbosity)
    if base is not None:
        from peft import PeftModel  # noqa: PLC0415  (takes a second; only adapters need it)

        with readable(folder):
            _check_files(folder)
            _check_rank(model, folder)
            model = PeftModel.from_pretrained(
                model, folder, local_files_only=True
            ).merge_and_unload()
    return model, base is not None


def _check_files(folder: Path) -> None:
    """Refuse a folder from which transformers would read more, or other files, than we measure.

    It reads configurations and indices whole, however large; unpickles the files that an index
    names, if their names do not end in .safetensors; and opens whatever else they name, where a
    pipe would stop all threads of this process for ever.

    Raises:
        ValueError: a weight file is no safetensors file of this folder, or a JSON file is large.
    """
    for name in READ_WHOLE:
        path = folder / name
        if path.is_file() and path.stat().st_size > MOST_CONFIG:
            raise ValueError(f"{name} is larger than {MOST_CONFIG:,} bytes")
    names = {path.name for path in folder.glob("*.safetensors")}
    if (folder / INDEX).is_file() and not (folder / ADAPTER).is_file():  # or others read it
        names |= set(_read(folder / INDEX)["weight_map"].values())
    for name in names:
        path = folder / name
        if not WEIGHT_FILE.fullmatch(name) or (path.exists() and not path.is_file()):
            raise ValueError(f"{name[:60]} is not a safetensors file of its folder")


def _check_adapter(folder: Path, base: Path) -> None:
    """Refuse an adapter that is not plain LoRA.

    Module names in its configuration may be regular expressions, which peft matches however long
    that takes, and other kinds of adapter compute a lot before any weight is loaded.

    Raises:
        CheckpointError: it is not plain LoRA, or its base is itself an adapter, which transformers
            would load.
    """
    from peft import LoraConfig  # noqa: PLC0415

    spec = _read(folder / ADAPTER)
    plain = LoraConfig().to_dict()
    odd = [key for key in plain if key not in LORA and spec.get(key, plain[key]) != plain[key]]
    for key in ("target_modules", "modules_to_save"):
        names = spec.get(key) or []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            odd.append(key)
    if spec.get("peft_type") != "LORA" or odd:
        what = f"{odd[0]} is {str(spec[odd[0]])[:60]!r}" if odd else "its peft_type is not LORA"
        raise CheckpointError(
            f"{short_name(folder)} is not a plain LoRA adapter ({what}): choose another model"
        )
    if (base / ADAPTER).is_file():
        raise CheckpointError(
            f"{short_name(folder)} is an adapter on an adapter: choose another model"
        )


def _check_rank(model: PreTrainedModel, folder: Path) -> None:
    """Refuse an adapter with fewer matrices, or another rank, than its configuration says.

    Raises:
        ValueError: it is one. peft would first create all matrices that the configuration names.
    """
    spec = _read(folder / ADAPTER)
    shapes = _shapes(folder / "adapter_model.safetensors")
    ranks = [shape[0] for name, shape in shapes.items() if re.search(r"lora_(embedding_)?A", name)]
    suffixes = tuple(f".{name}" for name in spec.get("target_modules") or [])
    adapted = sum(f".{name}".endswith(suffixes) for name, _ in model.named_modules())
    if set(ranks) != {spec.get("r")} or adapted > len(ranks):
        raise ValueError("its configuration asks for more weights than its files hold")


def _shapes(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a file's tensors without reading the tensors."""
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}


def _configuration(folder: Path, num_labels: int | None) -> PretrainedConfig:
    """Read config.json, and nothing that it names: transformers would read other files for it.

    Raises:
        ValueError: a value is of a wrong type, or the type of the model is unknown.
    """
    spec = _read(folder / "config.json")
    _check_configuration(spec)
    if spec.get("model_type") not in READERS_AND_WRITERS:
        raise ValueError(f"its model_type is {str(spec.get('model_type'))[:60]!r}")
    labels = {} if num_labels is None else {"num_labels": num_labels}
    try:
        kind = type(AutoConfig.for_model(spec["model_type"]))
        return kind.from_dict(spec, **labels)
    except Exception as error:  # of any class: libraries check the types of values in their own way
        raise ValueError(str(error)) from error


def _check_size(auto_class: Any, folder: Path, config: PretrainedConfig) -> None:
    """Refuse a model whose configuration asks for more weights than its files hold.

    transformers would create the missing weights, however large they are.

    Raises:
        ValueError: it asks for more.
    """
    shapes = [shape for path in folder.glob("*.safetensors") for shape in _shapes(path).values()]
    if not shapes:
        return  # from_pretrained will name the missing file
    layers = getattr(config.get_text_config(), "num_hidden_layers", None) or 0
    held, wanted, buffers = sum(map(math.prod, shapes)), 0, 0
    if layers <= len(shapes):
        with torch.device("meta"), _CallLimit():
            model = auto_class.from_config(copy.deepcopy(config), trust_remote_code=False)
        wanted = sum(parameter.numel() for parameter in model.parameters())
        buffers = sum(buffer.nbytes for buffer in model.buffers())
    if layers > len(shapes) or wanted > MOST_WEIGHTS * held or buffers > MOST_BUFFERS + 4 * held:
        raise ValueError("its configuration asks for more weights than its files hold")


def _check_configuration(spec: dict[str, Any]) -> None:
    """Refuse a configuration that names other files, or asks for very many layers or labels.

    Raises:
        ValueError: it does, or it has an unknown form.
    """
    if "transformers_weights" in spec:
        raise ValueError("its configuration names other weights")
    if "/" in str(spec.get("attn_implementation")):  # code on the Hub
        raise ValueError("its configuration names other code")
    # GPT-Neo's: kinds of attention, and how many times these layers come one after another.
    kinds = spec.get("attention_types") or []
    layers = sum(len(names) * abs(count) for names, count in kinds)
    written = json.dumps(spec)  # blanks and escapes in the file could hide a key
    if layers > MOST_LAYERS or LONG_LISTS.search(written):
        raise ValueError("its configuration asks for too many layers or labels")


class _CallLimit(TorchFunctionMode):
    """Stops the building of a network after MOST_CALLS calls of torch in this thread."""

    calls = 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise ValueError("its configuration asks for too large a network")
        return function(*args, **(kwargs or {}))


@contextmanager
def readable(path: Path) -> Generator[None]:
    """Turn what the libraries raise for missing, damaged or mismatched files into one sentence.

    Raises:
        CheckpointError: the block raised one of UNREADABLE.
    """
    try:
        yield
    except UNREADABLE as error:
        raise CheckpointError(
            f"{short_name(path)} cannot be loaded ({first_line(error, path)}): choose another model"
        ) from None


def add_adapter(
    model: PreTrainedModel, task_type: str, rank: int, folder: Path, whole: list[str] | None = None
) -> Any:
    """Return the model wrapped in a new LoRA adapter; both share their weights.

    Args:
        task_type: CAUSAL_LM or SEQ_CLS, as peft names them.
        rank: of the adapter's matrices.
        folder: the model's folder, which the saved adapter will name as its base.
        whole: names of modules that are trained and saved whole, in addition to the adapter.
    """
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        modules_to_save=whole,
        task_type=task_type,
        # GPT-2 keeps its matrices transposed (Conv1D).
        fan_in_fan_out=model.config.model_type == "gpt2",
    )
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = str(folder.resolve())
    return wrapped


def first_line(error: Exception, path: Path) -> str:
    """Return the first line of an error's message, without the path of this machine."""
    text = str(error).strip().replace(str(path), short_name(path))
    return text.splitlines()[0] if text else type(error).__name__


SHARD_SIZE = "8MB"
"""A Space refuses a plain git push of files over 10 MB."""


def speed_up(model: PreTrainedModel) -> PreTrainedModel:
    """Switch a network, in place, to faster kernels that compute the same.

    GPT-2's activation equals torch's tanh GELU, which is one kernel instead of eight. On a CPU, for
    texts of a few dozen tokens, plain matrix products are 5 times as fast as the fused attention
    kernel.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    return model


def max_positions(model: PreTrainedModel) -> int:
    """Return how many tokens the model can read at once."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1024)
