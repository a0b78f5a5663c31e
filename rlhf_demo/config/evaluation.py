"""Options for writing responses and for comparing models."""

from dataclasses import dataclass

from rlhf_demo.config.options import DEVICES, DTYPES, Options, option
from rlhf_demo.errors import ConfigError

MOST_BEST_OF = 64
"""Most responses of best-of-n: each doubling costs twice as much and gains less."""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Options):
    """Write responses to prompts with one model."""

    model: str = option("gpt2-mini", "model that writes: shipped name, run folder, path or Hub id")
    prompts: str = option(
        "shipped", "'shipped' (the held-out ones), a text file, or a JSONL file with 'prompt'"
    )
    samples: int = option(1, "responses to each prompt", low=1, high=1000)
    reward: str | None = option(
        None,
        "what scores the responses: a model, 'longer', or package.module:function; without it, "
        "they get no score",
    )
    label: str | None = option(
        None, "label whose logit is the score, if the reward is a text classifier"
    )
    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "sampling temperature; it divides the logits", low=0.05, high=5.0
    )
    seed: int = option(0, "random seed of the sampling", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """Let two models answer the same prompts with the same random numbers, and measure both."""

    base: str = option("gpt2-mini", "model that KL and perplexity are measured against")
    rater: str = option(
        "star-rater",
        "judge that decides which response wins: 'star-rater', 'word-judge' or 'fluency-judge' "
        "(all simulated), 'longer', a model, or module:function; one of the first two is "
        "the second judge",
    )
    label: str | None = option(None, "label whose logit decides, if the judge is a text classifier")
    best_of: int = option(
        1, "responses that the second model writes to each prompt, of which the best is compared",
        low=1, high=MOST_BEST_OF,
    )  # fmt: skip
    reward: str = option(
        "reward-mini",
        "scorer that chooses the best response, if --best-of is above 1: a model, 'longer', or "
        "package.module:function",
    )
    prompts: str = option("shipped", "'shipped', a text file, or a JSONL file with 'prompt'")
    split: str = option(
        "test",
        "which prompts, if the file has splits: 'test', never used to train or to choose settings, "
        "or 'heldout', for choosing settings",
        choices=("test", "heldout"),
    )
    count: int = option(256, "maximum number of prompts", low=1)
    show: int = option(8, "prompts to print with both responses", low=0)
    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "sampling temperature; it divides the logits", low=0.05, high=5.0
    )
    seed: int = option(0, "random seed of the sampling", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class FrontierConfig(Options):
    """Measure finished runs: their wins against the base over their exact KL from it."""

    record: str = option(
        "shipped",
        "record whose methods the runs are compared with: 'shipped', a file that --out wrote, or "
        "'new' for one that has these runs alone and takes the options below",
    )
    base: str = option("gpt2-mini", "model that wins and KL are measured against")
    judge: str = option(
        "fluency-judge,star-rater,word-judge",
        "judges that decide which response wins, separated by commas: names as for --rater of "
        "compare",
    )
    best_of: int = option(
        MOST_BEST_OF,
        "best-of-N of the base is measured for N = 1, 2, 4 and so on up to this",
        low=1, high=MOST_BEST_OF,
    )  # fmt: skip
    reward: str = option("reward-mini", "scorer that chooses the best of N responses")
    prompts: str = option("shipped", "'shipped', a text file, or a JSONL file with 'prompt'")
    split: str = option(
        "test",
        "which prompts, if the file has splits: 'test', never used to train or to choose settings, "
        "or 'heldout', for choosing settings",
        choices=("test", "heldout"),
    )
    count: int = option(256, "maximum number of prompts", low=2)
    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "sampling temperature; it divides the logits", low=0.05, high=5.0
    )
    dtype: str = option("auto", "number format for matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.judges or len(set(self.judges)) < len(self.judges):
            raise ConfigError(
                f"--judge is {self.judge!r}: name one judge or several different ones, separated "
                "by commas"
            )

    @property
    def judges(self) -> list[str]:
        """The judges one by one."""
        return [name.strip() for name in self.judge.split(",") if name.strip()]


@dataclass(frozen=True, kw_only=True)
class DuelOptions(Options):
    """Sampling options of both sides.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range.
    """

    max_new_tokens: int = option(32, "maximum length of a response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "sampling temperature; it divides the logits", low=0.05, high=5.0
    )
    top_k: int = option(0, "sample only from this many of the most likely tokens; 0 = all", low=0)
    top_p: float = option(
        1.0, "sample only from the most likely tokens that together have this probability; 1 = all",
        low=0.0, high=1.0,
    )  # fmt: skip
    seed: int = option(0, "random seed, the same for both sides", low=0, high=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class BestOfOptions(DuelOptions):
    """Sampling options of best-of-n, which uses neither top_k nor top_p.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range.
    """

    best_of: int = option(
        1, "responses to each prompt, of which the best is the answer", low=1, high=MOST_BEST_OF
    )
