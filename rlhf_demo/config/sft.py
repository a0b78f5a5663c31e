"""Options of supervised fine-tuning."""

from dataclasses import dataclass

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.options import option


@dataclass(frozen=True, kw_only=True)
class SFTConfig(OfflineConfig):
    """Train a policy to imitate texts that people wrote or a judge preferred (SFT)."""

    data: str = option(
        "shipped",
        "texts to learn from: the preferred side of pairs ('shipped', a make-pairs run, or a file "
        "with 'chosen'), or a file or Hub id with 'completion', 'text' or 'messages'",
    )
    train_texts: int = option(
        1242,
        "maximum number of training texts; the rest are held out only if the data has no held-out "
        "split of its own",
        low=1,
        high=1_000_000,
    )
