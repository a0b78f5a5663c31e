"""A tokenizer that makes texts long or searches for ever is refused; known families are not."""
# ruff: noqa: F811  (a fixture is imported, and named again where it is used)

import base64
import json

import pytest

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models.loading import PAD, load_tokenizer
from tests.unpadded import copy_of, unpadded_tokenizer_folder  # noqa: F401  (one is a fixture)

TEN = {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 10}
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
LONG_MAP = base64.b64encode(bytes(4) + b"a\0" + b"x" * 65).decode()


@pytest.mark.parametrize(
    "part, spec",
    [
        ("normalizer", {"type": "Sequence", "normalizers": [TEN] * 6}),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 5}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": LONG_MAP}),
        ("normalizer", {"type": "Sequence", "normalizers": [
            TEN | {"content": "a", "pattern": {"Regex": "b*"}}] * 2}),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [LEVEL] * 2}),
        ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "([a-zA-Z ]+)+[0-9?]"},
                           "behavior": "Isolated", "invert": False}),
        # Of the sixth degree: it ends in a panic of the library, which is no Exception.
        ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": r"a*a*a*a*a*[m-z]"},
                           "behavior": "Isolated", "invert": False}),
        ("decoder", {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}),
    ],
)  # fmt: skip
def test_tokenizer_that_blows_texts_up_or_searches_for_ever_is_refused(
    unpadded_tokenizer_folder, tmp_path, part, spec
):
    folder = copy_of(unpadded_tokenizer_folder, tmp_path / "evil")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: spec}))
    with pytest.raises(CheckpointError, match="evil holds no usable tokenizer"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    "part, spec",
    [
        # Llama's, ALBERT's, Llama 3's
        ("normalizer", {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}),
        ("normalizer", {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
            {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
            {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "behavior": "Isolated", "invert": False, "pattern": {
                "Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                         r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}},
            LEVEL]}),
    ],
)  # fmt: skip
def test_tokenizers_of_known_families_are_loaded(unpadded_tokenizer_folder, tmp_path, part, spec):
    folder = copy_of(unpadded_tokenizer_folder, tmp_path / "sound")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: spec}))
    assert load_tokenizer(folder).pad_token == PAD
