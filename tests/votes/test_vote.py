"""What a vote means, what people may type, and how often they may act."""

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import MOST_BUCKETS, RateLimit
from rlhf_demo.votes.vote import clean_text, for_text, written_time


@pytest.mark.parametrize(
    ("choice", "swapped", "kept"),
    [
        ("left", False, "first"), ("left", True, "second"), ("right", False, "second"),
        ("right", True, "first"), ("tie", True, "tie"), ("both_bad", True, "both_bad"),
    ],
)  # fmt: skip
def test_answer_is_turned_into_the_text_it_means(choice, swapped, kept):
    assert for_text(choice, swapped) == kept


def test_time_is_written_in_utc():
    assert written_time(86_400.9) == "1970-01-02T00:00:00Z"


def test_typed_text_becomes_one_plain_line():
    assert clean_text("  The\n film\x00 \u202ewas\u200b \t<b>good</b> ", 40, "prompt") == (
        "The film was <b>good</b>"
    )
    assert clean_text("e\u0301", 1, "prompt") == "é"


@pytest.mark.parametrize("typed", ["", " \n", "\x00", "\ud800", "x" * 11, "x" * 999, None, 3])
def test_typed_text_that_is_no_good_is_refused(typed):
    with pytest.raises(Refused):
        clean_text(typed, 10, "prompt")


def test_limit_forgets_visitors_who_are_long_gone(clock):
    limit = RateLimit(1, 1.0, clock)
    for key in range(MOST_BUCKETS + 1):
        limit.allow(key)
    clock.now += 10
    limit.allow("new")
    assert len(limit._buckets) == 1


def test_letter_with_many_marks_is_refused_before_it_is_normalised(monkeypatch):
    """They are sorted by insertion, while nothing else of the server runs."""
    assert clean_text("e" + "\u0323\u0301" * 15, 100, "text")
    refused = pytest.raises(Refused, match="the text has a letter with over 30 marks: type it with")
    with monkeypatch.context() as patch, refused:  # pytest itself normalises what it prints
        patch.setattr("unicodedata.normalize", None)
        clean_text("e" + "\u0323" * 31, 100, "text")
