"""Compare values with the TypedDicts that declare them."""

import types
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from rlhf_demo.server import payloads


def misfits(value, hint, path="payload"):
    """Yield where a value is not what is declared; other keys of a TypedDict are misfits too."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin is NotRequired:
        yield from misfits(value, inner[0], path)
    elif origin in (Union, types.UnionType):
        found = [list(misfits(value, one, path)) for one in inner]
        if all(found):
            yield from found[0]
    elif is_typeddict(hint):
        yield from _misfits_of_keys(value, hint, path)
    elif origin and not isinstance(value, (list, tuple) if origin is tuple else origin):
        yield f"{path} is {value!r}, not a {origin.__name__}"
    elif origin is list:
        for place, one in enumerate(value):
            yield from misfits(one, inner[0], f"{path}[{place}]")
    elif origin is dict:
        for key, one in value.items():
            yield from misfits(one, inner[1], f"{path}.{key}")
    elif origin is tuple:
        for place, (one, kind) in enumerate(zip(value, inner, strict=True)):
            yield from misfits(one, kind, f"{path}[{place}]")
    elif not isinstance(value, (int, float) if hint is float else hint):
        yield f"{path} is {value!r}, not {hint.__name__}"


def _misfits_of_keys(value, hint, path):
    declared = get_type_hints(hint, include_extras=True)
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, not {hint.__name__}"
        return
    for name, kind in declared.items():
        if name in value:
            yield from misfits(value[name], kind, f"{path}.{name}")
        elif get_origin(kind) is not NotRequired:
            yield f"{path} lacks {name}"
    if hint is not payloads.SampleRow:  # its columns of figures are not declared
        yield from (f"{path}.{name} is not declared" for name in value.keys() - declared.keys())
