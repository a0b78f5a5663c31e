"""Write a run's model so that plain transformers or peft load it on any machine.

- An adapter on a base of the Hub stays an adapter: a file of some megabytes that names its base.
- An adapter on any other base, such as the shipped one, is merged into it, because nobody else has
  that base under a name. The merged weights are those that this program computes with.
- Whole weights are copied.

The value head has a file of its own, which transformers does not read. A reward model's head is one
of its weights.
"""

import shutil
from pathlib import Path

import torch

from rlhf_demo.files import write_json
from rlhf_demo.hub.locate import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    CONFIG,
    TOKENIZER_FILES,
    VALUE_HEAD,
    WEIGHTS,
    adapter_base,
    hub_id,
)
from rlhf_demo.models.loading import is_classifier
from rlhf_demo.models.network_config import read_config
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model

PLAIN = {
    CONFIG, "generation_config.json", "model.safetensors", "model.safetensors.index.json",
    *TOKENIZER_FILES, ADAPTER, ADAPTER_WEIGHTS, VALUE_HEAD,
}  # fmt: skip
"""Files of a model that are copied; nothing else of its folder leaves this machine."""

ONE_FILE = "5GB"
"""Weights up to here are one file, which is what the Hub's other programs expect."""


def write_plain(source: Path, folder: Path) -> None:
    """Write the model in `source` into `folder`, which exists.

    Raises:
        CheckpointError: the model cannot be loaded.
    """
    base = adapter_base(source)
    on_hub = hub_id(base) if base else None
    if base is None or on_hub:
        for path in source.iterdir():
            if path.is_file() and (path.name in PLAIN or WEIGHTS.fullmatch(path.name)):
                shutil.copyfile(path, folder / path.name)
        if on_hub:
            spec = read_config(source / ADAPTER) | {"base_model_name_or_path": on_hub}
            write_json(folder / ADAPTER, spec)
        return
    device = torch.device("cpu")
    if is_classifier(source):
        reward = load_reward_model(str(source), device=device)
        network, tokenizer = reward.model, reward.tokenizer
        network.config.id2label, network.config.label2id = {0: "score"}, {"score": 0}
    else:
        policy = load_policy(str(source), device=device)
        network, tokenizer = policy.lm, policy.tokenizer
    network.save_pretrained(folder, max_shard_size=ONE_FILE)
    tokenizer.save_pretrained(folder)
    if (source / VALUE_HEAD).is_file():
        shutil.copyfile(source / VALUE_HEAD, folder / VALUE_HEAD)
