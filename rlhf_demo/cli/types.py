"""`python -m rlhf_demo.cli.types [--check]` writes the page's types from server/payloads.py."""

import argparse
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from rlhf_demo.server import payloads

TARGET = Path(__file__).parent.parent / "ui" / "static" / "types.d.ts"
NAMES: dict[Any, str] = {
    str: "string", int: "number", float: "number", bool: "boolean", Any: "any", type(None): "null"
}  # fmt: skip


def typescript(hint: Any) -> str:
    """Return a Python type in TypeScript's notation."""
    origin, inner = get_origin(hint), [typescript(part) for part in get_args(hint)]
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(inner))
    if origin is list:
        return f"{inner[0]}[]" if inner[0].isidentifier() else f"({inner[0]})[]"
    if origin is tuple:
        return f"[{', '.join(inner)}]"
    if origin is dict:
        return f"Record<{inner[0]}, {inner[1]}>"
    return hint.__name__ if is_typeddict(hint) else NAMES[hint]


def interface(declared: Any) -> str:
    """Return one payload's declaration."""
    lines = [f"export interface {declared.__name__} {{"]
    for name, hint in get_type_hints(declared, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        kind = typescript(get_args(hint)[0] if optional else hint)
        lines.append(f"  {name}{'?' * optional}: {kind};")
    return "\n".join([*lines, "}"])


def with_parts(hints: Iterable[Any]) -> list[Any]:
    """Return the TypedDicts among some types, each followed by those that it contains."""
    found: dict[Any, None] = {}

    def add(hint: Any) -> None:
        if is_typeddict(hint):
            if hint not in found:
                found[hint] = None
                for part in get_type_hints(hint).values():
                    add(part)
        else:
            for part in get_args(hint):
                add(part)

    for hint in hints:
        add(hint)
    return list(found)


def declarations() -> str:
    """Return the whole file: what payloads.py itself declares, and the rows that it imports."""
    named = [value for value in vars(payloads).values() if is_typeddict(value)]
    declared = with_parts(each for each in named if each.__module__ == payloads.__name__)
    head = "// Written by `python -m rlhf_demo.cli.types` out of server/payloads.py."
    columns = f"export type Columns = {typescript(payloads.Columns)};"
    return "\n\n".join([head, columns, *map(interface, declared)]) + "\n"


def main() -> None:
    """Write the file, or check that it is up to date."""
    parser = argparse.ArgumentParser(prog="rlhf_demo.cli.types", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        TARGET.write_text(declarations(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != declarations():
        sys.exit("types.d.ts is out of date: run python -m rlhf_demo.cli.types")


if __name__ == "__main__":
    main()
