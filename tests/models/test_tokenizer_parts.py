"""What a tokenizer.json may do to a text; how it is loaded is in test_loading.py."""

import pytest

from rlhf_demo.models.tokenizer_parts import check_parts


@pytest.mark.parametrize(
    "normalizers, sentence",
    [
        ([{"type": "Lowercase"}] * 2, "its normalizer has Lowercase 2 times, so that texts grow"),
        ([{"type": "Prepend", "prepend": "abcde"}], "prepends many letters"),
        (
            [{"type": "Replace", "pattern": {"String": "ab"}, "content": "abc"}],
            "inserts more letters",
        ),
        ([{"type": "Replace", "pattern": {"Regex": "(a|b)*"}, "content": ""}], "a repeated group"),
    ],
)
def test_part_that_lets_texts_grow_is_named(normalizers, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_parts({"normalizer": {"type": "Sequence", "normalizers": normalizers}})


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
        check_parts({"normalizer": normalizer})


def test_part_that_the_library_does_not_know_is_refused():
    with pytest.raises(ValueError, match="cannot be loaded"):
        check_parts({"normalizer": {"type": "Tenfold"}})


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
        check_parts(processed({"type": "Sequence", "processors": processors}))


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
    check_parts(processed(processor))
