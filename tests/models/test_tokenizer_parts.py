"""What a tokenizer.json may do to a text; how it is loaded is in test_loading.py."""

import json

import pytest

from rlhf_demo.models.tokenizer_parts import check_parts


@pytest.mark.parametrize(
    "normalizers, sentence",
    [
        ([{"type": "Lowercase"}] * 2, "its normalizer has Lowercase 2 times, so that texts grow"),
        ([{"type": "Prepend", "prepend": "abcde"}], "puts many letters in"),
        ([{"type": "Replace", "pattern": {"String": "ab"}, "content": "abc"}], "puts more letters"),
        ([{"type": "Replace", "pattern": {"Regex": "(a|b)*"}, "content": ""}], "a repeated group"),
    ],
)
def test_part_that_lets_texts_grow_is_named(tmp_path, normalizers, sentence):
    path = tmp_path / "tokenizer.json"
    spec = {"normalizer": {"type": "Sequence", "normalizers": normalizers}}
    path.write_text(json.dumps(spec))
    with pytest.raises(ValueError, match=sentence):
        check_parts(path)
