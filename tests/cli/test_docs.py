"""The documents say what the code declares."""

import re

import pytest

from rlhf_demo.cli import docs
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.settings import VARIABLES, Settings


@pytest.fixture
def document(tmp_path, monkeypatch):
    """A document with one printed table, in place of the project's own."""
    path = tmp_path / "some.md"
    path.write_text("before\n\n<!-- begin stages -->\nold\n<!-- end stages -->\n\nbehind\n")
    monkeypatch.setattr(docs, "DOCUMENTS", (path,))
    return path


def test_documents_are_current():
    assert docs.main(["--check"]) == 0, "run python -m rlhf_demo.cli.docs"


def test_each_table_stands_in_one_document():
    text = "".join(path.read_text(encoding="utf-8") for path in docs.DOCUMENTS)
    assert sorted(found[1] for found in docs.PRINTED.findall(text)) == sorted(docs.TABLES)


def test_check_names_a_stale_document_and_leaves_it(document, capsys):
    before = document.read_text()
    assert docs.main(["--check"]) == 1
    assert "some.md is out of date" in capsys.readouterr().err
    assert document.read_text() == before


def test_stale_table_is_written_anew_and_what_stands_around_it_stays(document):
    assert docs.main([]) == 0
    text = document.read_text()
    assert text.startswith("before\n\n<!-- begin stages -->\n| kind | command |")
    assert "| `ppo` | `train-ppo` |" in text and "old" not in text
    assert text.endswith("|\n<!-- end stages -->\n\nbehind\n")
    assert docs.main(["--check"]) == 0


@pytest.mark.parametrize(
    "line",
    [
        "| `--top-bottom` | none | a switch | a \\| b |",
        "| `--rate` | `0.1` | number from 0 to 0.9 | no more |",
        "| `--steps` | `2` | whole number from 1 to 100,000 | how many |",
        "| `--name` | none | text | who |",
        "| `--side` | `left` | `left`, `right` | which |",
    ],
)
def test_option_is_told_with_default_values_and_meaning(line):
    from dataclasses import dataclass

    from rlhf_demo.config.options import Options, option

    @dataclass(frozen=True, kw_only=True)
    class Some(Options):
        top_bottom: bool = option(False, "a | b")
        rate: float = option(0.1, "no more", low=0.0, high=0.9)
        steps: int = option(2, "how many", low=1, high=100_000)
        name: str | None = option(None, "who")
        side: str = option("left", "which", choices=("left", "right"))

    assert line in docs._table(("a", "b", "c", "d"), docs._options(Some)).splitlines()


def test_settings_name_every_variable_of_this_program():
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in [REPOSITORY / "app.py", *(REPOSITORY / "rlhf_demo").rglob("*.py")]
    )
    read = set(re.findall(r"RLHF_DEMO_[A-Z]+", source)) - {"RLHF_DEMO_JOB"}
    assert {one.name for one in VARIABLES if one.name.startswith("RLHF_DEMO_")} == read


@pytest.mark.parametrize("public", ["0", "1"])
def test_settings_tell_what_really_holds(public, monkeypatch):
    for one in VARIABLES:
        monkeypatch.delenv(one.name, raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("RLHF_DEMO_PUBLIC", public)
    held = Settings.from_environment()
    values = {
        "RLHF_DEMO_HUB": ",".join(held.hub) or "none",
        "RLHF_DEMO_RUNS": str(held.runs),
        "RLHF_DEMO_JOBS": str(held.jobs_at_once),
        "RLHF_DEMO_STEPS": str(held.most_steps or "no limit"),
        "RLHF_DEMO_MINUTES": str(held.most_minutes or "no limit"),
        "RLHF_DEMO_WAITING": str(held.most_waiting or "no limit"),
        "GRADIO_SERVER_NAME": held.server_name,
    }
    for one in VARIABLES:
        told = (one.limited or one.home) if public == "1" else one.home
        if one.name in values:
            assert told.strip("`") == values[one.name], one.name


def test_links_between_documents_lead_somewhere():
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "bench/README.md")
    documents = [REPOSITORY / name for name in names] + [*(REPOSITORY / "docs").rglob("*.md")]
    broken = []
    for path in documents:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", path.read_text(encoding="utf-8")):
            if not (path.parent / link).exists():
                broken.append(f"{path.name}: {link}")
    assert documents and not broken


def test_equations_lead_to_functions_and_tests_that_there_are():
    text = (REPOSITORY / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in REPOSITORY.glob("tests/**/*.py"))
    named = re.findall(r"`(\w+)\.(\w+)\.(\w+)[`(]", text)
    for package, module, name in named:
        path = REPOSITORY / "rlhf_demo" / package / f"{module}.py"
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), (path.name, name)
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
    assert len(named) > 10
