"""Text for the base model: split documents into sentences, and cut those into segments of tokens.

Defines what a sentence, a plain sentence and a segment are; knows no model and no training.

    documents   strings, as data/documents.py reads them
    sentences   of a document, cleaned, tokenised once and kept as 16-bit numbers
    segments    begin token, whole sentences up to a limit, end token; cut again for every epoch
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

CAPITALS = frozenset(
    {"I", "I'm", "I've", "I'd", "I'll", "DVD", "TV", "VHS", "CGI", "OK"}
    | {"American", "English", "British", "Hollywood", "Oscar", "Christmas"}
)
"""Capitalised words that a plain sentence may contain after its first word."""

GENERAL_LIMITS = (24, 36, 48, 62)
"""Limits of the tokens between begin and end; each segment draws one of them."""
LONGEST_SEGMENT = max(GENERAL_LIMITS) + 2
"""Tokens of the longest segment, with begin and end."""

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_BREAK = re.compile(r"(?:\s*<br\s*/?>\s*)+|\n\s*\n", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Prof|Lt|Sgt|Capt|[A-Z])\.$"
)
_ENDS = re.compile(r"[.!?][\"')]*$")
_PLAIN_SHAPE = re.compile(r"[\"'(]?[A-Z][A-Za-z0-9 ,.!?;:'\"()-]*")
_NOT_PLAIN = re.compile(r"[.!?]{2}|--| -|- |,,|[a-z][.!?][A-Za-z]")
_WORD = re.compile(r"[A-Za-z0-9']+")


def clean(text: str) -> str:
    """Return the text with plain quotes and without accents and control characters.

    Line breaks and `<br />` tags stay: they show `sentences` where a paragraph ends.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    unwanted = ("Mn", "Cc")  # Unicode's categories of accents and of control characters
    return "".join(c for c in decomposed if c in "\n\t" or unicodedata.category(c) not in unwanted)


def sentences(text: str) -> list[str]:
    """Split a document into sentences; a line-break tag or an empty line also ends a sentence."""
    split: list[str] = []
    for paragraph in _BREAK.split(clean(text)):
        paragraph = " ".join(paragraph.split())
        begin = 0
        for gap in _SENTENCE_END.finditer(paragraph):
            sentence = paragraph[begin : gap.end()].rstrip()
            if not _ABBREVIATION.search(sentence):
                split.append(sentence)
                begin = gap.end()
        if paragraph[begin:]:
            split.append(paragraph[begin:])
    return split


def is_whole(sentence: str) -> bool:
    """Say whether the sentence has its final punctuation, so that an end token may follow."""
    return _ENDS.search(sentence) is not None


def common_words(texts: Iterable[str], count: int) -> frozenset[str]:
    """Return the `count` commonest words.

    A word counts only in lower case, so names are not among them.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in _words(text) if word.islower())
    return frozenset(word for word, _ in counts.most_common(count))


def is_plain(sentence: str, common: frozenset[str], longest: int) -> bool:
    """Say whether a small model can learn the sentence well.

    It is whole, has 4 words or more, all of them common, no names, and only usual punctuation.

    Args:
        sentence: cleaned.
        common: the words that it may use, besides numbers and CAPITALS.
        longest: the most words that it may have.
    """
    if not is_whole(sentence) or not _PLAIN_SHAPE.fullmatch(sentence):
        return False
    if _NOT_PLAIN.search(sentence):
        return False
    if sentence.count('"') % 2 or sentence.count("(") != sentence.count(")"):
        return False
    if not 4 <= len(sentence.split()) <= longest:
        return False
    first, *others = _words(sentence)
    return (first in CAPITALS or first.lower() in common) and all(
        word in common or word in CAPITALS or word.isdigit() for word in others
    )


def _words(text: str) -> list[str]:
    return [word for word in (match.strip("'") for match in _WORD.findall(text)) if word]


@dataclass(frozen=True)
class Corpus:
    """Tokenised sentences of some documents.

    Attributes:
        bare_ids: [tokens], the sentences one after the other, tokenised as the start of a text.
        bare_starts: [sentences + 1], where each sentence begins in bare_ids.
        spaced_ids, spaced_starts: the same with a blank in front, as later in a text.
        plain: [sentences], True = plain sentence.
        whole: [sentences], True = `is_whole`.
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
        cls,
        documents: list[list[str]],
        tokenizer: PreTrainedTokenizerBase,
        common: frozenset[str],
        longest: int,
    ) -> "Corpus":
        """Tokenise documents given as lists of sentences."""
        flat = [sentence for document in documents for sentence in document]
        return cls(
            *_tokenise(flat, tokenizer),
            *_tokenise([" " + sentence for sentence in flat], tokenizer),
            plain=np.array([is_plain(sentence, common, longest) for sentence in flat], dtype=bool),
            whole=np.array([is_whole(sentence) for sentence in flat], dtype=bool),
            document_starts=np.cumsum([0, *map(len, documents)]),
        )

    def __len__(self) -> int:
        return len(self.document_starts) - 1

    @property
    def plain_share(self) -> float:
        """Share of plain sentences."""
        return float(self.plain.sum() / max(1, len(self.plain)))

    def segments(
        self,
        documents: np.ndarray,
        eos_id: int,
        rng: np.random.Generator,
        limits: tuple[int, ...],
        *,
        plain: bool,
    ) -> Iterator[np.ndarray]:
        """Cut documents into segments of whole sentences.

        Each segment draws a limit and takes sentences up to it. If the first sentence is longer,
        the limit is the next higher one that fits. A sentence above the highest limit is cut there
        and gets no end token.

        Args:
            documents: numbers of the documents to cut.
            eos_id: id of the token that begins and ends a text.
            rng: draws the limits.
            limits: limits of the tokens between begin and end, ascending.
            plain: take only plain sentences. A segment joins two only if they were neighbours:
                sentences joined across a gap teach a model to contradict itself.

        Yields:
            [time] token ids.
        """
        bare, spaced = self.bare_starts.tolist(), self.spaced_starts.tolist()
        plain_flags, starts = self.plain.tolist(), self.document_starts.tolist()
        for document in documents.tolist():
            pieces: list[np.ndarray] = []
            size, limit, last = 0, 0, 0
            for number in range(starts[document], starts[document + 1]):
                if plain and not plain_flags[number]:
                    continue
                adjoins = not plain or last == number - 1
                if pieces and adjoins and size + spaced[number + 1] - spaced[number] <= limit:
                    pieces.append(self.spaced_ids[spaced[number] : spaced[number + 1]])
                    size += len(pieces[-1])
                else:
                    if pieces:
                        yield self._close(pieces, eos_id, limit, last)
                    pieces = [self.bare_ids[bare[number] : bare[number + 1]]]
                    size = len(pieces[0])
                    limit = int(rng.choice(limits))
                    limit = next(
                        (higher for higher in limits if higher >= max(limit, size)), limits[-1]
                    )
                last = number
            if pieces:
                yield self._close(pieces, eos_id, limit, last)

    def _close(self, pieces: list[np.ndarray], eos_id: int, limit: int, last: int) -> np.ndarray:
        """Put begin and end around the pieces; `last` is the number of the last sentence."""
        ids = np.concatenate(pieces)
        ends = self.whole[last] and len(ids) <= limit
        return np.concatenate([[eos_id], ids[:limit], [eos_id] if ends else []]).astype(ids.dtype)

    def packed(self, documents: np.ndarray, eos_id: int, size: int) -> Iterator[np.ndarray]:
        """Join whole documents, each after an EOS, and cut them every `size` tokens.

        The rest at the end is dropped; another epoch has the documents in another order.
        """
        pieces: list[np.ndarray] = []
        for document in documents.tolist():
            first, stop = self.document_starts[document], self.document_starts[document + 1]
            pieces.append(np.array([eos_id], dtype=self.bare_ids.dtype))
            pieces.append(self.bare_ids[self.bare_starts[first] : self.bare_starts[first + 1]])
            pieces.append(self.spaced_ids[self.spaced_starts[first + 1] : self.spaced_starts[stop]])
        joined = np.concatenate([*pieces, np.array([eos_id], dtype=self.bare_ids.dtype)])
        yield from (joined[begin:end] for begin, end in pairwise(range(0, len(joined) + 1, size)))


def _tokenise(
    texts: list[str], tokenizer: PreTrainedTokenizerBase
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of all texts one after the other, and where each text begins."""
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    ids, sizes = [np.array([], dtype=kind)], [0]
    # In portions, because a list of ints takes 14 times the memory of the array.
    for begin in range(0, len(texts), 20_000):
        portion = texts[begin : begin + 20_000]
        tokenised = tokenizer(portion, add_special_tokens=False, verbose=False)["input_ids"]
        sizes += map(len, tokenised)
        ids.append(np.fromiter(chain.from_iterable(tokenised), dtype=kind))
    return np.concatenate(ids), np.cumsum(sizes)


def plain_limits(longest: int) -> tuple[int, ...]:
    """Return the limits of plain segments with at most `longest` tokens between begin and end."""
    return tuple(round(longest * share) for share in (1 / 3, 1 / 2, 3 / 4, 1))


def cut(
    corpus: Corpus,
    text_unit: str,
    eos_id: int,
    size: int,
    rng: np.random.Generator,
    plain_share: float = 1.0,
    longest_plain: int = 60,
) -> list[np.ndarray]:
    """Cut the documents into segments for one epoch, in random order.

    Args:
        corpus: the documents.
        text_unit: packed, segments or plain, as in BaseConfig.
        eos_id: id of the token that begins and ends a text.
        size: tokens of a packed segment; the others have at most LONGEST_SEGMENT.
        rng: draws the order and the limits.
        plain_share: share of the tokens in plain segments; general segments make up the rest.
        longest_plain: the most tokens of a plain segment between begin and end.

    Returns:
        [time] token ids each.
    """
    order = rng.permutation(len(corpus))
    if text_unit == "packed":
        return list(corpus.packed(order, eos_id, size))
    limits = GENERAL_LIMITS if text_unit == "segments" else plain_limits(longest_plain)
    segments = list(corpus.segments(order, eos_id, rng, limits, plain=text_unit != "segments"))
    if text_unit == "plain":
        general_tokens = sum(map(len, segments)) * (1 - plain_share) / plain_share
        for segment in corpus.segments(order, eos_id, rng, GENERAL_LIMITS, plain=False):
            general_tokens -= len(segment)
            if general_tokens < 0:
                break
            segments.append(segment)
    return [segments[index] for index in rng.permutation(len(segments))]
