"""From a folder to a tokenizer or a network; what does not load is named in a sentence.

- **Padding.** Every tokenizer gets a pad token of its own, distinct from EOS. If EOS doubled as
  padding, it would be masked out of every loss and the policy would never learn to end. A tokenizer
  without one gives the job to the token of byte 0, which no text holds: no embedding has to be
  added, so files stay plain.
- **Weights.** Safetensors only, never pickled, in float32; adapters are merged into their base.

Policies (policy.py) and reward models (reward_model.py) are made of what is loaded here. Source: Hu
et al. 2021 (LoRA).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.activations import NewGELUActivation
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import short_name
from rlhf_demo.hub.locate import adapter_base

BYTE_0 = "\u0100"
"""How byte-level BPE (GPT-2's) writes the byte 0."""

PAD = "<|pad|>"

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Any of these can make a tokenizer."""

# -- tokenizers ------------------------------------------------------------------------------------


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer and make sure that its pad token is a token of its own.

    An adapter that brings no tokenizer uses its base's.

    Raises:
        CheckpointError: the folder holds no tokenizer, or no token can serve as padding.
    """
    base = adapter_base(folder)
    if base is not None and not (folder / "tokenizer_config.json").is_file():
        folder = base
    # Without its files transformers would make up an empty tokenizer.
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{short_name(folder)} holds no usable tokenizer (no {TOKENIZER_FILES[0]}): add its "
            "files"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{short_name(folder)} holds no usable tokenizer ({_first_line(error, folder)}): "
            "add its files"
        ) from None
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return tokenizer
    if BYTE_0 in tokenizer.get_vocab():
        return _rename_byte_0(tokenizer)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id != tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.unk_token
        return tokenizer
    raise CheckpointError(
        f"the tokenizer in {short_name(folder)} has no token that could serve as padding: give it "
        "a pad token"
    )


def _rename_byte_0(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give the token of byte 0 the name PAD: its id and the vocabulary's size stay as they are."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = spec["model"]["vocab"]
    pad_id = vocabulary.pop(BYTE_0)
    vocabulary[PAD] = pad_id
    # No merge can still lead to or from the byte; texts hold it in no case.
    spec["model"]["merges"] = [
        merge for merge in spec["model"]["merges"] if not any(BYTE_0 in part for part in merge)
    ]
    backend = tokenizer.backend_tokenizer.from_str(json.dumps(spec))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        unk_token=tokenizer.unk_token,
        pad_token=PAD,
        model_max_length=tokenizer.model_max_length,
    )


# -- networks and adapters -------------------------------------------------------------------------


def is_classifier(folder: Path) -> bool:
    """Say whether the model in `folder` scores texts instead of writing them."""
    adapter = folder / "adapter_config.json"
    path = adapter if adapter.is_file() else folder / "config.json"
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{short_name(path)} is not valid JSON ({error}): restore it"
        ) from None
    if path == adapter:
        return spec.get("task_type") == "SEQ_CLS"
    return any("ForSequenceClassification" in kind for kind in spec.get("architectures") or [])


def load_network(
    auto_class: Any, folder: Path, num_labels: int | None = None
) -> tuple[PreTrainedModel, bool]:
    """Load whole weights, or a base with its adapter merged in; in float32, safetensors only.

    Returns:
        The model and whether an adapter was merged.
    """
    base = adapter_base(folder)
    kwargs: dict[str, Any] = {
        "dtype": torch.float32,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if num_labels is not None:
        kwargs["num_labels"] = num_labels
    if base is not None and not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(
            f"{short_name(folder)} cannot be loaded (it has no adapter_model.safetensors): choose "
            "another model"
        )
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a new head is expected, not worth a warning
    try:
        with readable(base or folder):
            model = auto_class.from_pretrained(base or folder, **kwargs)
    finally:
        transformers_logging.set_verbosity(verbosity)
    if base is not None:
        from peft import PeftModel  # noqa: PLC0415  (takes a second and is needed for adapters only)

        with readable(folder):
            model = PeftModel.from_pretrained(
                model, folder, local_files_only=True
            ).merge_and_unload()
    return model, base is not None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for missing, damaged or unfitting files into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{short_name(path)} cannot be loaded ({_first_line(error, path)}): choose another "
            "model"
        ) from None


def add_adapter(
    model: PreTrainedModel, task_type: str, rank: int, folder: Path, whole: list[str] | None = None
) -> Any:
    """Put a new LoRA adapter around a model, which shares its weights.

    Args:
        model: what is adapted.
        task_type: CAUSAL_LM or SEQ_CLS, as peft names them.
        rank: of the adapter's matrices.
        folder: the model's own, which the adapter will name as its base.
        whole: names of modules that are trained and saved whole beside the adapter.
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


def _first_line(error: Exception, path: Path) -> str:
    said = str(error).strip().replace(str(path), short_name(path))
    return said.splitlines()[0] if said else type(error).__name__


SHARD_SIZE = "8MB"
"""Small enough for a plain push to a Space, which refuses files over 10 MB."""


def speed_up(model: PreTrainedModel) -> PreTrainedModel:
    """Choose the faster of equal ways to compute, in place.

    GPT-2's activation is torch's own tanh GELU, in one kernel instead of eight. On a CPU, for texts
    of some dozen tokens, plain matrix products beat the fused attention kernel by a factor of 5.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    return model


def max_positions(model: PreTrainedModel) -> int:
    """Return how many tokens the model can take at once."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1024)
