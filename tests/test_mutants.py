"""The lists of mutants fit today's code, and what docs/mutants.md says is about today's lists."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.run import REPORT, ROOT, Mutant, copy_tree, load_mutants

MUTANTS = load_mutants()


def test_there_are_enough_and_each_has_a_name_of_its_own():
    assert len(MUTANTS) >= 60
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module}: {m.name}")
def test_mutant_changes_one_place_of_todays_code_and_is_still_python(mutant):
    changed = mutant.applied()
    before = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(before))


def test_tests_that_must_notice_are_there():
    named = {test for mutant in MUTANTS for test in mutant.tests}
    assert not {test for test in named if not (Path(__file__).parent / f"{test}.py").is_file()}


@pytest.mark.parametrize(("old", "times"), [("no such line", 0), ("import", 2)])
def test_edit_that_fits_nowhere_or_twice_is_refused(old, times, tmp_path):
    (tmp_path / "rlhf_demo").mkdir()
    (tmp_path / "rlhf_demo" / "a.py").write_text("import os\nimport sys\n")
    with pytest.raises(ValueError, match=f"occurs {times} times"):
        Mutant("a", "a fault", old, "new", ("test_a",)).applied(tmp_path)


def test_report_tells_of_these_mutants_and_of_no_survivor():
    report = REPORT.read_text(encoding="utf-8")
    rows = {tuple(line.split(" | ")[:2]) for line in report.splitlines() if line.startswith("| ")}
    results = {name.removeprefix("| "): result for name, result in rows}
    del results["the fault"]
    wanted = {m.name: "equivalent" if m.equivalent else "caught" for m in MUTANTS}
    assert results == wanted


def test_copy_of_the_tree_has_the_whole_package(tmp_path):
    copy = copy_tree(tmp_path / "copy")
    package = {path.relative_to(ROOT) for path in (ROOT / "rlhf_demo").rglob("*.py")}
    assert package == {path.relative_to(copy) for path in (copy / "rlhf_demo").rglob("*.py")}
