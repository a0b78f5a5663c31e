"""A small GPT-2 for pretraining: loaded, or new with a tokenizer made from the text; and saved.

Knows nothing of training. The saved files load with plain `AutoModelForCausalLM` and
`AutoTokenizer`.

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
from rlhf_demo.models.loading import load_network
from rlhf_demo.models.token_text import special_id
from rlhf_demo.models.tokenizer import BYTE_0, PAD, load_tokenizer

SIZES: dict[str, Any] = {"n_layer": 6, "n_head": 4, "n_embd": 256, "n_positions": 256}
VOCABULARY = 8192
EOS = "<|endoftext|>"
"""Begins and ends every text."""
SHARD_BYTES = 8_980_000
"""Of a weight file, at most: below 9 MB with its header."""


def load_or_make(
    name: str, documents: list[list[str]]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer by name, or make both if the name is "new".

    Args:
        name: as in BaseConfig.
        documents: lists of sentences, from which a new tokenizer is made.

    Raises:
        CheckpointError: there is no such model, or it cannot be pretrained here.
    """
    if name == "new":
        tokenizer = new_tokenizer(" ".join(sentences) for sentences in documents)
        return new_model(tokenizer), tokenizer
    folder = locate(name)
    if adapter_base(folder) is not None:
        raise CheckpointError(f"{name} is an adapter: name a model with whole weights")
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"the tokenizer of {name} has no end token: choose another model")
    return load_network(AutoModelForCausalLM, folder), tokenizer


def new_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE tokenizer.

    EOS has id 0 and is put before every text. PAD replaces the token of byte 0, which no text
    holds.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{EOS} $A", pair=f"{EOS} $A $B", special_tokens=[(EOS, 0)]
            ),
        ]
    )
    spec = json.loads(tokenizer.to_str())
    spec["model"]["vocab"][PAD] = spec["model"]["vocab"].pop(BYTE_0)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        bos_token=EOS, eos_token=EOS, unk_token=EOS, pad_token=PAD,
        model_max_length=SIZES["n_positions"],
    )  # fmt: skip


def new_model(tokenizer: PreTrainedTokenizerBase) -> GPT2LMHeadModel:
    """Make a small GPT-2 with random weights and no dropout."""
    return GPT2LMHeadModel(
        GPT2Config(
            **SIZES,
            vocab_size=len(tokenizer),
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=special_id(tokenizer, "bos"),
            eos_token_id=special_id(tokenizer, "eos"),
            pad_token_id=special_id(tokenizer, "pad"),
        )
    )  # fmt: skip


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the tokenizer, and the weights in float16, which a plain load turns into float32."""
    copy.deepcopy(model).half().save_pretrained(folder, max_shard_size=SHARD_BYTES)
    _edit(folder / "config.json", {"dtype": "float32"})
    tokenizer.save_pretrained(folder)
    # transformers adds how this process loaded the tokenizer, which is of no use to others.
    _edit(folder / "tokenizer_config.json", {"is_local": None, "local_files_only": None})


def _edit(path: Path, changes: dict[str, Any]) -> None:
    """Set keys of a JSON file; None removes one."""
    settings = read_json(path) | changes
    removed = {key for key, value in changes.items() if value is None}
    write_json(path, {key: value for key, value in settings.items() if key not in removed})
