"""What the database is asked for: free codes of classes and free nicknames."""

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.votes.queries import CODE_LETTERS, free_code
from rlhf_demo.votes.vote import LONGEST_NICKNAME
from tests.voting import HAPPY


def test_code_has_six_letters_that_a_projector_keeps_apart(classes):
    code = classes.create_class(HAPPY).code
    assert len(code) == 6 and set(code) <= set(CODE_LETTERS)
    assert not set("ILO01") & set(CODE_LETTERS)


def test_code_that_is_taken_is_drawn_anew(store, classes):
    taken = classes.create_class(HAPPY).code
    letters = iter(taken + "BCDFGH")
    with store.database.reading() as connection:
        assert free_code(connection, lambda _: next(letters)) == "BCDFGH"
        with pytest.raises(DataError, match="no free class code"):
            same = iter(taken * 20)
            free_code(connection, lambda _: next(same))


def test_code_is_read_without_case_and_blanks(classes):
    opened = classes.create_class(HAPPY)
    typed = f" {opened.code[:3].lower()} {opened.code[3:]} "
    assert classes.join(typed, "Ann", "school").nickname == "Ann"


def test_nicknames_that_look_alike_get_a_number(classes):
    opened = classes.create_class(HAPPY)
    names = [
        classes.join(opened.code, typed, "school").nickname
        for typed in ("Ann", "ANN", " Ann\n", "\uff21nn", "Bo", "x" * 99)
    ]
    assert names == ["Ann", "ANN 2", "Ann 3", "\uff21nn 4", "Bo", "x" * LONGEST_NICKNAME]
