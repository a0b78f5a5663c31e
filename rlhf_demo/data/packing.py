"""Pack segments into rows of one fixed length, and make batches of such rows.

Knows nothing of models. Several segments share a row, and `Batch.segments` says which segment a
token belongs to, so that the trainer can keep their attention separate. This fills 99% of the
positions, against 83% with one segment a row, padded to the next of four lengths.
"""

from dataclasses import dataclass, field

import numpy as np

from rlhf_demo.data.corpus import Corpus, cut
from rlhf_demo.errors import DataError

HELD_OUT_TOKENS = 40_000
"""Tokens of each kind of segment for one evaluation."""


@dataclass(frozen=True)
class Batch:
    """Rows of several segments each.

    Attributes:
        ids: [rows, time], token ids; 0 in unfilled positions.
        segments: [rows, time], number of the segment in its row, from 1; 0 if unfilled.
        positions: [rows, time], position of the token in its segment.
    """

    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray


def batches(segments: list[np.ndarray], size: int, batch_tokens: int) -> list[Batch]:
    """Pack segments into rows of `size` tokens, and rows into batches of about `batch_tokens`.

    All batches have one shape, so that one graph is compiled; the last repeats the first rows.
    """
    rows = _pack(list(map(len, segments)), size)
    count = max(1, batch_tokens // size)
    packed: list[Batch] = []
    for begin in range(0, len(rows), count):
        ids, numbers, positions = np.zeros((3, count, size), dtype=np.int64)
        for index in range(count):
            end = 0
            for number, chosen in enumerate(rows[(begin + index) % len(rows)], start=1):
                segment = segments[chosen]
                span = slice(end, end + len(segment))
                ids[index, span], numbers[index, span] = segment, number
                positions[index, span] = np.arange(len(segment))
                end = span.stop
        packed.append(Batch(ids, numbers, positions))
    return packed


def _pack(lengths: list[int], size: int) -> list[list[int]]:
    """Fill rows one by one: the next segment, then repeatedly the longest that still fits.

    Returns:
        For each row, the indices in `lengths` of its segments.
    """
    waiting: dict[int, list[int]] = {}
    for number, length in reversed(list(enumerate(lengths))):
        waiting.setdefault(length, []).append(number)
    rows: list[list[int]] = []
    placed = [False] * len(lengths)
    for number, length in enumerate(lengths):
        if placed[number]:
            continue
        row: list[int] = []
        room = size
        while length:
            chosen = waiting[length].pop()
            placed[chosen] = True
            row.append(chosen)
            room -= length
            length = next((fits for fits in range(room, 0, -1) if waiting.get(fits)), 0)
        rows.append(row)
    return rows


@dataclass
class Stream:
    """Endless batches: each epoch cuts and packs the documents again.

    Attributes:
        seed: it and the epoch alone determine the order and the cuts.
        epoch: number of the pass over the documents, from 0.
        batch_index: batches of this epoch returned so far; a saved state needs only this and the
            epoch.
    """

    corpus: Corpus
    text_unit: str
    plain_share: float
    longest_plain: int
    eos_id: int
    row_tokens: int
    batch_tokens: int
    seed: int
    epoch: int = 0
    batch_index: int = 0
    _batches: list[Batch] = field(default_factory=list[Batch])

    def next(self) -> Batch:
        """Return the next batch.

        Raises:
            DataError: the documents give no segment for this text unit.
        """
        if not self._batches:
            self._batches = self._cut()
        if self.batch_index == len(self._batches):
            self.epoch, self.batch_index = self.epoch + 1, 0
            self._batches = self._cut()
        self.batch_index += 1
        return self._batches[self.batch_index - 1]

    def _cut(self) -> list[Batch]:
        rng = np.random.default_rng([self.seed, self.epoch])
        segments = cut(
            self.corpus, self.text_unit, self.eos_id, self.row_tokens, rng,
            self.plain_share, self.longest_plain,
        )  # fmt: skip
        if not segments:
            raise DataError(
                f"the text gives no row for the text unit {self.text_unit!r}: give more text, or "
                "another unit"
            )
        ordered = batches(segments, self.row_tokens, self.batch_tokens)
        return [ordered[index] for index in rng.permutation(len(ordered))]


def held_out_batches(
    corpus: Corpus,
    text_unit: str,
    longest_plain: int,
    eos_id: int,
    row_tokens: int,
    batch_tokens: int,
) -> dict[str, list[Batch]]:
    """Cut about HELD_OUT_TOKENS of the held-out documents, the same in every run.

    Returns:
        Batches by kind: "" for general segments (whole documents, if the text unit is packed), and
        "plain_" for plain segments, if it is plain. A kind without segments is left out.
    """
    units = {"": "packed" if text_unit == "packed" else "segments"}
    if text_unit == "plain":
        units["plain_"] = "plain"
    kept: dict[str, list[Batch]] = {}
    for kind, unit in units.items():
        rng = np.random.default_rng(0)
        segments = cut(corpus, unit, eos_id, row_tokens, rng, longest_plain=longest_plain)
        if segments:
            packed = batches(segments, row_tokens, batch_tokens)
            kept[kind] = packed[: max(1, HELD_OUT_TOKENS // batch_tokens)]
    return kept
