"""Load a small GPT-2 to continue, or make one and its tokenizer from text; write it as plain files.

Knows nothing of training. The files load with `AutoModelForCausalLM` and `AutoTokenizer` alone.

Source: Radford et al. 2019 (the architecture, and byte-level BPE).
"""

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.hub.locate import adapter_base, locate
from rlhf_demo.models.loading import BYTE_0, PAD, load_network, load_tokenizer

SIZES = {"n_layer": 6, "n_head": 4, "n_embd": 256, "n_positions": 256}
VOCABULARY = 8192
EDGE = "<|endoftext|>"
"""Begins and ends every text."""
SHARD_BYTES = 8_980_000
"""Largest weight file: below 9 MB with its header."""


def load_or_make(
    name: str, documents: list[list[str]]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the named model with its tokenizer, or make both where the name is "new".

    Args:
        name: as in BaseConfig.
        documents: lists of sentences, from which a new tokenizer is made.

    Raises:
        CheckpointError: there is no such model, or it cannot be trained here.
    """
    if name == "new":
        tokenizer = new_tokenizer(" ".join(found) for found in documents)
        return new_model(tokenizer), tokenizer
    folder = locate(name)
    if adapter_base(folder) is not None:
        raise CheckpointError(f"{name} is an adapter: name a model with whole weights")
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"the tokenizer of {name} has no end token: choose another model")
    return load_network(AutoModelForCausalLM, folder)[0], tokenizer


def new_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Train byte-level BPE.

    EDGE is id 0 and put in front of every text; PAD takes the place of byte 0, which no text holds.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EDGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{EDGE} $A", pair=f"{EDGE} $A $B", special_tokens=[(EDGE, 0)]
            ),
        ]
    )
    spec = json.loads(tokenizer.to_str())
    spec["model"]["vocab"][PAD] = spec["model"]["vocab"].pop(BYTE_0)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        bos_token=EDGE, eos_token=EDGE, unk_token=EDGE, pad_token=PAD,
        model_max_length=SIZES["n_positions"],
    )  # fmt: skip


def new_model(tokenizer: PreTrainedTokenizerBase) -> GPT2LMHeadModel:
    """Make a small GPT-2 with random weights and no dropout."""
    return GPT2LMHeadModel(
        GPT2Config(
            **SIZES,
            vocab_size=len(tokenizer),
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the tokenizer, and float16 tensors that a plain load turns into float32."""
    copy.deepcopy(model).half().save_pretrained(folder, max_shard_size=SHARD_BYTES)
    _edit(folder / "config.json", {"dtype": "float32"})
    tokenizer.save_pretrained(folder)
    # How this process loaded the tokenizer is nothing to hand on.
    _edit(folder / "tokenizer_config.json", {"is_local": None, "local_files_only": None})


def _edit(path: Path, changes: dict[str, Any]) -> None:
    """Set keys of a JSON file; None removes one."""
    settings = read_json(path) | changes
    gone = {key for key, value in changes.items() if value is None}
    write_json(path, {key: value for key, value in settings.items() if key not in gone})
