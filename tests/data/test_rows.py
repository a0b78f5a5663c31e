"""Files of rows: what is damaged, too large or odd is named; a copy is read as its source is."""

import csv
import gzip
import json
import tracemalloc

import pandas
import pytest

from rlhf_demo.data import rows as module
from rlhf_demo.data.pairs import copy_pairs, load_pairs
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.data.rows import OWN, UPLOADED, Bounds, file_rows
from rlhf_demo.errors import DataError
from tests.data.test_pairs import GOOD, ROWS, write_csv, write_json, write_jsonl, write_parquet


def test_csv_numbers_and_na_stay_text(tmp_path):
    rows = [{"prompt": "How many?", "chosen": "42", "rejected": "NA"}]
    assert load_pairs(write_csv(tmp_path / "a.csv", rows)).rejected == ["NA"]


def test_broken_line_is_named_by_its_line_also_after_empty_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + '\n\n{"chosen": \n')
    with pytest.raises(DataError, match=r"a\.jsonl row 3 is not valid JSON"):
        load_pairs(str(path))


def test_short_csv_row_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,chosen,rejected\na,b,c\nd,e\n")
    with pytest.raises(DataError, match="row 2: column 'rejected' is missing"):
        load_pairs(str(path))


def test_parquet_row_with_null_is_named(tmp_path):
    with pytest.raises(DataError, match="row 2: column 'rejected' is null"):
        load_pairs(write_parquet(tmp_path / "a.parquet", [GOOD, {**GOOD, "rejected": None}]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b'chosen,rejected\n"a,b\n'),
        ("a.jsonl", b"\xff\xfe"),
        ("a.jsonl.gz", b"no gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"prompt": "a"}' * 99, mtime=0)[:40]),
        ("a.jsonl.gz", gzip.compress(b"a" * 999, mtime=0)[:12] + b"\xff" * 20),
        ("a.jsonl", b"[" * 100_000),
        ("a.json", b"[" * 100_000),
        ("a.csv", b"chosen,rejected,chosen\na,b,c\n"),
        ("a.csv", b"," * 1_000_000),
        ("a.parquet", b"no"),
    ],
)
def test_damaged_file_is_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name) as caught:
        load_pairs(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_csv_rows_may_hold_any_line_separator(tmp_path):
    texts = {"prompt": "a\u2028b", "chosen": "c\x85d\r\ne", "rejected": "f\x0cg\nh"}
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, texts)
        writer.writeheader()
        writer.writerow(texts)
    pairs = load_pairs(str(tmp_path / "a.csv"))
    assert [*pairs.prompts, *pairs.chosen, *pairs.rejected] == list(texts.values())


def test_csv_row_with_a_comma_too_many_is_named(tmp_path):
    text = "prompt,chosen,rejected\na,b,c\nI saw it, it was good, and fun,it was bad\n"
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=r"a.csv row 2 has more fields .* in quotes"):
        load_pairs(str(tmp_path / "a.csv"))


def test_half_a_character_is_named_by_its_row(tmp_path):
    rows = [GOOD, {**GOOD, "prompt": "I liked \ud800 this"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="row 2: column 'prompt' holds an incomplete character"):
        load_pairs(str(tmp_path / "a.jsonl"))
    with pytest.raises(DataError, match="row 2: column 'prompt' holds an incomplete character"):
        load_prompts(str(tmp_path / "a.jsonl"), "train")


def test_parquet_is_read_as_jsonl_is(tmp_path):
    rows = [{**GOOD, "rater": rater} for rater in ("ann", "bob")]
    pandas.DataFrame(rows).to_parquet(tmp_path / "a[1].parquet")
    assert len(load_pairs(str(tmp_path / "a[1].parquet"))) == 2  # two people, not a duplicate
    pandas.DataFrame([{"text": "x"}]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet row 1: column 'chosen' is missing"):
        load_pairs(str(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [{"chosen": "It is good", "rejected": "It is going"}],
        [{"prompt": " a", "chosen": " a a b", "rejected": " a a c"}],  # begins with it twice
        [{"prompt": " a", "chosen": " a a b", "rejected": " c"}],
        [GOOD, GOOD, {**GOOD, "chosen": ""}, {**GOOD, "rejected": "b"}],
        [{**GOOD, "rater": rater} for rater in (1, 2, 2)],
        [{"prompt": "a\u2028\0", "chosen": "\r\n", "rejected": "\x0b"}, GOOD],
    ],
)
def test_copy_is_read_as_its_source_is(tmp_path, rows):
    source = tmp_path / "a.jsonl"
    write_jsonl(source, rows)
    pairs = copy_pairs(source, tmp_path / "b.jsonl", UPLOADED)
    assert pairs == load_pairs(str(source)) == load_pairs(str(tmp_path / "b.jsonl"))


def test_copy_of_control_characters_is_no_larger_than_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("chosen,rejected\n" + "\x01" * 9000 + "good,\x00bad\t\n")
    pairs = copy_pairs(path, tmp_path / "b.jsonl", UPLOADED)
    assert (tmp_path / "b.jsonl").stat().st_size < path.stat().st_size + 100
    assert pairs.chosen == [" " * 9000 + "good"] and pairs.rejected == [" bad\t"]
    assert load_pairs(str(tmp_path / "b.jsonl")) == pairs


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_copy_stops_at_its_bounds(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    write = {
        "jsonl": write_jsonl, "json": write_json, "csv": write_csv, "parquet": write_parquet
    }[ending]  # fmt: skip
    write(path, [{**GOOD, "chosen": f"{number:04}" * 100} for number in range(100)])
    assert len(copy_pairs(path, tmp_path / "b", Bounds(rows=100, bytes=100_000))) == 100
    with pytest.raises(DataError, match="more than 99 rows"):
        copy_pairs(path, tmp_path / "b", Bounds(rows=99, bytes=100_000))
    with pytest.raises(DataError, match="holds over 0 MB of text"):
        copy_pairs(path, tmp_path / "b", Bounds(rows=100, bytes=10_000))


# -- lists in JSON ---------------------------------------------------------------------------------


def read(path, text):
    path.write_text(text, encoding="utf-8")
    return list(file_rows(path, (), OWN))


@pytest.mark.parametrize(
    "rows", [[], [1], [12, 345, 6.5, -1e3], [{"a": "]"}, {"b": [1, {}]}, "é\u2028", None, True, []]]
)
@pytest.mark.parametrize("indent", [None, 3])
@pytest.mark.parametrize("most", [90, 4_000_000])
def test_list_gives_the_rows_that_a_plain_parser_gives(tmp_path, monkeypatch, rows, indent, most):
    monkeypatch.setattr(module, "MOST_ROW", most)  # rows that lie across the ends of pieces
    found = read(tmp_path / "a.json", " \n" + json.dumps(rows, indent=indent) + "\n ")
    assert found == list(enumerate(rows, start=1))


@pytest.mark.parametrize(
    "text",
    ["[1", "[1,", "[1,]", "[1, ]", "[1] 2", "[1 2]", "[,1]", "[1,,2]", '[{"a": 1}}]', "[1.]"],
)
def test_list_that_is_no_json_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"a\.json row [12] is not valid JSON"):
        read(tmp_path / "a.json", text)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_row_that_would_take_much_memory_is_not_parsed(tmp_path, monkeypatch, name):
    monkeypatch.setattr(module, "MOST_ROW", 100)
    row = json.dumps([{}] * 30)
    with pytest.raises(DataError, match=r"row 1 .*over 100 characters"):
        read(tmp_path / name, f"[{row}]" if name == "a.json" else row)


def test_list_takes_little_more_memory_than_its_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" + "{}," * 200_000 + "{}]")  # 0.6 MB; 14 MB parsed whole
    tracemalloc.start()
    for _ in file_rows(path, (), Bounds(rows=2_000_000, bytes=1_000_000)):
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6_000_000
