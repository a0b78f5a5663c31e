"""Tiny models of random weights with the shipped tokenizer, and rows of a file."""

import json
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS


def save_tiny_model(folder: Path, seed: int = 0, positions: int = 64) -> Path:
    """Write a GPT-2 of 2 layers, 32 wide, random weights, with the shipped tokenizer."""
    tokenizer = load_tokenizer(CHECKPOINTS / "gpt2-mini")
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2,
        n_head=2,
        n_embd=32,
        n_positions=positions,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_classifier(folder: Path, base: Path, labels: int = 1, seed: int = 0) -> Path:
    """Write a tiny classifier of random weights with the tokenizer of `base`."""
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=32, n_positions=32, initializer_range=0.2,
        vocab_size=len(tokenizer), num_labels=labels, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    if labels > 1:
        config.id2label = {0: "dull", 1: "fair", 2: "fine"}
        config.label2id = {name: index for index, name in config.id2label.items()}
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def read_rows(path: Path) -> list[dict]:
    """Read a JSONL file whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]
