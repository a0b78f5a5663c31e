"""Turn the adapter of a finished run into a shipped model: half the size, loadable from any folder.

A shipped folder holds the adapter in float16, the base's config.json, the base's tokenizer, and a
weight index whose entries point into the base's folder next to it (`../gpt2-mini/...`). With these,
plain `from_pretrained` of transformers finds base and adapter from any working directory, and no
weight is stored twice.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, replacing_folder, write_json
from rlhf_demo.hub.locate import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    TOKENIZER_FILES,
    VALUE_HEAD,
    adapter_base,
    locate,
)
from rlhf_demo.paths import CHECKPOINTS


def ship(run: str, name: str) -> Path:
    """Write checkpoints/NAME from the adapter of a run.

    Raises:
        CheckpointError: the run's model is not an adapter on a shipped base.
    """
    source = locate(run)
    base = adapter_base(source)
    if base is None or base.parent != CHECKPOINTS:
        raise CheckpointError(
            f"{run} holds no adapter on a shipped base: train it with --lora-rank above 0"
        )
    target = CHECKPOINTS / name
    with replacing_folder(target) as folder:
        _copy_adapter(source, folder, base)
        _point_to_base(base, folder, classifier=_is_classifier(source))
        for file in TOKENIZER_FILES:  # without them AutoTokenizer silently makes an empty tokenizer
            if (base / file).is_file():
                shutil.copy(base / file, folder / file)
        if (source / VALUE_HEAD).is_file():
            shutil.copy(source / VALUE_HEAD, folder / VALUE_HEAD)
        if (target / "README.md").is_file():
            shutil.copy(target / "README.md", folder / "README.md")
    return target


def _copy_adapter(source: Path, folder: Path, base: Path) -> None:
    tensors = load_file(source / ADAPTER_WEIGHTS)
    halves = {key: tensor.to(torch.float16).contiguous() for key, tensor in tensors.items()}
    save_file(halves, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    spec = read_json(source / ADAPTER)
    # Our loader, and peft in the repository's root, follow this path; transformers ignores it.
    spec["base_model_name_or_path"] = f"{CHECKPOINTS.name}/{base.name}"
    write_json(folder / ADAPTER, spec)


def _is_classifier(source: Path) -> bool:
    return read_json(source / ADAPTER)["task_type"] == "SEQ_CLS"


def _point_to_base(base: Path, folder: Path, *, classifier: bool) -> None:
    """Write a config.json and a weight index that refer to the base's weights."""
    config = read_json(base / "config.json")
    if classifier:
        config |= {
            "architectures": [
                config["architectures"][0].replace("LMHeadModel", "ForSequenceClassification")
            ],
            "id2label": {"0": "score"},
            "label2id": {"score": 0},
        }
    write_json(folder / "config.json", config)
    if (base / SAFE_WEIGHTS_INDEX_NAME).is_file():
        index = read_json(base / SAFE_WEIGHTS_INDEX_NAME)
        index["weight_map"] = {
            key: f"../{base.name}/{file}" for key, file in index["weight_map"].items()
        }
        write_json(folder / SAFE_WEIGHTS_INDEX_NAME, index)
