"""Load networks from a folder; a file that cannot be loaded gets one clear sentence.

- **Weights.** Safetensors only, never pickled, in float32. Adapters are merged into their base.
- **Untrusted files.** Configurations and tensors are read and checked here. transformers and peft
  get them finished and open no file themselves: neither code, nor an index, nor another folder's
  weights. The size that a configuration asks for is compared with the weights in the files before
  the network is built.

tokenizer.py, policy.py and reward_model.py build on these functions. Source: Hu et al. 2021 (LoRA).
"""

import copy
import math
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import short_name
from rlhf_demo.hub.locate import ADAPTER, ADAPTER_WEIGHTS, adapter_base, weight_files
from rlhf_demo.models.network_config import network_config, read_config

UNREADABLE = (
    OSError, ValueError, KeyError, RuntimeError, SafetensorError,
    TypeError, AttributeError, ArithmeticError, ImportError, IndexError,  # from odd values
)  # fmt: skip

LORA = {
    "task_type", "r", "target_modules", "modules_to_save", "lora_alpha", "lora_dropout",
    "fan_in_fan_out", "bias", "use_rslora",
}  # fmt: skip
"""Keys that an adapter's configuration may set."""

NOT_NEEDED = {
    "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "peft_type", "runtime_config",
}  # fmt: skip
"""Keys that change nothing here; all others must have peft's default."""

MOST_NAMES = 1000
"""Module names in an adapter's configuration; peft compares each with all modules. Ours has 7."""

MOST_WEIGHTS = 1.05
"""Weights of a network per weight in its files, at most: a new head adds a few."""

MOST_UNUSED = 4
"""Weights in the files per weight of the network, at most: a language model whose embeddings are
most of it, and are stored twice, has 2 without its head. The trial's limits grow with the files."""

MOST_CALLS = 200_000
"""Calls of torch that may build a network: it takes 5 for each tensor, 1,000 for 12 layers."""

MOST_BUFFERS = 2**26
"""Bytes of buffers, such as masks, that a model may have beyond 4 per weight in its files."""


def is_classifier(folder: Path) -> bool:
    """Return whether the model in `folder` scores texts instead of writing them."""
    adapter = folder / ADAPTER
    path = adapter if adapter.is_file() else folder / "config.json"
    spec = read_config(path)
    if path == adapter:
        return spec.get("task_type") == "SEQ_CLS"
    return "ForSequenceClassification" in str(spec.get("architectures"))


def load_network(auto_class: Any, folder: Path, num_labels: int | None = None) -> PreTrainedModel:
    """Load a network in float32 from safetensors; an adapter is merged into its base.

    Args:
        auto_class: of transformers, e.g. AutoModelForCausalLM.
        num_labels: labels of a new classification head; None loads the head from the files.

    Raises:
        CheckpointError: files are missing, damaged, do not fit together, or ask for too much.
    """
    base = adapter_base(folder)
    if base is not None:
        _check_adapter(folder)
    with readable(base or folder), _quiet():
        files = weight_files(base or folder)
        if not files:
            raise ValueError("it has no model.safetensors")
        config = network_config(base or folder, num_labels)
        model, info = _network_class(auto_class, files, config).from_pretrained(
            None,
            config=config,
            state_dict=_tensors(files),
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        if info["missing_keys"] and num_labels is None:  # a new head is always missing
            raise ValueError(f"its files lack {min(info['missing_keys'])}")
    if base is not None:
        with readable(folder):
            model = _merge_adapter(model, folder)
    return model


@contextmanager
def _quiet() -> Generator[None]:
    """Silence transformers: a new head is expected, not worth a warning."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def _tensors(files: list[Path]) -> dict[str, torch.Tensor]:
    """Read all tensors; they share the memory of the file until they are changed."""
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}
    return tensors


def _check_adapter(folder: Path) -> None:
    """Refuse an adapter that is not plain LoRA.

    Module names in its configuration may be regular expressions, which peft matches however long
    that takes, and other kinds of adapter compute a lot before any weight is loaded.

    Raises:
        CheckpointError: it has no weights, or it is not plain LoRA.
    """
    from peft import LoraConfig  # noqa: PLC0415

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise CheckpointError(
            f"{short_name(folder)} cannot be loaded (it has no {ADAPTER_WEIGHTS}): choose another "
            "model"
        )
    spec = read_config(folder / ADAPTER)
    plain = LoraConfig().to_dict()
    other = plain.keys() - LORA - NOT_NEEDED
    odd = [key for key in plain if key in other and spec.get(key, plain[key]) != plain[key]]
    for key in ("target_modules", "modules_to_save"):
        names = spec.get(key) or []
        plain_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not plain_names or len(names) > MOST_NAMES:
            odd.append(key)
    if spec.get("peft_type") != "LORA" or odd:
        what = f"{odd[0]} is {str(spec[odd[0]])[:60]!r}" if odd else "its peft_type is not LORA"
        raise CheckpointError(
            f"{short_name(folder)} is not a plain LoRA adapter ({what}): choose another model"
        )


def _merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Add the LoRA weights in `folder` to their base.

    The adapter is made without memory, and then gets the file's own tensors.

    Raises:
        ValueError: the file has other matrices than its configuration says, or of other shapes.
    """
    from peft import (  # noqa: PLC0415  (takes a second; only adapters need it)
        LoraConfig,
        get_peft_model,
        set_peft_model_state_dict,
    )

    spec = read_config(folder / ADAPTER)
    settings = {key: spec[key] for key in LORA & spec.keys()}
    if settings.get("task_type") == "CAUSAL_LM":  # a scoring network may begin with it, too
        del settings["task_type"]
    config = LoraConfig(**settings, inference_mode=True)
    adapter = get_peft_model(model, config, low_cpu_mem_usage=True)
    tensors = _tensors([folder / ADAPTER_WEIGHTS])
    names = set_peft_model_state_dict(
        adapter, {name: tensor.float() for name, tensor in tensors.items()}, low_cpu_mem_usage=True
    )
    lost = [name for name in names.missing_keys if "lora_" in name or "modules_to_save" in name]
    for name in [*lost, *names.unexpected_keys]:
        raise ValueError(f"its configuration and its files differ in {name}")
    return cast("PreTrainedModel", adapter.merge_and_unload())


def _shapes(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a file's tensors without reading the tensors."""
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}


def _network_class(auto_class: Any, files: list[Path], config: PretrainedConfig) -> Any:
    """Return the class of the network that a configuration asks for, built once without memory.

    Raises:
        ValueError: the configuration asks for more weights than the files hold, which transformers
            would create, however large they are; or for far fewer.
    """
    shapes = [shape for path in files for shape in _shapes(path).values()]
    layers = getattr(config.get_text_config(), "num_hidden_layers", None) or 0
    too_large = ValueError("its configuration asks for more weights than its files hold")
    if layers > len(shapes):
        raise too_large
    with torch.device("meta"), _CallLimit():
        model = auto_class.from_config(copy.deepcopy(config), trust_remote_code=False)
    held = sum(map(math.prod, shapes))
    wanted = sum(parameter.numel() for parameter in model.parameters())
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    if wanted > MOST_WEIGHTS * held or buffers > MOST_BUFFERS + 4 * held:
        raise too_large
    if held > MOST_UNUSED * wanted:
        raise ValueError("its files hold weights that its configuration does not ask for")
    return type(model)


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


def first_line(error: Exception, path: Path) -> str:
    """Return the first line of an error's message, without the path of this machine."""
    text = str(error).strip().replace(str(path), short_name(path))
    return text.splitlines()[0] if text else type(error).__name__


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


AFTER_PAD = {"roberta", "xlm-roberta", "camembert"}
"""Types of models whose positions begin after the number of their pad token."""
MOST_POSITIONS = 2048
"""Tokens of the longest text that any model reads here: its attention takes time and memory like
the square of that. Some configurations allow a million."""


MOST_ATTENTION = 2**26
"""Numbers that a layer's attention may keep for a batch: rows * heads * time * time."""


MOST_READ = 4096
"""Tokens of a batch: 64 texts of 64. server/model_trial.py tries as many, so a model that passes
takes no more memory later."""


def rows_at_once(model: PreTrainedModel, time: int) -> int:
    """Return how many texts of `time` tokens the model may read at once, at least 1."""
    time = max(time, 1)
    attention = MOST_ATTENTION // (model.config.num_attention_heads * time**2)
    return max(1, min(MOST_READ // time, attention))


def max_positions(model: PreTrainedModel) -> int:
    """Return how many tokens the model may read at once."""
    known = int(getattr(model.config, "max_position_embeddings", None) or 1024)
    if model.config.model_type in AFTER_PAD:
        known -= (model.config.pad_token_id or 0) + 1
    return min(known, MOST_POSITIONS)
