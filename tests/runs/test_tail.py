"""Following files that are being written: only new, only whole, never twice."""

import json
import os
import tracemalloc
from contextlib import suppress
from types import SimpleNamespace

import pytest

from rlhf_demo.errors import DataError, Refused
from rlhf_demo.files import write_text
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.rate_limit import sender
from rlhf_demo.runs import tail as tail_module
from rlhf_demo.runs.tail import (
    MOST_BYTES,
    MOST_FILES,
    MOST_ROW_BYTES,
    MOST_ROWS,
    StepTail,
    Tail,
    Tails,
    last_rows,
)


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
    assert read == [12, 12]  # '{"step": 1}\n' is 12 bytes


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
     f'{{"step": 1{"0" * 10}}}'],
)  # fmt: skip
def test_line_that_is_no_row_of_a_run_names_its_number(path, line):
    append(path, f'{{"step": 1}}\n{line}\n')
    for read in (Tail(path).rows, lambda: last_rows(path)):
        with pytest.raises(DataError, match=r"metrics\.jsonl line 2 is not a row of a run"):
            read()


@pytest.mark.parametrize(
    "value",
    ["NaN", "1e999", "[[-1e999]]", "1" * 21, '"\\ud800"', '{"\\uDFFF": 1}', '["\\ude00\\ud83d"]'],
)
def test_line_with_what_can_neither_be_reckoned_with_nor_written_is_no_json(path, value):
    append(path, f'{{"step": 1}}\n{{"step": 2, "loss": {value}}}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl line 2 is not valid JSON"):
        Tail(path).rows()


def test_line_that_is_too_long_to_be_parsed_in_one_go_is_no_row(path):
    append(path, f'{{"step": 1, "text": "{"x" * MOST_ROW_BYTES}"}}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl line 1 is not a row of a run"):
        Tail(path).rows()


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("reader", [lambda path: Tail(path).rows(), last_rows])
@pytest.mark.parametrize(
    "value", [nested(4), '{"b": ' + nested(3) + "}", nested(700), f"[{'[],' * 5000}1]"]
)
def test_line_that_is_nested_deeper_or_has_more_lists_than_ours_is_no_row(path, value, reader):
    append(path, f'{{"step": 1, "a": {value}}}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl line 1 is not a row of a run"):
        reader(path)


def of_many(value, count, step=1):
    """A row with a list of so many values."""
    return f'{{"step": {step}, "x": [{",".join([value] * count)}]}}\n'


def test_file_that_takes_too_much_memory_is_refused_before_it_has_it_and_is_read_once(
    path, monkeypatch
):
    append(path, "".join(of_many('"ab"', 190_000, step) for step in range(1, 24)))
    tail, read = Tail(path), []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]) or pread(*args))
    for _ in range(2):
        with pytest.raises(DataError, match=r"has more than 100 MB in memory, which is too much"):
            tail.rows()
    assert sum(read) < 11_000_000 and tail.memory == 0  # of 22 MB
    path.write_text('{"step": 1}\n')  # the same file, restored
    assert tail.rows() == [{"step": 1}]


@pytest.mark.parametrize(
    "line",
    [
        of_many('{"score":0.125,"kl":0.5}', 20_000), of_many("[0.5,0.25]", 50_000),
        of_many("0.5", 50_000), of_many('"ab"', 50_000),
        of_many(f'"{"a" * 500_000}\U0001f600"', 1),
        json.dumps({"step": 1} | {f"metric/{n}": n / 7 for n in range(5000)}) + "\n",
    ],
    ids=["objects", "lists", "numbers", "texts", "wide", "keys"],
)  # fmt: skip
def test_memory_of_a_file_is_about_what_its_rows_take(path, line):
    append(path, line)
    tail = Tail(path)
    tracemalloc.start()
    tail.rows()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A key that stands in several objects of a row is counted each time, and kept once.
    assert 0.75 < tail.memory / taken < 1.5


def test_thousand_steps_of_the_shipped_run_with_all_their_texts_are_followed(tmp_path):
    for name in ("metrics", "samples", "distributions"):
        text = (CHECKPOINTS / "examples" / "ppo-quick" / f"{name}.jsonl").read_text()
        path = tmp_path / f"{name}.jsonl"
        rows = [json.loads(line) for line in text.splitlines()]
        for later in range(0, 1000, 40):  # it has 40 steps
            moved = [row | {"step": row["step"] + later} for row in rows]
            append(path, "".join(json.dumps(row) + "\n" for row in moved))
        assert len(Tail(path).rows()) == 25 * text.count("\n")


def test_brackets_in_a_text_are_no_lists(path):
    text = '[{"' * 1000
    append(path, json.dumps({"step": 1, "a": [[[text]]]}) + "\n")
    assert Tail(path).rows() == [{"step": 1, "a": [[[text]]]}]


@pytest.mark.parametrize("file", sorted(CHECKPOINTS.glob("examples/*/*.jsonl")), ids=str)
def test_all_rows_of_shipped_runs_are_read(file):
    assert len(Tail(file).rows()) == file.read_text().count("\n")


def test_escaped_characters_that_are_whole_are_read(path):
    append(path, '{"step": 1, "text": "\\ud83d\\ude00 \\u00e9"}\n')
    assert Tail(path).rows() == [{"step": 1, "text": "\U0001f600 \u00e9"}]


def test_file_of_too_many_rows_is_refused_before_they_are_parsed(path, monkeypatch):
    append(path, '{"step": 1}\n' * MOST_ROWS)
    tail = Tail(path)
    assert len(tail.rows()) == MOST_ROWS
    monkeypatch.setattr("rlhf_demo.runs.tail.parse_lines", None)
    append(path, '{"step": 1}\n')
    for one in (tail, Tail(path)):
        with pytest.raises(DataError, match=r"has more than 50,000 rows, which is too much"):
            one.rows()


def test_file_of_too_many_bytes_is_refused_unread(path, monkeypatch):
    append(path, '{"step": 1}\n')
    os.truncate(path, MOST_BYTES + 1)
    monkeypatch.setattr(os, "pread", None)
    with pytest.raises(DataError, match=r"has more than 34 MB, which is too much"):
        Tail(path).rows()


def test_last_rows_are_those_of_the_files_end_and_no_more_is_read(path):
    first, last = '{"step": 1}\n' * 10_000, '{"step": 2, "text": "se\u00f1or"}\n'
    append(path, last)
    assert last_rows(path) == [{"step": 2, "text": "se\u00f1or"}]
    append(path, "nonsense\n" + first + last + '{"step": 3')  # unfinished
    rows = last_rows(path)
    assert rows[-1] == {"step": 2, "text": "se\u00f1or"} and rows[-2] == {"step": 1}
    # 65,536 bytes less 31 + 10 at the end hold 5,457 rows of 12 bytes and the rest of another.
    assert len(rows) == 5458


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read."""
    found = []
    inside = Tail._read_up_to
    monkeypatch.setattr(
        Tail,
        "_read_up_to",
        lambda tail, size, file: (
            found.append(tail.path.stem) if size > tail._offset else None,
            inside(tail, size, file),
        ),
    )
    return found


def files(folder, names):
    paths = [folder / f"{name}.jsonl" for name in names]
    for path in paths:
        append(path, '{"step": 1}\n')
    return paths


def test_tails_forget_files_when_all_together_take_too_much_memory(tmp_path, monkeypatch, read):
    a, b, c, d = files(tmp_path, "abcd")
    one = Tail(a)
    one.rows()
    monkeypatch.setattr("rlhf_demo.runs.tail.MOST_KEPT", 2.5 * one.memory)
    tails = Tails()
    read.clear()
    for path in (a, b, c, b, c, d, c, a, d):  # c drives a out, d drives b out, and a drives d out
        tails.rows(path)
    assert read == ["a", "b", "c", "d", "a", "d"]


def test_large_files_that_do_not_fit_together_are_not_read_at_every_poll(
    tmp_path, monkeypatch, read
):
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("rlhf_demo.runs.tail.time", clock)
    monkeypatch.setattr("rlhf_demo.runs.tail.MOST_KEPT", 1)
    monkeypatch.setattr("rlhf_demo.runs.tail.LARGE", 1)
    paths, now = files(tmp_path, "ab"), [0.0]
    tails = Tails()

    def poll(times):
        refused = 0
        for path in paths * times:
            try:
                assert tails.rows(path) == [{"step": 1}]
            except Refused as error:
                assert "is large, and your pages follow too many large files" in str(error)
                refused += 1
        return refused

    poll(20)
    assert len(read) == 2 + 10
    now[0] = 59.0
    read.clear()
    poll(20)
    assert 9 <= len(read) <= 10
    read.clear()
    sender.set("another address")
    poll(20)
    assert len(read) == 10


def test_small_files_are_read_as_often_as_they_are_asked_for(tmp_path, read):
    paths, tails = files(tmp_path, "abc"), Tails(most=2)
    for path in paths * 20:
        tails.rows(path)
    assert len(read) == 60


def test_rows_given_out_belong_to_the_caller(path):
    tail = Tail(path)
    append(path, '{"step": 1}\n')
    tail.rows().clear()
    assert tail.rows() == [{"step": 1}]


def test_tails_forget_the_file_asked_for_longest_ago(tmp_path, read):
    a, b, c = files(tmp_path, "abc")
    tails = Tails(most=2)
    # a and b are kept; a is asked for again, so c drives b out; b is read afresh.
    for path in (a, b, a, c, a, b):
        assert tails.rows(path) == [{"step": 1}]
    assert read == ["a", "b", "c", "b"]


# -- one step of a file ----------------------------------------------------------------------------


def test_rows_of_a_step_are_those_of_the_whole_file(tmp_path):
    path = CHECKPOINTS / "examples" / "ppo-quick" / "samples.jsonl"
    tail, rows = StepTail(path), Tail(path).rows()
    assert tail.steps() == sorted({row["step"] for row in rows})
    for step in (0, *tail.steps(), 10**9):
        assert tail.rows_of(step) == [row for row in rows if row["step"] == step]


def test_rows_of_a_step_follow_a_file_that_grows_or_is_replaced(path):
    tail = StepTail(path)
    assert (tail.steps(), tail.rows_of(1)) == ([], [])
    append(path, '{"step": 1, "a": "\u00f1"}\n{"step": 2}\n{"step": 1, "a": 2}\n{"step": 3')
    assert tail.steps() == [1, 2]
    assert tail.rows_of(1) == [{"step": 1, "a": "\u00f1"}, {"step": 1, "a": 2}]
    append(path, ', "a": 5}\n')
    assert tail.rows_of(3) == [{"step": 3, "a": 5}]
    write_text(path, '{"step": 1, "a": 9}\n')
    assert (tail.steps(), tail.rows_of(1)) == ([1], [{"step": 1, "a": 9}])
    path.unlink()
    assert (tail.steps(), tail.rows_of(1)) == ([], [])


def test_odd_file_is_refused_a_step_at_a_time_too(path, monkeypatch):
    append(path, '{"step": 1}\n[]\n')
    for ask in (StepTail(path).steps, lambda: StepTail(path).rows_of(1)):
        with pytest.raises(DataError, match="line 2 is not a row of a run"):
            ask()
    monkeypatch.setattr("rlhf_demo.runs.tail.MOST_ROWS", 1)
    write_text(path, '{"step": 1}\n{"step": 2}\n')
    with pytest.raises(DataError, match="more than 1 rows"):
        StepTail(path).steps()


def test_step_that_takes_too_much_memory_is_refused_before_it_has_it(path, monkeypatch):
    """All texts of a copied run in its last step took 700 MB and 20 s at each load of a board."""
    row = json.dumps({"step": 7, "x": [[]] * 20_000})  # 80 kB, and 1.3 MB in memory
    append(path, '{"step": 1}\n' + f"{row}\n" * 7)
    assert [len(StepTail(path).rows_of(step)) for step in (1, 7)] == [1, 7]
    append(path, f"{row}\n")
    parsed, real = [], tail_module._parse
    monkeypatch.setattr(
        tail_module, "_parse", lambda path, lines, **how: parsed.extend(lines) or real(path, lines)
    )
    tail = StepTail(path)
    for _ in range(3):
        with pytest.raises(DataError, match="more than 10 MB in memory in a step"):
            tail.rows_of(7)
    assert len(parsed) == 9  # once


def test_steps_of_many_files_in_turn_parse_each_file_once(tmp_path, monkeypatch):
    """Somebody who asks for a hundred runs in turn made the page parse them again and again."""
    tails, parsed = Tails(), []
    paths = [tmp_path / f"{number}.jsonl" for number in range(MOST_FILES + 20)]
    for path in paths:
        append(path, "".join(f'{{"step": {step}}}\n' for step in range(1, 21)))
        assert tails.steps(path) == list(range(1, 21))
    real = tail_module._parse
    monkeypatch.setattr(
        tail_module, "_parse", lambda path, lines, **how: parsed.extend(lines) or real(path, lines)
    )
    for path in paths * 2:
        assert tails.rows_of(path, 7) == [{"step": 7}]
    assert len(parsed) == 2 * len(paths)  # one line for each request
    assert sum(each.memory for each in tails._step_tails.values()) <= len(paths) * 20 * 200
    monkeypatch.setattr("rlhf_demo.runs.tail.MOST_PLACES", 10 * 20 * 200)
    tails.steps(paths[-1])
    assert len(tails._step_tails) == 10
    monkeypatch.setattr("rlhf_demo.runs.tail.MOST_STEP_FILES", 5)
    tails.steps(paths[-1])
    assert len(tails._step_tails) == 5


def test_file_whose_steps_go_back_is_refused(tmp_path):
    """Otherwise a page that asks for what is above its last step gets all rows at every poll."""
    path = tmp_path / "metrics.jsonl"
    append(path, '{"step": 2}\n{"step": 2}\n')
    tail = Tail(path)
    assert len(tail.rows()) == 2
    append(path, '{"step": 1}\n')
    with pytest.raises(DataError, match="line 3 goes back to step 1: restore or delete the file"):
        tail.rows()
    path.write_text('{"step": 1}\n{"step": 3}\n{"step": 2}\n')
    with pytest.raises(DataError, match="line 3 goes back to step 2"):
        Tail(path).rows()


def test_one_address_has_so_many_bytes_read_for_the_first_time(tmp_path, monkeypatch):
    """After a restart, or of new runs, each was parsed at the first request for it."""
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("rlhf_demo.runs.tail.time", clock)
    tails = Tails()
    sender.set("one")
    paths = files(tmp_path, [f"run {number}" for number in range(70)])
    [size] = {path.stat().st_size for path in paths}
    monkeypatch.setattr("rlhf_demo.runs.tail.NEW", size / 2)  # so each takes two permits of 100

    def opened(read):
        count = 0
        for path in paths:
            with suppress(Refused):
                read(path)
                count += 1
        return count

    assert opened(tails.rows) == 50
    assert opened(tails.rows) == 50  # those that are there need no permit
    assert opened(tails.steps) == 0
    sender.set("two")
    assert opened(tails.steps) == 50
    sender.set("three")
    monkeypatch.setattr("rlhf_demo.runs.tail.NEW", size / 300)
    assert opened(Tails().rows) == 1  # a file that needs more permits than there are takes them all
    monkeypatch.setattr("rlhf_demo.runs.tail.NEW", size + 1)
    assert opened(tails.steps) == 70  # small ones, such as those of a run that was just started


def test_where_nobody_is_limited_large_files_are_read_as_often_as_they_are_asked_for(
    tmp_path, monkeypatch
):
    """At home, the board of one's own run of 1,000 steps was refused after each start."""
    monkeypatch.setattr("rlhf_demo.runs.tail.NEW", 1)
    monkeypatch.setattr("rlhf_demo.runs.tail.LARGE", 0)
    tails = Tails(most=2, limited=False)
    for path in files(tmp_path, "abcdef") * 30:
        assert tails.rows(path) == [{"step": 1}]
        assert tails.steps(path) == [1]


def test_where_nobody_is_limited_a_run_of_a_night_keeps_its_curves_and_texts(path, monkeypatch):
    monkeypatch.setattr(tail_module, "MOST_BYTES", 100)
    append(path, '{"step": 1}\n' * 33)  # 396 bytes
    assert len(Tails(limited=False).rows(path)) == 33
    append(path, '{"step": 1}\n')
    for tails in (Tails(limited=False), Tails()):
        with pytest.raises(DataError, match="which is too much to show"):
            tails.rows(path)
    path.unlink()
    append(path, '{"step": 1}\n' * 80)  # 960 bytes
    assert Tails(limited=False).steps(path) == [1]
    append(path, '{"step": 1}\n' * 4)
    with pytest.raises(DataError, match="which is too much to show"):
        Tails(limited=False).steps(path)
    with pytest.raises(DataError, match="which is too much to show"):
        Tails().steps(path)


def test_newest_steps_are_those_whose_rows_fit_and_at_least_the_last(path):
    """Those of 500 steps took 2.6 GB of memory, in a copied run of 92 kB packed."""
    append(path, "".join(f'{{"step": {step}}}\n' for step in (1, 2, 2, 3)))  # 11 bytes each
    tails = Tails()
    assert tails.newest_steps(path, 3, 33) == [2, 3]
    assert tails.newest_steps(path, 3, 32) == tails.newest_steps(path, 3, 1) == [3]
    assert tails.newest_steps(path, 2, 33) == [1, 2]
    assert tails.newest_steps(path, 0, 99) == []
