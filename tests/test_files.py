"""Plain files: what is read, what is refused, and what people are shown of a name."""

import json
import os
from pathlib import Path

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.files import (
    is_unicode,
    kept_key,
    open_plain,
    parse_json,
    printable,
    read_json,
    short_name,
    without_paths,
)


def test_file_is_named_by_itself_and_its_folder():
    assert short_name(Path("/srv/page/runs/ppo-ab/config.json")) == "ppo-ab/config.json"
    assert short_name(Path("votes.db")) == "votes.db"
    cached = "/home/ann/hub/models--owner--name/snapshots/abc/config.json"
    assert short_name(Path(cached)) == "owner/name"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "there is no folder /srv/page/runs/sft-ab: check",
            "there is no folder runs/sft-ab: check",
        ),
        ("'/home/ann/a.py', line 3, and (/b/c/d.json)", "'ann/a.py', line 3, and (c/d.json)"),
        ("see https://example.com/a/b or runs/ppo-ab/model", None),
        ("3/4 of 1/2/3, ~/a/b, ../c/d and /start_ppo", None),
    ],
)
def test_full_paths_in_a_text_are_cut_to_their_end(text, shown):
    assert without_paths(text) == (shown or text)


def test_what_would_act_on_a_terminal_is_shown_as_a_question_mark():
    assert printable("naïve \x1b[2J\n\ud800.") == "naïve ?[2J??."
    assert [is_unicode(text) for text in ("naïve", "half \ud800")] == [True, False]


@pytest.mark.parametrize(
    "held",
    [b"NaN", b"-Infinity", b"1e999", b"1" * 21, b'"\\ud800"', b'"\xff"', b"{", b"[" * 100_000],
)
def test_json_that_could_not_be_written_again_is_refused(held):
    with pytest.raises((ValueError, RecursionError)):
        parse_json(held)


def test_json_of_this_program_is_read():
    assert parse_json(b'{"seed": 12345678901234567890, "x": -1.5e-3}') == {
        "seed": 12345678901234567890, "x": -0.0015
    }  # fmt: skip
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"  # two halves are a whole


def test_json_that_is_too_large_is_not_parsed(tmp_path):
    (tmp_path / "a.json").write_text('["12345"]')  # 9 bytes
    assert read_json(tmp_path / "a.json", most=9) == ["12345"]
    with pytest.raises(DataError, match=r"a\.json is not valid JSON \(it has more than"):
        read_json(tmp_path / "a.json", most=8)


def test_json_file_has_so_many_lists_and_objects(tmp_path):
    """A megabyte of empty lists took 48 MB, and a second in which nobody was answered."""
    path = tmp_path / "a.json"
    for one in ("[]", "{}"):
        for count, size in ((1000, 0), (1500, 4000)):
            text = "[" + ",".join([one] * (count - 1)) + "]"
            path.write_text(text.ljust(size))
            assert len(read_json(path)) == count - 1
        path.write_text("[" + ",".join([one] * 1700) + "]")
        with pytest.raises(DataError, match="it has 1,701 lists and objects"):
            read_json(path)
    text = {"[": '\\"[{' * 2000 + "\\"}
    path.write_text(json.dumps(text))  # brackets in texts are none
    assert read_json(path) == text


def test_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        open_plain(tmp_path / "pipe")


def test_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "key"
    key = kept_key(path)
    assert len(key) == 32 and kept_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(key[:5])
    assert len(kept_key(path)) == 32 and kept_key(path) != key


def test_key_that_can_be_neither_read_nor_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "key").mkdir()
    with pytest.raises(DataError, match="cannot be read or created"):
        kept_key(tmp_path / "key")
