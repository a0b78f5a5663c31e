"""Files are read in their own order, and what cannot be used is said in one sentence."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from rlhf_demo.data import documents
from rlhf_demo.data.documents import hold_out, read_documents
from rlhf_demo.data.rows import Bounds
from rlhf_demo.errors import DataError


def write_parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_read_documents_reads_the_same_texts_from_each_kind_of_file(tmp_path):
    wanted = ["One film.", "Two films.", "Three films."]
    (tmp_path / "a.txt").write_text("\n\n".join(wanted))
    for data in (
        write_parquet(tmp_path / "a.parquet", text=wanted),
        write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in wanted]),
        str(tmp_path / "a.txt"),
    ):
        assert read_documents(data, "text", "train") == (wanted, [True] * 3)


def test_read_documents_takes_the_named_column(tmp_path):
    data = write_jsonl(tmp_path / "a.jsonl", [{"body": "One."}, {"body": "Two."}])
    assert read_documents(data, "body", "train")[0] == ["One.", "Two."]


def test_held_out_are_the_first_test_rows_in_file_order_where_a_split_is_named(tmp_path):
    splits = ["train", "test", "train", "test", "test"] * 4
    data = write_parquet(tmp_path / "a.parquet", text=list(map(str, range(20))), split=splits)
    kept, held = hold_out(*read_documents(data, "text", "train"), count=2)
    assert held == ["1", "3"]
    assert kept == [str(number) for number in range(20) if number not in (1, 3)]


def test_held_out_are_the_first_rows_where_no_split_is_named():
    kept, held = hold_out(list(map(str, range(30))), [True] * 30, count=2)
    assert held == ["0", "1"] and len(kept) == 28


def test_held_out_are_a_tenth_at_most():
    kept, held = hold_out(list(map(str, range(30))), [True] * 30, count=2500)
    assert len(held) == 3 and len(kept) == 27


def test_read_documents_without_data_reads_each_shipped_text_once(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "SHIPPED_PAIRS", tmp_path / "pairs.jsonl")
    row = {"prompt": "The film", "chosen": " was good.", "rejected": " was bad."}
    write_jsonl(tmp_path / "pairs.jsonl", [row, row | {"rejected": " was dull."}])
    found, may_hold = read_documents(None, "text", "train")
    assert found == ["The film was good.", "The film was bad.", "The film was dull."]
    assert all(may_hold)


def test_read_documents_without_data_and_without_the_shipped_pairs_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "SHIPPED_PAIRS", tmp_path / "pairs.jsonl")
    with pytest.raises(DataError, match="shipped pairs are missing"):
        read_documents(None, "text", "train")


@pytest.mark.parametrize("name", ["none.parquet", "none.jsonl", "none.txt"])
def test_read_documents_of_a_missing_file_says_so(tmp_path, name):
    with pytest.raises(DataError, match=rf"there is no file .*{name}: check the name"):
        read_documents(str(tmp_path / name), "text", "train")


def test_read_documents_without_the_column_names_those_there_are(tmp_path):
    data = write_parquet(tmp_path / "a.parquet", body=["One.", "Two."])
    with pytest.raises(DataError, match="no column 'text': choose one of body with --column"):
        read_documents(data, "text", "train")


@pytest.mark.parametrize("rows", [[{"body": "One."}], [{"text": "One."}, {"text": 2}]])
def test_read_documents_of_rows_without_text_says_so(tmp_path, rows):
    data = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="rows without text in the column 'text'"):
        read_documents(data, "text", "train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "One."}\n{"text": \n', "row 2 is not valid JSON"),
        ("a.jsonl", b"[1]\n", "row 1 is not a JSON object"),
        ("a.jsonl", b"[" * 100_000, "row 1 is nested too deep"),
        ("a.txt", b"\xff\xfe\x00", "cannot be read as UTF-8 text"),
        ("a.txt", b" \n\n \n", "holds fewer than 2 texts"),
        ("a.parquet", b"no parquet", "is not a readable Parquet file"),
        ("a.csv", b"text\nOne.\n", "is CSV: give Parquet, JSONL or a text file"),
    ],
)
def test_read_documents_of_a_bad_file_says_what_is_wrong(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_documents(str(tmp_path / name), "text", "train")
    assert "\n" not in str(caught.value)


def test_text_file_may_end_its_lines_as_windows_does(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"One.\r\nTwo.\r\n\r\nThree.")
    assert read_documents(str(tmp_path / "a.txt"), "", "")[0] == ["One.\nTwo.", "Three."]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.txt"])
def test_file_that_holds_more_than_is_read_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(documents, "OWN", Bounds(rows=9, bytes=2_000_000))
    texts = ["a" * 1_000_000] * 3  # in Parquet, one text and three places where it stands
    if name == "a.txt":
        (tmp_path / name).write_text("\n\n".join(texts))
    elif name == "a.jsonl":
        write_jsonl(tmp_path / name, [{"text": text} for text in texts])
    else:
        write_parquet(tmp_path / name, text=texts)
        assert (tmp_path / name).stat().st_size < 100_000
    with pytest.raises(DataError, match=f"{name} holds over 2 MB of text"):
        read_documents(str(tmp_path / name), "text", "train")


def test_read_documents_of_a_hub_name_asks_the_hub_for_the_split(monkeypatch):
    asked = []

    def hub_rows(name, split, columns):
        asked.append((name, split))
        return enumerate([{"text": text, "label": 1} for text in ("One.", "Two.", None)], start=1)

    monkeypatch.setattr("rlhf_demo.data.documents.hub_rows", hub_rows)
    assert read_documents("owner/films", "text", "train")[0] == ["One.", "Two."]
    assert asked == [("owner/films", "train")]
    with pytest.raises(DataError, match="owner/films has no column 'body': choose one of text"):
        read_documents("owner/films", "body", "train")
