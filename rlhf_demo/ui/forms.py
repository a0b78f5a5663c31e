"""Form fields made from the declarations in config/, which the command line uses too."""

from typing import Any

import gradio as gr

from rlhf_demo.config.options import Options, declarations
from rlhf_demo.errors import ConfigError


def fields(config_class: type[Options], names: tuple[str, ...]) -> list[Any]:
    """Make a form field for each named option, with its default and help text.

    The fields have no limits: Gradio refuses a number outside them without a sentence, and
    `Options` refuses it with one.
    """
    declared = {option.name: (option, kind) for option, kind, _ in declarations(config_class)}
    return [_field(*declared[name]) for name in names]


def picker(label: str, info: str, **how: Any) -> gr.Dropdown:
    """Make a list of ids that the server fills later.

    Its first value is given here: somebody may press a button before the list is filled.
    It takes any text, because the server does not remember with what it filled the list of a page.
    So each handler checks what it is given: see `server/choices.py`.
    """
    return gr.Dropdown(label=label, info=info, allow_custom_value=True, **{"scale": 3, **how})


def helps(config_class: type[Options]) -> dict[str, str]:
    """Return the help text of each option."""
    return {option.name: option.metadata["help"] for option, *_ in declarations(config_class)}


def _field(declared: Any, kind: type) -> Any:
    meta = declared.metadata
    shared = {
        "label": declared.name.replace("_", " "),
        "info": meta["help"],
        "value": declared.default,
        "elem_classes": "rl-field",
    }
    if meta["choices"]:
        return gr.Dropdown(choices=list(meta["choices"]), **shared)
    if kind in (int, float):
        # With a precision of 0, Gradio would silently turn 1.5 epochs into 2.
        step: Any = 1 if kind is int else None  # None: any, which Gradio's types leave out
        return gr.Number(precision=None, step=step, **shared)
    return gr.Textbox(max_lines=1, **shared)


def options(
    config_class: type[Options], names: tuple[str, ...], values: tuple[Any, ...]
) -> dict[str, Any]:
    """Turn the fields' values into options; a whole number may come as a float, such as 20.0.

    Raises:
        ConfigError: a field is empty.
    """
    kinds = {option.name: kind for option, kind, _ in declarations(config_class)}
    chosen = {}
    for name, value in zip(names, values, strict=True):
        if value is None:
            raise ConfigError(f"{name.replace('_', ' ')} is empty: give a number")
        whole = kinds[name] is int and isinstance(value, float) and value.is_integer()
        chosen[name] = int(value) if whole else value
    return chosen
