"""Declare options: default, meaning and range, each option once, in the file of its stage.

The command line, its help and the page's forms read the declarations, and a config checks its
values when it is made. Each stage has one frozen dataclass. Values that follow from options are
properties.
"""

import math
from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, field, fields
from types import UnionType
from typing import Any, get_args, get_type_hints

from rlhf_demo.errors import ConfigError

DTYPES = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
RENAMED = {"stage": "text_unit"}
"""Names of options in older runs -> their names today."""
KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
"""What the types of options are called."""
MOST_WHOLE = 2**31 - 1
"""Highest value of an option that is a whole number; libraries accept no more."""


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
        values = {RENAMED.get(name, name): value for name, value in values.items()}
        unknown = sorted(set(values) - {declared.name for declared in fields(cls)})
        if unknown:
            raise ConfigError(
                f"unknown option {unknown[0]!r}: this run was made by another version"
            )
        return cls(**values)


def declarations(cls: type[Options]) -> Iterator[tuple[Field[Any], type, bool]]:
    """Yield each option of a config class with its type and whether it may be None."""
    hints = get_type_hints(cls)
    for declared in fields(cls):
        hint = hints[declared.name]
        if isinstance(hint, UnionType):
            yield declared, next(kind for kind in get_args(hint) if kind is not type(None)), True
        else:
            yield declared, hint, False


def _check(declared: Field[Any], kind: type, optional: bool, value: Any) -> None:
    name, choices = f"--{declared.name.replace('_', '-')}", declared.metadata["choices"]
    if value is None and optional:
        return
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} is {value!r}: give {KINDS[kind]}")
    if isinstance(value, int | float):
        _check_range(name, value, declared.metadata["low"], declared.metadata["high"])
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(choices)}")


def _check_range(name: str, value: float, low: float | None, high: float | None) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"{name} is {value}: give a finite number")
    if high is None and type(value) is int:
        high = MOST_WHOLE
    if low is not None and value < low:
        raise ConfigError(f"{name} is {value}: the lowest value is {low}")
    if high is not None and value > high:
        raise ConfigError(f"{name} is {value}: the highest value is {high}")
