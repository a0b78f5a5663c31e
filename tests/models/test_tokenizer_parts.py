"""What a tokenizer.json may do to a text; how it is loaded is in test_tokenizer.py."""

import base64

import pytest

from rlhf_demo.models import tokenizer_parts
from rlhf_demo.models.tokenizer_parts import check_parts

WORDS = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}


def check(parts):
    check_parts({"model": WORDS} | parts)


@pytest.mark.parametrize(
    "normalizers, sentence",
    [
        ([{"type": "Lowercase"}] * 2, "its normalizer has Lowercase 2 times, so that texts grow"),
        ([{"type": "Prepend", "prepend": "abcde"}], "prepends many letters"),
        (
            [{"type": "Replace", "pattern": {"String": "ab"}, "content": "abc"}],
            "inserts more letters",
        ),
        (
            [{"type": "Replace", "pattern": {"Regex": "(a|b)*"}, "content": ""}],
            "which no family has",
        ),
    ],
)
def test_part_that_lets_texts_grow_is_named(normalizers, sentence):
    with pytest.raises(ValueError, match=sentence):
        check({"normalizer": {"type": "Sequence", "normalizers": normalizers}})


TENFOLD = {"pattern": {"String": "h"}, "content": "h" * 10}


@pytest.mark.parametrize(
    "normalizer",
    [
        TENFOLD,
        {"normalizers": [TENFOLD] * 6},
        {"type": "Sequence", "normalizers": [TENFOLD]},
    ],
)
def test_part_without_its_type_is_checked_as_what_the_library_makes_of_it(normalizer):
    with pytest.raises(ValueError, match="inserts more letters"):
        check({"normalizer": normalizer})


def test_part_that_the_library_does_not_know_is_refused():
    with pytest.raises(ValueError, match="cannot be loaded"):
        check({"normalizer": {"type": "Tenfold"}})


EDGE, TEXT = {"SpecialToken": {"id": "E", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}


def template(single, ids=1, pair=(TEXT,)):
    special = {"E": {"id": "E", "ids": [0] * ids, "tokens": ["E"] * ids}}
    kind = "TemplateProcessing"
    return {"type": kind, "single": single, "pair": [*pair], "special_tokens": special}


def processed(processor):
    return {"post_processor": processor}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
ROBERTA = {
    "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
    "add_prefix_space": False,
}  # fmt: skip
MANY = "puts more than 16 tokens around a text"


@pytest.mark.parametrize(
    "processors, sentence",
    [
        ([template([EDGE] * 17 + [TEXT])], MANY),
        ([template([EDGE, TEXT], ids=17)], MANY),
        ([template([TEXT], pair=[EDGE] * 17 + [TEXT])], MANY),
        ([template([TEXT, TEXT])], "inserts a text more than once"),
        ([template([TEXT], pair=[TEXT, TEXT])], "inserts a text more than once"),
        ([template([EDGE, TEXT])] * 2, "its post_processor has TemplateProcessing 2 times"),
        ([ROBERTA] * 2, "its post_processor has RobertaProcessing 2 times"),
    ],
)
def test_processor_by_which_texts_grow_is_named(processors, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(processed({"type": "Sequence", "processors": processors}))


@pytest.mark.parametrize(
    "processor",
    [
        None,
        BYTES,
        {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        ROBERTA,
        {"type": "Sequence", "processors": [BYTES, template([EDGE, TEXT, EDGE])]},
        template([EDGE] * 16 + [TEXT]),
    ],
)
def test_processor_of_a_common_tokenizer_is_used(processor):
    check(processed(processor))


# -- what the library would need much memory for ---------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"model": WORDS | {"vocab": {"h" * 1001: 0}}},
        {"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["h" * 1001, -1.0]]}},
        {"added_tokens": [{"id": 5, "content": "h" * 1001}]},
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "h" * 1001}, "content": ""}},
    ],
)
def test_long_text_is_refused_before_the_library_sees_it(monkeypatch, spec):
    """Of a Unigram word of a million letters it makes a tree; freeing that ended the process."""
    monkeypatch.setattr(tokenizer_parts, "Tokenizer", None)
    with pytest.raises(ValueError, match="has a text of 1,001 letters"):
        check(spec)


@pytest.mark.parametrize(
    "model, sentence",
    [
        (None, "has no vocabulary"),
        ({"type": "Unigram"}, "has no vocabulary"),
        (WORDS | {"vocab": dict.fromkeys(map(str, range(11)), 0)}, "more than 10 words"),
        (WORDS | {"merges": ["a b"] * 21}, "or too many merges"),
        (
            {"type": "Unigram", "vocab": [["aéc", 0.0], ["b", 0.0], ["aé", 0.0]]},
            "more than 4 branches",
        ),
    ],
)
def test_vocabulary_that_takes_much_memory_is_refused(monkeypatch, model, sentence):
    monkeypatch.setattr(tokenizer_parts, "MOST_WORDS", 10)
    monkeypatch.setattr(tokenizer_parts, "MOST_MERGES", 20)
    monkeypatch.setattr(tokenizer_parts, "MOST_BRANCHES", 4)
    with pytest.raises(ValueError, match=sentence):
        check({"model": model})


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"max_input_chars_per_word": 101}, "searches words of more than 100 letters"),
        ({"max_input_chars_per_word": "101"}, "searches words of more than 100 letters"),
        ({"continuing_subword_prefix": "#" * 9}, "continuing_subword_prefix has more than 8"),
        ({"end_of_word_suffix": "#" * 9}, "end_of_word_suffix has more than 8 letters"),
    ],
)
def test_search_for_the_pieces_of_a_word_is_bounded(model, sentence):
    """A text of 8,000 letters, all one word, took 38 s."""
    pieces = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}}
    check({"model": pieces | {"max_input_chars_per_word": 100, "continuing_subword_prefix": "##"}})
    with pytest.raises(ValueError, match=sentence):
        check({"model": pieces | model})


@pytest.mark.parametrize(("count", "letters"), [(11, 1), (3, 11)])
def test_many_or_long_added_tokens_are_refused(monkeypatch, count, letters):
    """10,000 of 1,000 letters took 1 GB and 22 s."""
    monkeypatch.setattr(tokenizer_parts, "MOST_ADDED", 10)
    monkeypatch.setattr(tokenizer_parts, "MOST_ADDED_LETTERS", 30)
    check({"added_tokens": [{"id": 1, "content": "x" * 10}] * 3})
    with pytest.raises(ValueError, match="adds more than 10 tokens"):
        check({"added_tokens": [{"id": 1, "content": "x" * letters}] * count})


@pytest.mark.parametrize("normalized", [True, False])
def test_letters_of_added_tokens_are_counted_after_the_normalizer(monkeypatch, normalized):
    """U+FDFA alone becomes 18 letters; three parts together made 693 of one."""
    monkeypatch.setattr(tokenizer_parts, "MOST_ADDED_LETTERS", 100)
    token = {"id": 1, "content": "\ufdfa" * 3, "normalized": normalized}
    check({"normalizer": {"type": "NFKD"}, "added_tokens": [token]})
    if normalized:
        with pytest.raises(ValueError, match="very long ones"):
            check({"normalizer": {"type": "NFKD"}, "added_tokens": [token] * 2})
    else:
        check({"normalizer": {"type": "NFKD"}, "added_tokens": [token] * 2})


def test_branches_of_a_vocabulary_are_its_distinct_beginnings_in_bytes():
    words = ["aéc", "b", "aé", "ab", ""]
    beginnings = {word.encode()[:end] for word in words for end in range(1, len(word.encode()) + 1)}
    assert tokenizer_parts._branches([[word, 0.0] for word in words]) == len(beginnings) == 6


@pytest.mark.parametrize("name", ["normalizer", "pre_tokenizer", "post_processor", "decoder"])
@pytest.mark.parametrize("part", [{"type": "Digits", "individual_digits": True}, {"a": "?"}])
def test_many_parts_are_refused_before_the_library_sees_them(monkeypatch, name, part):
    """6,000 patterns of 0.9 MB each came in a file of 106 kB."""
    monkeypatch.setattr("rlhf_demo.models.tokenizer_parts._load_parts", None)
    many = {"type": "Sequence", f"{name}s": [part] * 101}
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    with pytest.raises(ValueError, match=f"its {name} has more than 100 parts"):
        check_parts({"model": model, name: many})


FAMILIES = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "GPT-4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def split_by(*patterns):
    parts = [
        {"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated", "invert": False}
        for text in patterns
    ]
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}


@pytest.mark.parametrize("family", FAMILIES)
def test_pattern_of_a_known_family_is_accepted(family):
    check(split_by(FAMILIES[family]))


@pytest.mark.parametrize(
    "pattern",
    [
        "h.{0,3}.{0,3}.*.*[^ -~]",  # passes each limit on repeats, and took hours
        "(?:.|.)(?:.|.)!X",
        "(h+)+X",
        r"\s+ ",
        "",
    ],
)
@pytest.mark.parametrize("place", ["normalizer", "pre_tokenizer", "decoder"])
def test_pattern_that_no_family_has_is_refused(pattern, place):
    replace = {"type": "Replace", "pattern": {"Regex": pattern}, "content": ""}
    with pytest.raises(ValueError, match="which no family has"):
        check(split_by(pattern) if place == "pre_tokenizer" else {place: replace})


def test_table_of_a_normalizer_may_be_long():
    table = base64.b64encode((0).to_bytes(4, "little") + b"ab\0" * 1000).decode()
    check({"normalizer": {"type": "Precompiled", "precompiled_charsmap": table}})
