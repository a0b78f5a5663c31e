"""Options of the methods that train a policy on given texts, DPO and SFT.

They are offline: the policy samples nothing to learn from.
"""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option


@dataclass(frozen=True, kw_only=True)
class OfflineConfig(Options):
    """Train a policy on given texts.

    `reward`, `judge` and `prompts` serve only to measure the policy while it learns.
    """

    policy: str = option("gpt2-mini", "model to train: shipped name, run folder, path or Hub id")
    data: str = option("shipped", "texts or pairs to learn from")
    split: str | None = option(
        None, "split to use, of a Hub data set or of a file with a column 'split'"
    )
    epochs: int = option(1, "passes over the training data", low=1, high=100)
    batch_size: int = option(8, "rows of the data per optimiser step", low=1, high=4096)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", low=0.0, high=1.0)
    warmup_steps: int = option(8, "steps of linear warm-up", low=0, high=1_000_000)
    lora_rank: int = option(
        16, "rank of the LoRA adapter that is trained; 0 trains all weights", low=0, high=512
    )
    max_new_tokens: int = option(
        32, "maximum length of a response, tokens; longer ones are cut", low=1, high=1024
    )
    temperature: float = option(
        0.7, "temperature of the policy; it divides the logits everywhere", low=0.05, high=5.0
    )
    reward: str = option(
        "reward-mini",
        "scores the policy's responses to show its progress; it does not learn from these scores",
    )
    label: str | None = option(
        None, "label whose logit is the score, if the reward is a text classifier"
    )
    judge: str = option(
        "auto",
        "also scores the responses: a name as for the reward, 'auto' for the judge that labelled "
        "the reward's pairs, or 'none'",
    )
    prompts: str = option(
        "shipped",
        "prompts of the responses that are scored: 'shipped', a text file with one prompt per "
        "line, or a JSONL file with 'prompt'",
    )
    checkpoint_every: int = option(20, "steps between saved states", low=1)
    seed: int = option(
        0,
        "random seed of new weights, data order, sampling and the split by prompt",
        low=0,
        high=2**31 - 1,
    )
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
