"""What counts as a sentence and as a plain one, and how documents are cut into segments."""

import numpy as np
import pytest

from rlhf_demo.data.corpus import (
    GENERAL_LIMITS,
    LONGEST_SEGMENT,
    Corpus,
    clean,
    common_words,
    cut,
    is_plain,
    plain_limits,
    sentences,
)
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS

EDGE = 0
PLAIN = "I liked the film very much."
ODD = "Zorblax Quux met Mr. Frobnitz in the film."


def rng():
    return np.random.default_rng(0)


WORDS = frozenset("i liked the film very much it was a good one and well made was".split())


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(CHECKPOINTS / "gpt2-mini")


def build(documents, tokenizer):
    return Corpus.build(documents, tokenizer, WORDS, longest=32)


def everything(corpus):
    return np.arange(len(corpus))


# -- sentences -------------------------------------------------------------------------------------


def test_clean_removes_accents_and_control_characters_and_straightens_quotes():
    assert clean("Amélie\x85 said “café” isn\u2019t naïve") == 'Amelie said "cafe" isn\'t naive'


def test_sentences_end_at_stops_and_line_break_tags_but_not_after_titles():
    text = 'Mr. Smith came. He said: "Go!" We went.<br /><br />A heading<BR>It was 3.5 stars? Yes'
    assert sentences(text) == [
        "Mr. Smith came.",
        'He said: "Go!"',
        "We went.",
        "A heading",
        "It was 3.5 stars?",
        "Yes",
    ]


@pytest.mark.parametrize("text", ["", " \n ", "<br />", "<br /><br/> \n\n"])
def test_sentences_of_a_text_without_words_are_none(text):
    assert sentences(text) == []


@pytest.mark.parametrize(
    "sentence",
    [
        PLAIN,
        "It was a good one, and I liked it!",
        "The film was well-made.",
        'It was a "good" film.',
        "It was 90 and very good.",
        "The DVD was very good.",
    ],
)
def test_is_plain_with_common_words_says_yes(sentence):
    assert is_plain(sentence, WORDS, longest=32)


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("I liked it.", "3 words"),
        ("I liked the film very much", "no end"),
        ("I liked the film Very much.", "a capital inside"),
        ("I liked the zorblax very much.", "a rare word"),
        ("the film was very good.", "begins small"),
        ("The film was good -- very good.", "a dash"),
        ("The film was good - very good.", "a dash"),
        ("The film was good... very good.", "dots in a row"),
        ("The film was very good!!", "two marks"),
        ("The film was 7/10 and good.", "an odd sign"),
        ('The film was "very good.', "a quote left open"),
        ("The film (was very good.", "a bracket left open"),
        ("The film was good.It was a good one.", "two sentences run together"),
    ],
)
def test_is_plain_with_something_odd_says_no(sentence, why):
    assert not is_plain(sentence, WORDS, longest=32), why


def test_is_plain_counts_words_up_to_the_longest_allowed():
    sentence = "It was " + "very " * 7 + "good."  # 10 words
    assert is_plain(sentence, WORDS, longest=10)
    assert not is_plain(sentence, WORDS, longest=9)


def test_common_words_leaves_out_names_and_what_is_rare():
    texts = ["Bob saw the film.", "Bob liked the film.", "Bob left."]
    # the: 2, film: 2, then three words that come once each, and Bob never in lower case.
    assert common_words(texts, count=2) == {"the", "film"}


# -- segments --------------------------------------------------------------------------------------


def test_segments_begin_and_end_with_the_edge_and_keep_to_the_limits(tokenizer):
    corpus = build([[PLAIN] * 30, [ODD] * 30], tokenizer)
    for plain, limits in ((False, GENERAL_LIMITS), (True, plain_limits(60))):
        found = list(corpus.segments(everything(corpus), EDGE, rng(), limits, plain=plain))
        assert found
        for segment in found:
            assert segment[0] == EDGE and segment[-1] == EDGE
            assert len(segment) <= max(limits) + 2 <= LONGEST_SEGMENT
            assert EDGE not in segment[1:-1]


def test_segments_decode_to_whole_sentences_in_the_order_of_the_document(tokenizer):
    document = ["It was a good film.", "I liked it.", "The end came too soon."]
    corpus = build([document], tokenizer)
    found = corpus.segments(everything(corpus), EDGE, rng(), GENERAL_LIMITS, plain=False)
    texts = [tokenizer.decode(segment, skip_special_tokens=True) for segment in found]
    assert " ".join(texts) == " ".join(document)


def test_segments_have_the_ids_the_tokenizer_gives_the_text(tokenizer):
    corpus = build([["It was a good film.", "I liked it."]], tokenizer)
    (segment,) = corpus.segments(everything(corpus), EDGE, rng(), GENERAL_LIMITS, plain=False)
    assert [*segment[:-1]] == tokenizer("It was a good film. I liked it.")["input_ids"]


def test_plain_segments_break_where_another_sentence_stood_between(tokenizer):
    corpus = build([[PLAIN, "It was very good.", ODD, "It was well made."]], tokenizer)
    found = list(corpus.segments(everything(corpus), EDGE, rng(), plain_limits(60), plain=True))
    texts = [tokenizer.decode(segment, skip_special_tokens=True) for segment in found]
    assert texts == [f"{PLAIN} It was very good.", "It was well made."]


def test_plain_limits_end_with_the_longest():
    assert plain_limits(60) == (20, 30, 45, 60)
    assert plain_limits(36) == (12, 18, 27, 36)


def test_segments_do_not_run_over_the_end_of_a_document(tokenizer):
    corpus = build([[PLAIN], [PLAIN]], tokenizer)
    found = list(corpus.segments(everything(corpus), EDGE, rng(), plain_limits(60), plain=True))
    assert len(found) == 2


def test_segments_cut_a_sentence_beyond_every_limit_and_do_not_end_it(tokenizer):
    corpus = build([["The film was " + "very " * 100 + "good."]], tokenizer)
    (segment,) = corpus.segments(everything(corpus), EDGE, rng(), GENERAL_LIMITS, plain=False)
    assert len(segment) == max(GENERAL_LIMITS) + 1  # the begin token, and no end token
    assert segment[-1] != EDGE


def test_segments_do_not_end_what_does_not_end_as_a_sentence(tokenizer):
    corpus = build([["A heading without a stop"]], tokenizer)
    (segment,) = corpus.segments(everything(corpus), EDGE, rng(), GENERAL_LIMITS, plain=False)
    assert segment[0] == EDGE and segment[-1] != EDGE


def test_cut_in_the_stage_plain_adds_general_segments_up_to_their_share(tokenizer):
    corpus = build([[PLAIN, ODD] * 3] * 200, tokenizer)
    found = cut(corpus, "plain", EDGE, 128, rng(), plain_share=0.7)
    odd = [segment for segment in found if "Zorblax" in tokenizer.decode(segment)]
    share = sum(map(len, odd)) / sum(map(len, found))
    assert share == pytest.approx(0.3, abs=0.02)


def test_cut_in_the_stage_packed_loses_only_the_last_unfilled_piece(tokenizer):
    corpus = build([[PLAIN, ODD]] * 10, tokenizer)
    found = cut(corpus, "packed", EDGE, 16, rng())
    assert {len(segment) for segment in found} == {16}
    # One edge before each document and one at the very end.
    tokens = 10 * (1 + len(tokenizer(f"{PLAIN} {ODD}", add_special_tokens=False)["input_ids"])) + 1
    assert sum(map(len, found)) == tokens // 16 * 16
