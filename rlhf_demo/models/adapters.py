"""New LoRA adapters on a network, and what is saved of them.

A network may itself be an adapter, merged into its base: PPO can start from the model of an SFT or
PPO run. The new adapter is trained on the merged weights. It is saved together with the one below
as a single adapter on the base under both, because the sum of two matrix products is one:

    s1 * B1 A1 + s2 * B2 A2 = s2 * [s1/s2 * B1, B2] [A1; A2]

So any loader of adapters reads it, and its rank is the sum of both.

Source: Hu et al. 2021 (LoRA), section 4.1 (https://arxiv.org/abs/2106.09685).
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_demo.errors import ConfigError
from rlhf_demo.files import short_name, write_json
from rlhf_demo.hub.locate import ADAPTER, ADAPTER_WEIGHTS, adapter_base
from rlhf_demo.models.network_config import read_config
from rlhf_demo.paths import REPOSITORY

SHARD_SIZE = "8MB"
"""A Space refuses a plain git push of files over 10 MB."""


class Below(NamedTuple):
    """The adapter under a new one."""

    config: dict[str, Any]
    weights: dict[str, Tensor]


def add_adapter(
    model: PreTrainedModel, task_type: str, rank: int, folder: Path, whole: list[str] | None = None
) -> Any:
    """Return the model wrapped in a new LoRA adapter; both share their weights.

    Args:
        task_type: CAUSAL_LM or SEQ_CLS, as peft names them.
        rank: of the adapter's matrices.
        folder: the model's folder, which the saved adapter will name as its base.
        whole: names of modules that are trained and saved whole, in addition to the adapter.

    Raises:
        ConfigError: the model is itself an adapter, of other matrices.
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
    wrapped: Any = get_peft_model(model, config)
    below = None
    if (folder / ADAPTER).is_file():
        # Kept in memory, because the files change if the run that made them is resumed.
        below = Below(read_config(folder / ADAPTER), load_file(folder / ADAPTER_WEIGHTS))
        _check_same_matrices(wrapped, below, rank, folder)
    base = (adapter_base(folder) or folder).resolve()
    if base.is_relative_to(REPOSITORY):  # `adapter_base` finds it there, wherever that is moved
        base = base.relative_to(REPOSITORY)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.adapter_below = below  # save_network needs it
    return wrapped


def save_network(network: Any, folder: Path) -> None:
    """Write plain transformers or peft files; an adapter on an adapter becomes one."""
    network.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    if below := getattr(network, "adapter_below", None):
        _combine(below, folder)


def _check_same_matrices(wrapped: Any, below: Below, rank: int, folder: Path) -> None:
    """Make sure that a new adapter can be saved together with the one below.

    Raises:
        ConfigError: they change different matrices, or the one below holds other weights, too.
    """
    new = {
        name.replace(".default", "") for name, _ in wrapped.named_parameters() if "lora_" in name
    }
    if new != below.weights.keys():
        raise ConfigError(
            f"--lora-rank is {rank}: {short_name(folder)} is itself an adapter, of other "
            "matrices; train all its weights (--lora-rank 0)"
        )


def _combine(below: Below, folder: Path) -> None:
    """Replace the adapter in `folder`, trained on the one below, by one on the base of both.

    Tensors A are [rank, in], tensors B are [out, rank].
    """
    upper, over = read_config(folder / ADAPTER), load_file(folder / ADAPTER_WEIGHTS)
    ratio = _scale(below.config) / _scale(upper)
    combined = dict(over)
    for name, matrix in below.weights.items():
        first = matrix.float() * (ratio if "lora_B" in name else 1.0)
        both = [first, over[name].float()]
        combined[name] = torch.cat(both, dim=1 if "lora_B" in name else 0).contiguous()
    rank = below.config["r"] + upper["r"]
    changes = {"r": rank, "lora_alpha": _scale(upper) * rank, "use_rslora": False}
    write_json(folder / ADAPTER, upper | changes)
    save_file(combined, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _scale(spec: dict[str, Any]) -> float:
    """Return the factor of an adapter's product, from its configuration."""
    rank = spec["r"]
    return spec["lora_alpha"] / (math.sqrt(rank) if spec.get("use_rslora") else rank)
