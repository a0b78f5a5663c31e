"""Print tables into the documents from the declarations in the code, so that they stay current.

python -m rlhf_demo.cli.docs            rewrites every printed table
python -m rlhf_demo.cli.docs --check    changes nothing; exit code 1 if a table is out of date

A printed table is between `<!-- begin NAME -->` and `<!-- end NAME -->`, where NAME is a key of
TABLES; everything around it is written by hand.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rlhf_demo.config.evaluation import CompareConfig, FrontierConfig, GenerateConfig
from rlhf_demo.config.options import Options, declarations
from rlhf_demo.config.presets import PPO_PRESETS
from rlhf_demo.config.stages import STAGES
from rlhf_demo.files import write_text
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.settings import VARIABLES

PACKAGE = REPOSITORY / "rlhf_demo"
DOCUMENTS = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
PRINTED = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the documents; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rlhf_demo.cli.docs")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a table is out of date"
    )
    check = parser.parse_args(arguments).check
    stale = 0
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        current = printed(text)
        if current != text and check:
            stale += 1
            print(f"{path.name} is out of date: run python -m rlhf_demo.cli.docs", file=sys.stderr)
        elif current != text:
            write_text(path, current)
            print(f"rewrote {path.name}")
    return 1 if stale else 0


def printed(text: str) -> str:
    """Return a document with its printed tables up to date."""
    return PRINTED.sub(lambda part: f"{part[1]}{TABLES[part[2]]()}\n{part[3]}", text)


# -- the tables ------------------------------------------------------------------------------------


def metrics() -> str:
    """Every number that a run logs."""
    return _table(
        ("metric", "label", "unit", "meaning", "healthy", "TRL 1.12"),
        (
            (
                _code(name),
                metric.label,
                metric.unit,
                metric.meaning,
                metric.healthy,
                _code(metric.trl),
            )
            for name, metric in GLOSSARY.items()
        ),
    )


def options() -> str:
    """Every option of every command that has some."""
    configs = {stage.command: stage.config for stage in STAGES.values()}
    configs |= {"generate": GenerateConfig, "compare": CompareConfig, "frontier": FrontierConfig}
    head = ("option", "default", "values", "meaning")
    return "\n\n".join(
        f"## {command}\n\n{config.__doc__}\n\n{_table(head, _options(config))}"
        for command, config in configs.items()
    )


def presets() -> str:
    """PPO's named sets of options."""
    rows: list[tuple[str, ...]] = []
    for name, preset in PPO_PRESETS.items():
        changed = " ".join(f"{_flag(key)} {value}" for key, value in preset.options.items())
        rows.append((_code(name), preset.shows, _code(changed) or "the defaults"))
    return _table(("preset", "what it shows", "options"), rows)


def stages() -> str:
    """The kinds of run."""
    rows: list[tuple[str, ...]] = []
    for stage in STAGES.values():
        figures = ", ".join(map(_code, stage.headline))
        on_page = "yes" if stage.on_page else "no"
        names = _code(stage.kind), _code(stage.command)
        rows.append((*names, stage.help, stage.makes, on_page, figures))
    return _table(("kind", "command", "what it does", "makes", "on the page", "in lists"), rows)


def endpoints() -> str:
    """The page's endpoints, read from the source: importing the module would import the page."""
    source = (PACKAGE / "ui" / "api.py").read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    body = next(node.body for node in classes if node.name == "Endpoints")
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    rows: list[tuple[str, ...]] = []
    for function in functions:
        if not function.name.startswith("_"):
            text = ast.get_docstring(function) or ""
            answer = text.partition("Returns:\n")[2]
            arguments = _arguments(function.args)
            rows.append((_code(f"/{function.name}"), arguments, text.splitlines()[0], answer))
    return _table(("endpoint", "arguments", "what it does", "answer"), rows)


def settings() -> str:
    """The environment variables that an owner sets."""
    return _table(
        ("variable", "at home", "with limits", "what it sets"),
        (
            (_code(setting.name), setting.home, setting.limited or setting.home, setting.meaning)
            for setting in VARIABLES
        ),
    )


def packages() -> str:
    """What each package is: the first paragraph of its docstring."""
    rows: list[tuple[str, ...]] = []
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        rows.append((_code(f"rlhf_demo/{path.parent.name}/"), text.partition("\n\n")[0]))
    return _table(("package", "what it is"), rows)


TABLES = {
    function.__name__: function
    for function in (endpoints, metrics, options, packages, presets, settings, stages)
}
"""Name in a document -> what prints the table."""

# -- their cells -----------------------------------------------------------------------------------


def _options(config: type[Options]) -> Iterator[tuple[str, ...]]:
    for declared, kind, _ in declarations(config):
        given = declared.default is not None and declared.default is not False
        default = _code(str(declared.default)) if given else "none"
        help_text = declared.metadata["help"]
        yield _code(_flag(declared.name)), default, _values(kind, **declared.metadata), help_text


def _values(kind: type, *, low: Any, high: Any, choices: Any, **_: Any) -> str:
    if choices:
        return ", ".join(map(_code, choices))
    if kind in (str, bool):
        return "text" if kind is str else "a switch"
    words = ["whole number" if kind is int else "number"]
    words += [f"from {low:,}".removesuffix(".0")] if low is not None else []
    words += [f"to {high:,}".removesuffix(".0")] if high is not None else []
    return " ".join(words)


def _arguments(arguments: ast.arguments) -> str:
    names = [argument.arg for argument in arguments.args]
    defaults = [ast.unparse(default).replace("None", "{}") for default in arguments.defaults]
    ends = [""] * (len(names) - len(defaults)) + [f"={default}" for default in defaults]
    both = [pair for pair in zip(names, ends, strict=True) if pair[0] not in ("self", "http")]
    return ", ".join(_code((name + end).replace("'", '"')) for name, end in both)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


if __name__ == "__main__":
    sys.exit(main())
