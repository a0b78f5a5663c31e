"""The page's JavaScript: which modules there are, and how they reach a browser."""

import ast
import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from rlhf_demo.paths import REPOSITORY
from rlhf_demo.ui import scripts

UI = REPOSITORY / "rlhf_demo" / "ui"
MOST_AT_FIRST = 20
"""Modules that a page asks for before anybody clicks; thirty phones open it at once."""
LATER = ("panels/student/lesson_panel",)
"""Modules that a student's phone loads when they are needed, by their name."""
RAW_MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser")
SCREEN = 70
"""Lines of a function, at most."""


def declared_parts():
    """Return each part's name, and the file of Python that declares it."""
    found = []
    for file in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "part":
                found.append((node.args[0].value, file.relative_to(UI).with_suffix("").as_posix()))
    return found


PARTS = {name for name, _ in declared_parts()}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_part_has_its_module_and_its_python(name):
    assert "export const mount =" in scripts.modules()[name]
    owner = "/".join(name.split("/")[:2])
    assert (UI / f"{owner}.py").is_file()


def test_a_tabs_part_is_declared_by_that_tab():
    for name, file in declared_parts():
        assert not name.startswith("tabs/") or name.split("/")[:2] == file.split("/"), name


def test_no_module_is_left_over():
    used = scripts.needed((*sorted(PARTS), "lib/poll", *LATER))
    assert scripts.modules().keys() - used == set()
    mounted = {name for name, text in scripts.modules().items() if "export const mount =" in text}
    assert mounted == PARTS


def test_modules_loaded_by_their_name_are_there():
    named = {
        name
        for text in scripts.modules().values()
        for name in re.findall(r'rlhf\.load\("([^"]+)"\)', text)
    }
    assert named == set(LATER) <= scripts.modules().keys()


def test_pure_modules_know_no_page():
    words = re.compile(r"\b(document|window|localStorage|sessionStorage|Plotly|location)\.")
    for name, text in scripts.modules().items():
        if name.startswith("lib/"):
            assert not words.search(text), name
            assert all(one.startswith("lib/") for one in scripts.imports(name)), name


@pytest.mark.parametrize("file", sorted(scripts.STATIC.rglob("*.js")), ids=lambda file: file.stem)
def test_module_is_checked_has_short_lines_and_writes_no_markup(file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("// @ts-check\n// ")
    assert [line for line in text.splitlines() if len(line) > 100] == []
    assert [word for word in RAW_MARKUP if word in text] == []


def test_functions_fit_a_screen():
    """Told by indentation: from a line that opens a block to the one that closes it."""
    for name, text in scripts.modules().items():
        opened = {}
        for number, line in enumerate(text.splitlines()):
            indent = len(line) - len(line.lstrip())
            if line.endswith("=> {"):
                opened[indent] = number
            elif line.lstrip().startswith("}") and indent in opened:
                assert number - opened.pop(indent) < SCREEN, f"{name}, line {number}"


# -- serving ---------------------------------------------------------------------------------------


@pytest.fixture
def client():
    return TestClient(Starlette(routes=[Route("/scripts/{path:path}", scripts.served)]))


def test_module_comes_under_its_version_and_is_kept_for_good(client):
    answer = client.get(f"/{scripts.folder()}/lib/format.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text == (scripts.STATIC / "lib" / "format.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "scripts/0123456789ab/lib/format.js", "{folder}/lib/none.js", "{folder}/lib/format",
        "{folder}/head.js", "{folder}/../style.css", "{folder}/%2e%2e/style.css", "scripts/",
    ],
)  # fmt: skip
def test_nothing_else_is_answered_nor_kept(client, path):
    answer = client.get("/" + path.format(folder=scripts.folder()))
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_version_changes_with_a_letter(monkeypatch):
    before = scripts.folder()
    changed = scripts.modules() | {"lib/format": "// another"}
    monkeypatch.setattr(scripts, "modules", lambda: changed)
    assert scripts.folder.__wrapped__() != before


def test_page_asks_for_few_modules_at_first_and_by_relative_addresses():
    head = scripts.head()
    first = re.findall(r'<link rel="modulepreload" href="([^"]+)">', head)
    assert 5 < len(first) <= MOST_AT_FIRST
    assert all(link.startswith(f"{scripts.folder()}/") for link in first)
    later = re.search(r"rlhf.fetchLater\((\[.*\])\)", head)[1]
    assert later.count('"') // 2 + len(first) == len(scripts.modules())


def test_first_modules_are_all_that_a_students_phone_needs():
    assert scripts.needed(("panels/student", "panels/nav", "tabs/start")) <= {
        link.removesuffix(".js").split("/", 2)[2]
        for link in re.findall(r'href="([^"]+)"', scripts.head())
    }
