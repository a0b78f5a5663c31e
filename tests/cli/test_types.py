"""Python's declared types as TypeScript writes them; each line worked out by hand."""

from typing import Any, NotRequired, TypedDict

import pytest

from rlhf_demo.cli.types import TARGET, declarations, interface, typescript, with_parts


class Row(TypedDict):
    """Two parts, one of which may be missing."""

    step: int | None
    names: NotRequired[list[str]]


@pytest.mark.parametrize(
    ("hint", "written"),
    [
        (str, "string"), (int, "number"), (float, "number"), (bool, "boolean"), (Any, "any"),
        (int | float, "number"), (str | None, "string | null"), (list[int], "number[]"),
        (list[int | None], "(number | null)[]"), (tuple[str, int], "[string, number]"),
        (dict[str, list[float]], "Record<string, number[]>"), (list[Row], "Row[]"),
    ],
)  # fmt: skip
def test_type_is_written_as_typescript_has_it(hint, written):
    assert typescript(hint) == written


def test_part_that_may_be_missing_has_a_question_mark():
    told = "export interface Row {\n  step: number | null;\n  names?: string[];\n}"
    assert interface(Row) == told


class Inner(TypedDict):
    """Stands inside the next."""

    rows: list[Row]


class Outer(TypedDict):
    """Contains Row, twice, only inside others."""

    inner: NotRequired[dict[str, Inner | None]]
    row: Row | None


def test_parts_of_a_declared_type_are_declared_once():
    assert with_parts([int, Outer, Row]) == [Outer, Inner, Row]


def test_file_of_the_pages_types_is_current():
    assert TARGET.read_text(encoding="utf-8") == declarations()
