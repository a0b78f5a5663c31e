"""Rows are well filled, lose nothing, and come in an order that the seed and the pass decide."""

import numpy as np
import pytest

from rlhf_demo.data.corpus import Corpus
from rlhf_demo.data.packing import Stream, batches, held_out_batches
from rlhf_demo.errors import DataError
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS


def random_segments(count):
    rng = np.random.default_rng(0)
    return [
        np.full(length, number + 1, dtype=np.uint16)
        for number, length in enumerate(rng.integers(8, 63, count))
    ]


def corpus_of(documents):
    return Corpus.build(
        documents, load_tokenizer(CHECKPOINTS / "gpt2-mini"), frozenset("the film was".split()), 32
    )


def test_batches_hold_every_segment_whole_and_once():
    segments = random_segments(60)
    found = batches(segments, size=128, batch_tokens=128)  # one row each, so nothing is filled up
    places = [
        (batch.ids[0][batch.segments[0] == number], batch.positions[0][batch.segments[0] == number])
        for batch in found
        for number in range(1, batch.segments.max() + 1)
    ]
    assert sorted(ids[0] for ids, _ in places) == list(range(1, 61))
    for ids, positions in places:
        assert len(ids) == len(segments[ids[0] - 1]) and len(set(ids)) == 1
        assert [*positions] == list(range(len(ids)))


def test_batches_have_one_shape_and_are_nearly_full():
    found = batches(random_segments(2000), size=128, batch_tokens=1024)
    assert {batch.ids.shape for batch in found} == {(8, 128)}
    assert np.mean([(batch.segments > 0).mean() for batch in found]) > 0.98


def test_stream_set_to_a_place_goes_on_as_if_it_had_never_stopped():
    corpus = corpus_of([["The film was the film."] * 3] * 40)
    options = ("segments", 0.7, 60, 0, 64, 128, 5)
    stream = Stream(corpus, *options)
    seen = [stream.next().ids for _ in range(30)]  # more than one pass
    assert stream.epoch > 0
    for begin in range(1, 30, 4):
        other = Stream(corpus, *options)
        for _ in range(begin):
            other.next()
        again = Stream(corpus, *options, epoch=other.epoch, batch_index=other.batch_index)
        for ids in seen[begin:]:
            assert np.array_equal(again.next().ids, ids)


def test_stream_cuts_each_pass_anew():
    corpus = corpus_of([["The film was the film."] * 9] * 40)
    stream = Stream(corpus, "segments", 0.7, 60, 0, 128, 10_000, 0)
    first, second = stream.next(), stream.next()
    assert stream.epoch == 1
    assert not np.array_equal(first.ids, second.ids)


def test_stream_without_a_plain_sentence_says_so():
    corpus = corpus_of([["Nothing here is usual at all."]])
    with pytest.raises(DataError, match="no row for the text unit 'plain'"):
        Stream(corpus, "plain", 0.7, 60, 0, 64, 128, 0).next()


@pytest.mark.parametrize(
    ("unit", "kinds"), [("packed", {""}), ("segments", {""}), ("plain", {"", "plain_"})]
)
def test_held_out_batches_have_the_kinds_of_the_text_unit(unit, kinds):
    corpus = corpus_of([["The film was the film.", "Nothing here is usual."]] * 20)
    assert set(held_out_batches(corpus, unit, 60, 0, 64, 128)) == kinds


def test_held_out_batches_leave_out_a_kind_that_is_not_there():
    corpus = corpus_of([["Nothing here is usual at all."]] * 20)
    assert set(held_out_batches(corpus, "plain", 60, 0, 64, 128)) == {""}
