"""Text for the base model: read documents, clean them, split them into sentences, cut it into segments of tokens.

Owns what counts as a sentence, as a plain sentence and as a segment; knows nothing of models or training.

    documents   one string each, in the file's own order; the held-out ones are set apart before anything is counted
    sentences   of a document, tokenised once and kept as 16-bit numbers
    segments    begin token, whole sentences up to a limit, end token; cut anew for every pass over the data
    batches     segments packed into rows of one fixed length
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

COMMON_WORDS = 8000
"""A plain sentence uses only so many of the commonest words."""
CAPITALS = frozenset(
    "I I'm I've I'd I'll DVD TV VHS CGI OK American English British Hollywood Oscar Christmas".split()
)
"""Capitalised words a plain sentence may hold after its first word."""

GENERAL_LIMITS = (24, 36, 48, 62)
PLAIN_LIMITS = (20, 32, 46, 60)
"""Most tokens between begin and end; one is drawn for each segment."""
ROW_TOKENS = 128
"""Several segments share a row of this many tokens; attention is kept apart."""
PACKED_TOKENS = 256
"""Tokens of a row in the stage `packed`, less where the model takes fewer."""
PLAIN_SHARE = 0.7
"""Share of the tokens that are plain rows in the stage `plain`."""

_BREAK = re.compile(r"(?:\s*<br\s*/?>\s*)+|\n\s*\n", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:^|[\s(\"'])(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Prof|Lt|Sgt|Capt|[A-Z])\.$")
_ENDS = re.compile(r"[.!?][\"')]*$")
_PLAIN_SHAPE = re.compile(r"[\"'(]?[A-Z][A-Za-z0-9 ,.!?;:'\"()-]*")
_NOT_PLAIN = re.compile(r"[.!?]{2}|--| -|- |,,|[a-z][.!?][A-Za-z]")
_WORD = re.compile(r"[A-Za-z0-9']+")


def clean(text: str) -> str:
    """Return the text without accents and without control characters; line-break tags stay for `sentences`."""
    text = text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(mark for mark in decomposed if unicodedata.category(mark) not in ("Mn", "Cc") or mark in "\n\t")


def sentences(text: str) -> list[str]:
    """Split a document into sentences; a line-break tag or an empty line ends one too."""
    found = []
    for paragraph in _BREAK.split(clean(text)):
        paragraph = " ".join(paragraph.split())
        begin = 0
        for gap in _SENTENCE_END.finditer(paragraph):
            sentence = paragraph[begin : gap.end()].rstrip()
            if not _ABBREVIATION.search(sentence):
                found.append(sentence)
                begin = gap.end()
        if paragraph[begin:]:
            found.append(paragraph[begin:])
    return found


def is_whole(sentence: str) -> bool:
    """Say whether the sentence ends as one does, so that an end token may follow."""
    return _ENDS.search(sentence) is not None


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the commonest words, counted where they stand in lower case: so names are not among them."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in _words(text) if word.islower())
    return frozenset(word for word, _ in counts.most_common(COMMON_WORDS))


def is_plain(sentence: str, common: frozenset[str]) -> bool:
    """Say whether a small model can learn the sentence well: short, whole, of common words, no names, no odd signs."""
    if not _PLAIN_SHAPE.fullmatch(sentence) or not is_whole(sentence) or _NOT_PLAIN.search(sentence):
        return False
    if sentence.count('"') % 2 or sentence.count("(") != sentence.count(")"):
        return False
    if not 4 <= len(sentence.split()) <= 32:
        return False
    first, *others = _words(sentence)
    return (first in CAPITALS or first.lower() in common) and all(
        word in common or word in CAPITALS or word.isdigit() for word in others
    )


def _words(text: str) -> list[str]:
    return [word for word in (found.strip("'") for found in _WORD.findall(text)) if word]


@dataclass(frozen=True)
class Corpus:
    """Tokenised sentences of some documents.

    Attributes:
        bare_ids: [tokens], all sentences one after the other, each as it stands at the start of a row.
        bare_starts: [sentences + 1], where each begins in bare_ids.
        spaced_ids, spaced_starts: the same with the blank that stands before a sentence inside a row.
        plain: [sentences], True = plain sentence.
        whole: [sentences], True = ends as a sentence does.
        document_starts: [documents + 1], number of each document's first sentence.
    """

    bare_ids: np.ndarray
    bare_starts: np.ndarray
    spaced_ids: np.ndarray
    spaced_starts: np.ndarray
    plain: np.ndarray
    whole: np.ndarray
    document_starts: np.ndarray

    @classmethod
    def build(
        cls, documents: list[list[str]], tokenizer: PreTrainedTokenizerBase, common: frozenset[str]
    ) -> "Corpus":
        """Tokenise documents given as lists of sentences."""
        flat = [sentence for document in documents for sentence in document]
        return cls(
            *_tokenise(flat, tokenizer),
            *_tokenise([" " + sentence for sentence in flat], tokenizer),
            plain=np.array([is_plain(sentence, common) for sentence in flat], dtype=bool),
            whole=np.array([is_whole(sentence) for sentence in flat], dtype=bool),
            document_starts=np.cumsum([0, *map(len, documents)]),
        )

    def __len__(self) -> int:
        return len(self.document_starts) - 1

    def segments(
        self, documents: np.ndarray, edge: int, rng: np.random.Generator, *, plain: bool
    ) -> Iterator[np.ndarray]:
        """Cut documents into segments of whole sentences.

        A segment takes sentences up to a limit drawn for it; a longer first sentence gets the next limit that
        holds it, and one beyond the highest limit is cut there and gets no end token.

        Args:
            documents: numbers of the documents to cut.
            edge: id of the token that begins and ends a text.
            rng: draws the limits.
            plain: take only the plain sentences, which then follow each other even where others stood between.
        Yields:
            [time] token ids.
        """
        limits = PLAIN_LIMITS if plain else GENERAL_LIMITS
        bare, spaced = self.bare_starts.tolist(), self.spaced_starts.tolist()
        plain_flags, starts = self.plain.tolist(), self.document_starts.tolist()
        for document in documents.tolist():
            row: list[np.ndarray] = []
            size, limit, last = 0, 0, 0
            for number in range(starts[document], starts[document + 1]):
                if plain and not plain_flags[number]:
                    continue
                if row and size + spaced[number + 1] - spaced[number] <= limit:
                    row.append(self.spaced_ids[spaced[number] : spaced[number + 1]])
                    size += len(row[-1])
                else:
                    if row:
                        yield self._close(row, edge, limit, last)
                    row = [self.bare_ids[bare[number] : bare[number + 1]]]
                    size = len(row[0])
                    limit = int(rng.choice(limits))
                    limit = next((more for more in limits if more >= max(limit, size)), limits[-1])
                last = number
            if row:
                yield self._close(row, edge, limit, last)

    def _close(self, row: list[np.ndarray], edge: int, limit: int, last: int) -> np.ndarray:
        ids = np.concatenate(row)
        ends = self.whole[last] and len(ids) <= limit
        return np.concatenate([[edge], ids[:limit], [edge] if ends else []]).astype(ids.dtype)

    def packed(self, documents: np.ndarray, edge: int, size: int) -> Iterator[np.ndarray]:
        """Join whole documents, an edge token before each, and cut them every `size` tokens; the rest is left out."""
        pieces: list[np.ndarray] = []
        for document in documents.tolist():
            first, stop = self.document_starts[document], self.document_starts[document + 1]
            pieces.append(np.array([edge], dtype=self.bare_ids.dtype))
            pieces.append(self.bare_ids[self.bare_starts[first] : self.bare_starts[first + 1]])
            pieces.append(self.spaced_ids[self.spaced_starts[first + 1] : self.spaced_starts[stop]])
        joined = np.concatenate([*pieces, np.array([edge], dtype=self.bare_ids.dtype)])
        yield from (joined[begin:end] for begin, end in pairwise(range(0, len(joined) + 1, size)))


def _tokenise(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    """Return all ids one after the other and where each text begins."""
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    ids, sizes = [], [0]
    for begin in range(0, len(texts), 20_000):  # in portions: a list of ints takes 14 times the room
        found = tokenizer(texts[begin : begin + 20_000], add_special_tokens=False, verbose=False)["input_ids"]
        sizes += map(len, found)
        ids += [np.fromiter((one for text in found for one in text), dtype=kind)]
    return np.concatenate(ids), np.cumsum(sizes)


def cut(corpus: Corpus, stage: str, edge: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut one pass over the documents into segments, in random order: [time] token ids each, at most `size`."""
    order = rng.permutation(len(corpus))
    if stage == "packed":
        return list(corpus.packed(order, edge, size))
    segments = list(corpus.segments(order, edge, rng, plain=stage != "segments"))
    if stage == "plain":
        general_tokens = sum(map(len, segments)) * (1 - PLAIN_SHARE) / PLAIN_SHARE
        for segment in corpus.segments(order, edge, rng, plain=False):
            general_tokens -= len(segment)
            if general_tokens < 0:
                break
            segments.append(segment)
    return [segments[place] for place in rng.permutation(len(segments))]


@dataclass(frozen=True)
class Batch:
    """Rows that hold several segments each.

    Attributes:
        ids: [rows, time], token ids, 0 where a row is not filled.
        segments: [rows, time], 1, 2, ... number of the segment in its row; 0 where a row is not filled.
        positions: [rows, time], place of the token in its segment.
    """

    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray


def batches(segments: list[np.ndarray], size: int, batch_tokens: int) -> list[Batch]:
    """Pack segments into rows of `size` tokens and rows into batches of about `batch_tokens`, all of one shape.

    The last batch is filled up with the first rows.
    """
    rows = _pack(list(map(len, segments)), size)
    count = max(1, batch_tokens // size)
    found = []
    for begin in range(0, len(rows), count):
        ids, numbers, positions = np.zeros((3, count, size), dtype=np.int64)
        for place in range(count):
            end = 0
            for number, chosen in enumerate(rows[(begin + place) % len(rows)], start=1):
                segment = segments[chosen]
                span = slice(end, end + len(segment))
                ids[place, span], numbers[place, span] = segment, number
                positions[place, span] = np.arange(len(segment))
                end = span.stop
        found.append(Batch(ids, numbers, positions))
    return found


def _pack(lengths: list[int], size: int) -> list[list[int]]:
    """Fill rows one by one: the next segment, then again and again the longest one that still fits."""
    waiting: dict[int, list[int]] = {}
    for number, length in reversed(list(enumerate(lengths))):
        waiting.setdefault(length, []).append(number)
    rows, placed = [], [False] * len(lengths)
    for number, length in enumerate(lengths):
        if placed[number]:
            continue
        row, room = [], size
        while length:
            chosen = waiting[length].pop()
            placed[chosen] = True
            row.append(chosen)
            room -= length
            length = next((fits for fits in range(room, 0, -1) if waiting.get(fits)), 0)
        rows.append(row)
    return rows
