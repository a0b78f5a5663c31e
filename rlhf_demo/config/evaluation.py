"""What writing responses and comparing models can be asked for."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Options):
    """Write responses to prompts with one model."""

    model: str = option("gpt2-mini", "model that writes: shipped name, run folder, path or Hub id")
    prompts: str = option(
        "shipped", "'shipped' (the held-out ones), a text file, or a JSONL file with 'prompt'"
    )
    samples: int = option(1, "responses to each prompt", low=1, high=1000)
    reward: str | None = option(
        None, "what scores them, if anything: a model, 'longer', or package.module:function"
    )
    label: str | None = option(
        None, "label whose logit is the score, where the reward is a text classifier"
    )
    max_new_tokens: int = option(32, "longest response, tokens", low=1, high=1024)
    temperature: float = option(0.7, "logits / temperature is sampled", low=0.05, high=5.0)
    seed: int = option(0, "seed of the sampling", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """Let two models answer the same prompts with the same random numbers, and measure both."""

    base: str = option("gpt2-mini", "model that KL and perplexity are counted against")
    rater: str = option(
        "star-rater",
        "who decides what wins: 'star-rater' or 'word-judge' (both simulated), 'longer', a model, "
        "module:function; one of the first two judges beside it",
    )
    label: str | None = option(
        None, "label whose logit decides, where the rater is a text classifier"
    )
    prompts: str = option("shipped", "'shipped', a text file, or a JSONL file with 'prompt'")
    split: str = option(
        "test",
        "which prompts, where they have splits: 'test', on which nothing was trained or chosen, or "
        "'heldout', to choose settings on",
        choices=("test", "heldout"),
    )
    count: int = option(256, "most prompts to answer", low=1)
    show: int = option(8, "prompts to print with both responses", low=0)
    max_new_tokens: int = option(32, "longest response, tokens", low=1, high=1024)
    temperature: float = option(0.7, "logits / temperature is sampled", low=0.05, high=5.0)
    seed: int = option(0, "seed of the sampling", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class DuelOptions(Options):
    """How both sides sample.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range.
    """

    max_new_tokens: int = option(32, "longest response, tokens", low=1, high=1024)
    temperature: float = option(0.7, "logits / temperature is sampled", low=0.05, high=5.0)
    top_k: int = option(0, "draw from this many likeliest tokens; 0 = all", low=0)
    top_p: float = option(
        1.0, "draw from the fewest likeliest tokens with this probability; 1 = all",
        low=0.0, high=1.0,
    )  # fmt: skip
    seed: int = option(0, "seed of the random numbers both sides share", low=0, high=2**31 - 1)
