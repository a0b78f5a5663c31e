"""Options for pretraining a base model."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option


@dataclass(frozen=True, kw_only=True)
class BaseConfig(Options):
    """Stage 0: pretrain a small base model on any text, or continue training one."""

    model: str = option(
        "gpt2-mini",
        "model to continue: shipped name, run folder, path or Hub id; 'new' starts from random "
        "weights",
    )
    data: str | None = option(
        None, "Parquet, JSONL or text file, or Hub id; the texts of the shipped pairs if not given"
    )
    column: str = option("text", "column that holds the text")
    split: str = option("train", "split of a Hub data set")
    text_unit: str = option(
        "plain",
        "what a row holds: packed whole documents, segments of whole sentences, or plain "
        "sentences (common words, no names)",
        choices=("packed", "segments", "plain"),
    )
    common_words: int = option(
        8000, "size of the vocabulary of plain sentences: the most common words", low=100
    )
    longest_sentence: int = option(32, "maximum number of words in a plain sentence", low=4)
    plain_share: float = option(
        0.7,
        "share of the tokens in plain segments, if the text unit is plain",
        low=0.01,
        high=1.0,
    )
    longest_plain: int = option(
        60, "maximum tokens in a plain segment; 20 gives one or two short sentences", low=9, high=62
    )
    held_out: int = option(
        2500,
        "documents held out to measure perplexity, from the start of the file (of its test split, "
        "if any); at most a tenth",
        low=1,
    )
    total_steps: int = option(200, "optimiser steps", low=1)
    batch_tokens: int = option(4096, "tokens per step", low=64, high=2**20)
    learning_rate: float = option(1e-3, "peak learning rate (Muon and Adam)", low=0.0, high=1.0)
    warmup_steps: int = option(50, "steps of linear warm-up", low=0, high=1_000_000)
    dropout: float | None = option(
        None,
        "dropout in training: 0.1 if the text is repeated often; the model's own if not given",
        low=0.0,
        high=0.9,
    )
    evaluate_every: int = option(100, "steps between evaluations on the held-out text", low=1)
    checkpoint_every: int = option(100, "steps between saved states", low=1)
    seed: int = option(0, "random seed of data order and new weights", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
    compile: bool = option(
        False, "use torch.compile: faster in long runs, but takes 40 s and needs a C++ compiler"
    )
