"""Following files that are being written: only new, only whole, never twice."""

import os

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.files import write_text
from rlhf_demo.runs.tail import Tail, Tails


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def append(path, text):
    with open(path, "ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def test_rows_of_a_missing_file_are_none(path):
    assert Tail(path).rows() == []


def test_rows_when_the_file_grows_are_all_and_only_the_new_bytes_are_read(path, monkeypatch):
    tail, read = Tail(path), []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]) or pread(*args))
    append(path, '{"step": 1}\n')
    assert tail.rows() == [{"step": 1}]
    append(path, '{"step": 2}\n')
    assert tail.rows() == [{"step": 1}, {"step": 2}]
    assert tail.rows() == [{"step": 1}, {"step": 2}]
    assert read == [12, 12, 0]  # '{"step": 1}\n' is 12 bytes


def test_torn_last_line_waits_until_it_is_whole(path):
    tail, line = Tail(path), '{"step": 1, "text": "señor"}\n'.encode()
    cut = line.index(b"\xc3") + 1  # inside the two bytes of ñ
    append(path, line[:cut])
    assert tail.rows() == []
    append(path, line[cut:])
    assert tail.rows() == [{"step": 1, "text": "señor"}]


def test_replaced_file_is_read_from_its_start_even_when_it_is_longer(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n{"step": 2}\n')
    assert len(tail.rows()) == 2
    write_text(path, '{"step": 1}\n{"step": 2, "again": true}\n')  # as Run.rewind does
    assert tail.rows() == [{"step": 1}, {"step": 2, "again": True}]


def test_shortened_file_is_read_from_its_start(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n{"step": 2}\n')
    assert len(tail.rows()) == 2
    path.write_bytes(b'{"step": 7}\n')
    assert tail.rows() == [{"step": 7}]


def test_deleted_file_has_no_rows(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n')
    assert tail.rows()
    path.unlink()
    assert tail.rows() == []


def test_line_that_is_not_json_is_named_by_its_number(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n')
    assert tail.rows()
    append(path, '{"step": 2}\nnonsense\n')
    for _ in range(2):  # and said again to whoever asks next
        with pytest.raises(DataError, match=r"metrics\.jsonl line 3 is not valid JSON"):
            tail.rows()


@pytest.mark.parametrize(
    "line",
    ["[1]", "null", "{}", '{"step": "1"}', '{"step": -1}', '{"step": 1e3}', '{"step": true}',
     '{"step": 1, "loss": NaN}', '{"step": 1, "loss": 1e999}', f'{{"step": 1{"0" * 10}}}'],
)  # fmt: skip
def test_line_that_is_no_row_of_a_run_names_its_number(path, line):
    append(path, f'{{"step": 1}}\n{line}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl line 2 is no row of a run"):
        Tail(path).rows()


def test_rows_given_out_belong_to_the_caller(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n')
    tail.rows().clear()
    assert tail.rows() == [{"step": 1}]


def test_tails_forget_the_file_asked_for_longest_ago(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for path in paths:
        append(path, '{"step": 1}\n')
    tails, read = Tails(most=2), []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]) or pread(*args))
    a, b, c = paths
    # a and b are kept; a is asked for again, so c drives b out; b is read afresh.
    for path in (a, b, a, c, a, b):
        assert tails.rows(path) == [{"step": 1}]
    assert read == [12, 12, 0, 12, 0, 12]
