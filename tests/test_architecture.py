"""Which package may import which. The tables here are the architecture."""

import ast
import sys

import pytest

from rlhf_demo.paths import REPOSITORY

PACKAGE = REPOSITORY / "rlhf_demo"

GROUND = {"errors", "files", "garbage_collection", "intervals", "metrics", "paths", "rate_limit"}
"""Single modules that everything may import. They import only each other."""

MAY_IMPORT = {
    "config": set(),
    "hub": set(),
    "objectives": set(),
    "runs": {"config"},
    "data": {"hub"},
    "votes": {"data"},
    "jobs": {"config", "hub", "runs"},
    "models": {"config", "data", "hub", "objectives"},
    "explain": {"models", "objectives"},
    "lessons": {"config", "data", "evaluation", "explain", "models", "runs"},
    "evaluation": {"config", "data", "models", "objectives", "runs"},
    "train": {"config", "data", "evaluation", "models", "objectives", "runs"},
    "server": {
        "config", "data", "evaluation", "hub", "jobs", "lessons", "models", "runs", "votes",
    },
    "web": {"jobs", "runs", "server", "votes"},
    "ui": {
        "config", "data", "evaluation", "explain", "hub", "jobs", "lessons", "models", "runs",
        "server", "votes", "web",
    },
    "cli": {"config", "data", "evaluation", "hub", "jobs", "models", "runs", "server", "train"},
}  # fmt: skip
"""Package -> packages that its modules may import, at their top or inside a function."""

STANDARD_LIBRARY_ONLY = {"config", "hub", "jobs", "runs"} | GROUND
"""At their top, so that --help and wrong names are answered at once."""
MAY_USE = {
    "torch": {
        "objectives",
        "models",
        "explain",
        "lessons",
        "evaluation",
        "train",
        "server.comparing",
        "server.model_cache",
        "server.model_trial",
        "server.space",
    },
    "gradio": {"ui", "web"},
    "plotly": {"ui"},
    "sqlalchemy": {"votes"},
}
"""Slow or special library -> the only packages and modules that import it."""
NEVER_AT_THE_TOP = {"trl", "peft", "datasets", "huggingface_hub"}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Module without the leading `rlhf_demo.` -> its file."""


def package_of(module):
    return module.partition(".")[0]


def imported_names(module, *, top_only=False):
    """Yield the dotted name of each import, down to the symbol: "rlhf_demo.runs.run.Run"."""
    waiting = list(ast.parse(MODULES[module].read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def own_imports(module):
    """Return the modules of this package that a module imports."""
    found = set()
    for name in imported_names(module):
        if name.startswith("rlhf_demo."):
            inner = name.removeprefix("rlhf_demo.")
            found.add(inner if inner in MODULES else inner.rpartition(".")[0])
    return found


def libraries(module, **how):
    return {name.partition(".")[0] for name in imported_names(module, **how)} - {"rlhf_demo"}


def circles(below):
    """Return the names that import each other, however far round."""
    left = dict(below)
    while free := [name for name, names in left.items() if not names & left.keys()]:
        for name in free:
            del left[name]
    return set(left)


def test_table_names_the_packages_that_there_are():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(MAY_IMPORT)
    alone = {module for module in MODULES if "." not in module}
    assert alone == GROUND | {"__init__", "__main__"}


def test_packages_import_each_other_in_one_direction():
    assert circles(MAY_IMPORT) == set()


def test_files_import_each_other_in_one_direction():
    assert circles({module: own_imports(module) for module in MODULES}) == set()


def test_a_circle_would_be_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_its_package_may(module):
    package = package_of(module)
    below = {"cli"} if module == "__main__" else MAY_IMPORT.get(package, set()) | {package} | GROUND
    beyond = {name for name in own_imports(module) if package_of(name) not in below}
    assert not beyond, f"{module} imports {sorted(beyond)}"


@pytest.mark.parametrize("module", MODULES)
def test_module_at_its_top_needs_no_slow_library(module):
    assert not libraries(module, top_only=True) & NEVER_AT_THE_TOP
    if package_of(module) in STANDARD_LIBRARY_ONLY:
        assert libraries(module, top_only=True) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("library", MAY_USE)
def test_only_these_packages_use(library):
    found = {module for module in MODULES if library in libraries(module)}
    assert {m for m in found if not {m, package_of(m)} & MAY_USE[library]} == set()
    assert {
        p for p in MAY_USE[library] if not any({m, package_of(m)} & {p} for m in found)
    } == set()


def test_equations_need_torch_only():
    found = {name for m in MODULES if package_of(m) == "objectives" for name in libraries(m)}
    assert found - set(sys.stdlib_module_names) == {"torch"}


def test_only_the_command_line_prints():
    """Pages and tests call the same functions; what they have to say goes into the run folder."""
    for module in MODULES:
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls or package_of(module) == "cli", module


def test_every_module_has_a_test_file_of_its_name():
    """Tests mirror the packages: `rlhf_demo/models/sampling.py` is tested in `tests/models/`."""
    without = set()
    for module in MODULES:
        *folders, name = module.split(".")
        file = REPOSITORY.joinpath("tests", *folders, f"test_{name}.py")
        if not name.startswith("__") and not file.is_file():
            without.add(module)
    assert not without
