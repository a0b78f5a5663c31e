"""Options for training a reward model."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option


@dataclass(frozen=True, kw_only=True)
class RewardConfig(Options):
    """Stage 1: fit a reward model to preference pairs."""

    model: str = option(
        "gpt2-mini", "model that gets a scoring head: shipped name, run folder, path or Hub id"
    )
    data: str = option(
        "shipped",
        "preference pairs: 'shipped', a make-pairs run, a JSONL, CSV or Parquet file, or a Hub id",
    )
    split: str | None = option(
        None, "split to use, of a Hub data set or of a file with a column 'split'"
    )
    train_pairs: int = option(
        1242,
        "maximum number of training pairs; the rest are held out only if the data has no held-out "
        "split of its own",
        low=1,
        high=1_000_000,
    )
    label_noise: float = option(
        0.0,
        "share of the training pairs whose chosen and rejected text are swapped",
        low=0.0,
        high=1.0,
    )
    epochs: int = option(1, "passes over the training pairs", low=1, high=100)
    batch_size: int = option(8, "pairs per optimiser step", low=1, high=4096)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", low=0.0, high=1.0)
    warmup_steps: int = option(8, "steps of linear warm-up", low=0, high=1_000_000)
    lora_rank: int = option(
        8, "rank of the LoRA adapter that is trained; 0 trains all weights", low=0, high=512
    )
    checkpoint_every: int = option(20, "steps between saved states", low=1)
    seed: int = option(
        0,
        "random seed of new weights, data order, the split by prompt and the swapped pairs",
        low=0,
        high=2**31 - 1,
    )
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
