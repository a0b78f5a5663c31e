"""Options for sampling preference pairs."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option
from rlhf_demo.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PairsConfig(Options):
    """Stage 1a: sample two responses to each prompt and let a judge choose one."""

    model: str = option(
        "gpt2-mini", "model that writes both responses: shipped name, run folder, path or Hub id"
    )
    rater: str = option(
        "star-rater",
        "judge that chooses: 'star-rater', 'word-judge' or 'fluency-judge' (all simulated), "
        "'longer', a model, or package.module:function",
    )
    label: str | None = option(None, "label whose logit decides, if the judge is a text classifier")
    error_rate: float = option(0.0, "share of preferences that are reversed", low=0.0, high=0.5)
    prompts: str = option(
        "shipped", "'shipped', a text file with one prompt per line, or a JSONL file with 'prompt'"
    )
    train_pairs: int = option(1242, "pairs on training prompts", low=0)
    heldout_pairs: int = option(1258, "pairs on held-out prompts", low=0)
    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "sampling temperature; it divides the logits", low=0.05, high=5.0
    )
    seed: int = option(
        0, "random seed of the sampling and of the judge's errors", low=0, high=2**31 - 1
    )
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train_pairs + self.heldout_pairs:
            raise ConfigError("--train-pairs and --heldout-pairs are both 0: ask for some pairs")
