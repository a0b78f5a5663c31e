"""The lessons' texts, and that what they name is there."""

import ast
from importlib import import_module

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.paths import REPOSITORY


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_a_lesson_asks_and_answers(lesson):
    assert lesson.question.rstrip().endswith("?")
    assert len(set(lesson.answers)) == len(lesson.answers) >= 2
    for text in (lesson.before, lesson.sentence, lesson.caveat):
        assert text.endswith((".", ".\u201d"))
    assert 1 <= lesson.minutes <= 6


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_the_function_and_the_test_that_a_lesson_names_are_there(lesson):
    module, _, function = lesson.code.partition(":")
    assert callable(getattr(import_module(f"rlhf_demo.{module}"), function))
    path, _, test = lesson.test.partition("::")
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_core_course_takes_45_minutes_and_the_document_names_every_lesson():
    core = [lesson.minutes for lesson in LESSONS.values() if lesson.core]
    assert (len(core), sum(core)) == (12, 44)
    rows = (REPOSITORY / "docs" / "learn.md").read_text(encoding="utf-8").splitlines()
    named = [row.split("`")[-2] for row in rows if row.startswith("| ") and row.endswith("` |")]
    assert sorted(named) == sorted(LESSONS)
