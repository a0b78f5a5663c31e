"""The options of every stage, each declared once: default, meaning, range.

A declaration feeds the command line, its help and the page's forms, and is checked when a config is
made. Each stage has one frozen dataclass; what follows from options is a property.
"""

import math
from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, field, fields
from types import UnionType
from typing import Any, get_args, get_type_hints

from rlhf_demo.errors import ConfigError

DTYPES = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare one option: default, meaning (with unit), and allowed values, ends included."""
    return field(
        default=default, metadata={"help": help, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of the configs: checks each field against its declaration when made.

    Raises:
        ConfigError: a value has the wrong type, is not finite, or lies outside its range.
    """

    def __post_init__(self) -> None:
        for declared, kind, optional in declarations(type(self)):
            _check(declared, kind, optional, getattr(self, declared.name))

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Options":
        """Make a config from saved options.

        Raises:
            ConfigError: an option is unknown to this version.
        """
        unknown = sorted(set(values) - {declared.name for declared in fields(cls)})
        if unknown:
            raise ConfigError(
                f"unknown option {unknown[0]!r}: this run was made by another version"
            )
        return cls(**values)


def declarations(cls: type[Options]) -> Iterator[tuple[Field, type, bool]]:
    """Yield each option of a config class with its type and whether it may be None."""
    hints = get_type_hints(cls)
    for declared in fields(cls):
        hint = hints[declared.name]
        if isinstance(hint, UnionType):
            yield declared, next(kind for kind in get_args(hint) if kind is not type(None)), True
        else:
            yield declared, hint, False


def _check(declared: Field, kind: type, optional: bool, value: Any) -> None:
    name, meta = f"--{declared.name.replace('_', '-')}", declared.metadata
    if value is None and optional:
        return
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} is {value!r}: give a value of type {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}: give a finite number")
    low, high, choices = meta["low"], meta["high"], meta["choices"]
    if low is not None and value < low:
        raise ConfigError(f"{name} is {value}: the lowest value is {low}")
    if high is not None and value > high:
        raise ConfigError(f"{name} is {value}: the highest value is {high}")
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(choices)}")


@dataclass(frozen=True, kw_only=True)
class BaseConfig(Options):
    """Stage 0: pretrain or continue a small base model on any text."""

    model: str = option(
        "gpt2-mini",
        "model to continue: shipped name, run folder, path or Hub id; 'new' starts afresh",
    )
    data: str | None = option(
        None, "Parquet, JSONL or text file, or Hub id; the texts of the shipped pairs if not given"
    )
    column: str = option("text", "column that holds the text")
    split: str = option("train", "split of a Hub data set")
    stage: str = option(
        "plain",
        "rows: whole documents packed; segments of whole sentences; "
        "plain sentences (commonest words, no names)",
        choices=("packed", "segments", "plain"),
    )
    common_words: int = option(
        8000, "a plain sentence uses only so many of the commonest words", low=100
    )
    longest_sentence: int = option(32, "most words of a plain sentence", low=4)
    plain_share: float = option(
        0.7, "share of the tokens that are plain segments, in the stage plain", low=0.01, high=1.0
    )
    longest_plain: int = option(
        60, "most tokens of a plain segment; 20 gives one or two short sentences", low=9, high=62
    )
    held_out: int = option(
        2500,
        "documents at the start of the file (of its test split, if any) kept for perplexity, "
        "at most a tenth",
        low=1,
    )
    total_steps: int = option(200, "optimiser steps", low=1)
    batch_tokens: int = option(4096, "tokens per step", low=64)
    learning_rate: float = option(1e-3, "peak learning rate (Muon and Adam)", low=0.0, high=1.0)
    warmup_steps: int = option(50, "steps of linear warm-up", low=0, high=1_000_000)
    dropout: float | None = option(
        None,
        "share dropped in training: 0.1 where the text comes round often; "
        "the model's own if not given",
        low=0.0,
        high=0.9,
    )
    evaluate_every: int = option(100, "steps between looks at the held-out text", low=1)
    checkpoint_every: int = option(100, "steps between saved states", low=1)
    seed: int = option(0, "seed of data order and new weights", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
    compile: bool = option(
        False, "torch.compile: faster in long runs, takes 40 s at the start, needs a C++ compiler"
    )


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
        None, "split to take of a Hub data set, or of a file with a column 'split'"
    )
    train_pairs: int = option(
        1242, "most pairs to train on; the others are held out", low=1, high=1_000_000
    )
    epochs: int = option(1, "passes over the training pairs", low=1, high=100)
    batch_size: int = option(8, "pairs per optimiser step", low=1, high=4096)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", low=0.0, high=1.0)
    warmup_steps: int = option(8, "steps in which the learning rate rises", low=0, high=1_000_000)
    lora_rank: int = option(
        8, "rank of the LoRA adapter that is trained; 0 trains all weights", low=0, high=512
    )
    checkpoint_every: int = option(20, "steps between saved states", low=1)
    seed: int = option(
        0, "seed of new weights, data order and the split by prompt", low=0, high=2**31 - 1
    )
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class PPOConfig(Options):
    """Stage 2: change the policy so that its responses score higher, close to the reference."""

    policy: str = option("gpt2-mini", "model to train: shipped name, run folder, path or Hub id")
    reward: str = option(
        "reward-mini",
        "what scores the responses: reward model (any model name), 'star-rater', 'longer', "
        "or package.module:function",
    )
    label: str | None = option(
        None, "label whose logit is the score, where the reward is a text classifier"
    )
    judge: str = option(
        "auto",
        "what scores the responses too, to show where reward and judge part: a name as for "
        "--reward, 'auto' for whoever labelled the reward's pairs, or 'none'",
    )
    prompts: str = option(
        "shipped", "'shipped', a text file with one prompt a line, or a JSONL file with 'prompt'"
    )
    total_steps: int = option(40, "steps of rollout and update", low=1, high=100_000)
    batch_size: int = option(64, "responses sampled per step", low=2, high=4096)
    minibatch_size: int = option(16, "responses per optimiser step", low=1, high=4096)
    ppo_epochs: int = option(2, "passes over each rollout", low=1, high=16)
    max_new_tokens: int = option(32, "longest response, tokens", low=1, high=1024)
    temperature: float = option(
        0.7, "part of the policy: logits / temperature is sampled and scored", low=0.05, high=5.0
    )
    learning_rate: float = option(5e-4, "peak learning rate of Adam", low=0.0, high=1.0)
    warmup_steps: int = option(5, "steps in which the learning rate rises", low=0, high=1_000_000)
    lora_rank: int = option(
        16, "rank of the LoRA adapter that is trained; 0 trains all weights", low=0, high=512
    )
    kl_coef: float = option(
        0.25, "KL penalty at the start, reward units per nat", low=0.0, high=10.0
    )
    kl_target: float = option(
        2.5, "KL per response that the coefficient aims at, nats; 0 keeps it fixed", low=0.0
    )
    kl_budget: float = option(10.0, "KL per response at which the run stops, nats", low=0.0)
    missing_eos_penalty: float = option(
        1.0, "taken off the score of a response that was cut short, reward units", low=0.0
    )
    clip_range: float = option(
        0.2, "how far a token's ratio may move from 1 before its gradient stops", low=0.0, high=1.0
    )
    value_clip_range: float = option(
        0.2, "how far a value may move per rollout before its gradient stops, reward units", low=0.0
    )
    value_coef: float = option(0.1, "weight of the value loss", low=0.0)
    entropy_coef: float = option(0.0, "weight of the entropy bonus", low=0.0)
    gamma: float = option(1.0, "discount per token", low=0.0, high=1.0)
    gae_lambda: float = option(0.95, "how far advantages look ahead", low=0.0, high=1.0)
    max_grad_norm: float = option(1.0, "gradients longer than this are scaled down to it", low=0.0)
    clean_words: bool = option(
        False, "keep coarse words from being sampled and scored, for policy and reference alike"
    )
    samples_every: int = option(1, "steps between the samples kept token by token", low=1)
    checkpoint_every: int = option(10, "steps between saved states", low=1)
    seed: int = option(0, "seed of prompts, sampling and minibatches", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.minibatch_size:
            raise ConfigError(
                f"--batch-size is {self.batch_size}: "
                f"it must be a multiple of --minibatch-size ({self.minibatch_size})"
            )
        if self.kl_target and not self.kl_coef:
            raise ConfigError(
                f"--kl-coef is 0: it cannot move towards --kl-target ({self.kl_target:g}), "
                "set that to 0 too"
            )

    @property
    def minibatches(self) -> int:
        """How many optimiser steps one rollout gets."""
        return self.ppo_epochs * self.batch_size // self.minibatch_size


@dataclass(frozen=True, kw_only=True)
class PairsConfig(Options):
    """Stage 1a: sample two responses to each prompt and let a rater prefer one."""

    model: str = option(
        "gpt2-mini", "model that writes both responses: shipped name, run folder, path or Hub id"
    )
    rater: str = option(
        "star-rater",
        "who prefers: 'star-rater' (simulated), 'longer', a model, or package.module:function",
    )
    label: str | None = option(
        None, "label whose logit decides, where the rater is a text classifier"
    )
    error_rate: float = option(0.0, "share of preferences that are turned round", low=0.0, high=0.5)
    prompts: str = option(
        "shipped", "'shipped', a text file with one prompt a line, or a JSONL file with 'prompt'"
    )
    train_pairs: int = option(1242, "pairs on training prompts", low=0)
    heldout_pairs: int = option(1258, "pairs on held-out prompts", low=0)
    max_new_tokens: int = option(32, "longest response, tokens", low=1, high=1024)
    temperature: float = option(0.7, "logits / temperature is sampled", low=0.05, high=5.0)
    seed: int = option(0, "seed of the sampling and of the rater's errors", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train_pairs + self.heldout_pairs:
            raise ConfigError("--train-pairs and --heldout-pairs are both 0: ask for some pairs")


@dataclass(frozen=True, kw_only=True)
class RaterConfig(Options):
    """Before stage 1: train the simulated rater to tell by its review whether a film was liked."""

    model: str = option(
        "gpt2-mini", "model that gets a scoring head: shipped name, run folder, path or Hub id"
    )
    data: str | None = option(
        None, "reviews: Parquet file with the columns split (train, test), stars (1-10) and text"
    )
    lora_rank: int = option(16, "rank of the LoRA adapter that is trained", low=1, high=512)
    total_steps: int = option(1600, "optimiser steps", low=1, high=1_000_000)
    batch_tokens: int = option(4096, "tokens per step", low=64)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", low=0.0, high=1.0)
    warmup_steps: int = option(20, "steps in which the learning rate rises", low=0, high=1_000_000)
    checkpoint_every: int = option(100, "steps between saved states", low=1)
    report_reviews: int | None = option(
        None, "test reviews in the report, the first of the file; all when not given", low=1
    )
    seed: int = option(0, "seed of new weights and of the texts drawn", low=0, high=2**31 - 1)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)


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
