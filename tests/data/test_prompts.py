"""Prompts: one a line or a row, of the split that is asked for."""

import json

import pytest

from rlhf_demo.data import pairs as preferences
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_load_prompts_from_text_has_one_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("The film\r\n\n I went \n")
    assert load_prompts(str(tmp_path / "a.txt"), "train") == ["The film", " I went "]


def test_load_prompts_from_jsonl_respects_the_split_where_there_is_one(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [{"prompt": "a", "split": "train"}, {"prompt": "b", "split": "heldout"}],
    )
    assert load_prompts(path, "heldout") == ["b"]
    assert load_prompts(write_jsonl(tmp_path / "b.jsonl", [{"prompt": "a"}]), "heldout") == ["a"]


def test_load_prompts_shipped_reads_the_checkpoints_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "CHECKPOINTS", tmp_path)
    write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": "a", "kind": "film", "split": "train"}])
    assert load_prompts("shipped", "train") == ["a"]


@pytest.mark.parametrize(
    ("wanted", "advice"), [("test", ", or give --split heldout$"), ("dev", "rows of that split$")]
)
def test_load_prompts_of_another_split_names_those_there_are(tmp_path, wanted, advice):
    rows = [{"prompt": "a", "split": split} for split in ("train", "heldout")]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=f"'{wanted}', only of heldout, train: add .*{advice}"):
        load_prompts(path, wanted)


@pytest.mark.parametrize(
    ("content", "message"),
    [("\n", "no prompt"), ('{"text": "a"}\n', "row 1: column 'prompt' is missing")],
)
def test_load_prompts_of_unusable_file_is_an_error(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        load_prompts(str(tmp_path / "a.jsonl"), "train")


def test_load_prompts_of_missing_file_is_an_error():
    with pytest.raises(DataError, match="there is no file nowhere"):
        load_prompts("nowhere", "train")
