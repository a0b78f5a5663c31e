"""A tokenizer that has no token for padding, and copies of its folder to spoil."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "Good.",
    "The film was long, and I liked the end of it.",
    "So",
    "We went home and had tea.",
]


@pytest.fixture(scope="session")
def unpadded_tokenizer_folder(tmp_path_factory) -> Path:
    """A byte-level BPE like GPT-2's: EOS and BOS are one token, and there is no pad token."""
    folder = tmp_path_factory.mktemp("tokenizers") / "unpadded"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [*TEXTS, "\0\0\0\0 with \0\0\0\0 merges of the byte itself"], trainer
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        model_max_length=64,
    ).save_pretrained(folder)
    return folder


def copy_of(folder, target, leave_out=()):
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in leave_out:
            (target / file.name).write_bytes(file.read_bytes())
    return target
