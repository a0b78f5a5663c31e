"""Form fields made from the declarations in config/: one declaration, one meaning everywhere."""

from typing import Any

import gradio as gr

from rlhf_demo.config.options import Options, declarations
from rlhf_demo.errors import ConfigError


def fields(config_class: type[Options], names: tuple[str, ...]) -> list[Any]:
    """Make one form field for each named option, with its default, range and meaning."""
    declared = {one.name: (one, kind) for one, kind, _ in declarations(config_class)}
    return [_field(*declared[name]) for name in names]


def _field(declared: Any, kind: type) -> Any:
    meta = declared.metadata
    how = {
        "label": declared.name.replace("_", " "),
        "info": meta["help"],
        "value": declared.default,
        "elem_classes": "rl-field",
    }
    if meta["choices"]:
        return gr.Dropdown(choices=list(meta["choices"]), **how)
    if kind in (int, float):
        return gr.Number(
            minimum=meta["low"],
            maximum=meta["high"],
            precision=0 if kind is int else None,
            step=1 if kind is int else None,
            **how,
        )
    return gr.Textbox(max_lines=1, **how)


def options(
    config_class: type[Options], names: tuple[str, ...], values: tuple[Any, ...]
) -> dict[str, Any]:
    """Turn the fields' values into options; an emptied number is said to be missing.

    Raises:
        ConfigError: a field is empty.
    """
    kinds = {one.name: kind for one, kind, _ in declarations(config_class)}
    found = {}
    for name, value in zip(names, values, strict=True):
        if value is None:
            raise ConfigError(f"{name.replace('_', ' ')} is empty: give a number")
        found[name] = (
            int(value) if kinds[name] is int else float(value) if kinds[name] is float else value
        )
    return found
