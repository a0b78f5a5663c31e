"""Options of DPO."""

from dataclasses import dataclass

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.options import option


@dataclass(frozen=True, kw_only=True)
class DPOConfig(OfflineConfig):
    """Stage 2 by DPO: train the policy on the pairs themselves, without a reward model."""

    data: str = option(
        "shipped",
        "preference pairs: 'shipped', a make-pairs run, a JSONL, CSV or Parquet file, or a Hub id",
    )
    train_pairs: int = option(
        1242,
        "maximum number of training pairs; the rest are held out only if the data has no held-out "
        "split of its own",
        low=1,
        high=1_000_000,
    )
    beta: float = option(
        1.0,
        "how strongly the policy is held to the reference: each nat of KL costs beta",
        low=0.001,
        high=100.0,
    )
