"""Make a small GPT-2 and its tokenizer from text, and write it as plain files.

Knows nothing of training. The files load with `AutoModelForCausalLM` and `AutoTokenizer` alone.

Source: Radford et al. 2019 (the architecture, and byte-level BPE).
"""

import copy
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from rlhf_demo.models import BYTE_0, PAD
from rlhf_demo.runs import write_json

SIZES = {"n_layer": 6, "n_head": 4, "n_embd": 256, "n_positions": 256}
VOCABULARY = 8192
EDGE = "<|endoftext|>"
"""Begins and ends every text."""
SHARD_BYTES = 8_980_000
"""Largest weight file: below 9 MB with its header."""


def new_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Train byte-level BPE: EDGE is id 0 and put in front of every text, PAD takes the place of byte 0."""
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
    """Write float16 tensors that a plain load turns into float32, in shards below 9 MB, and the tokenizer."""
    copy.deepcopy(model).half().save_pretrained(folder, max_shard_size=SHARD_BYTES)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", settings | {"dtype": "float32"})
    tokenizer.save_pretrained(folder)
