"""Options for training the rater."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option


@dataclass(frozen=True, kw_only=True)
class RaterConfig(Options):
    """Before stage 1: train the rater to predict from a review whether the film was liked."""

    model: str = option(
        "gpt2-mini", "model that gets a scoring head: shipped name, run folder, path or Hub id"
    )
    data: str | None = option(
        None, "reviews: Parquet file with the columns split (train, test), stars (1-10) and text"
    )
    lora_rank: int = option(16, "rank of the LoRA adapter that is trained", low=1, high=512)
    total_steps: int = option(1600, "optimiser steps", low=1, high=1_000_000)
    batch_tokens: int = option(4096, "tokens per step", low=64, high=2**20)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", low=0.0, high=1.0)
    warmup_steps: int = option(20, "steps of linear warm-up", low=0, high=1_000_000)
    checkpoint_every: int = option(100, "steps between saved states", low=1)
    report_reviews: int | None = option(
        None, "test reviews in the report, from the start of the file; all if not given", low=1
    )
    seed: int = option(
        0, "random seed of new weights and of the texts drawn", low=0, high=2**31 - 1
    )
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
