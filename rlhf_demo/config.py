"""The options of every stage, each declared once: default, meaning, range.

A declaration feeds the command line, the page's forms and the README's table, and is checked when a
config is made. Each stage has one frozen dataclass; what can be computed from options is a property.
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
    help: str,  # noqa: A002  (argparse's word for it)
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare one option: its default, what it means (with unit), and the values it may take, ends included."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


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
            raise ConfigError(f"unknown option {unknown[0]!r}: this run was made by another version")
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

    model: str = option("gpt2-mini", "model to continue: shipped name, run folder, path or Hub id; 'new' starts afresh")
    data: str | None = option(None, "text to train on: Parquet, JSONL or text file, or Hub id (own prompts when not given)")
    column: str = option("text", "column that holds the text")
    split: str = option("train", "split of a Hub data set")
    stage: str = option(
        "plain",
        "rows: whole documents packed; segments of whole sentences; plain sentences (commonest words, no names)",
        choices=("packed", "segments", "plain"),
    )
    held_out: int = option(2500, "documents at the start of the file kept for held-out perplexity", low=1)
    total_steps: int = option(200, "optimiser steps", low=1)
    batch_tokens: int = option(4096, "tokens per step", low=64)
    learning_rate: float = option(1e-3, "peak learning rate of the matrices (Muon)", low=0.0, high=1.0)
    warmup_steps: int = option(50, "steps of linear warm-up", low=0)
    checkpoint_every: int = option(100, "steps between saved states", low=1)
    seed: int = option(0, "seed of data order and new weights", low=0)
    dtype: str = option("auto", "number format of matrix products", choices=DTYPES)
    device: str = option("auto", "where to compute", choices=DEVICES)
    compile: bool = option(False, "torch.compile: faster in long runs, 33 s a graph, needs a C++ compiler")
