"""Text for the base model: split documents into sentences, and cut those into segments of tokens.

Owns what counts as a sentence, a plain sentence and a segment; knows no model and no training.

    documents   one string each, as data/documents.py reads them
    sentences   of a document, cleaned, tokenised once and kept as 16-bit numbers
    segments    begin token, whole sentences up to a limit, end token; cut anew for every pass
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

CAPITALS = frozenset(
    {"I", "I'm", "I've", "I'd", "I'll", "DVD", "TV", "VHS", "CGI", "OK"}
    | {"American", "English", "British", "Hollywood", "Oscar", "Christmas"}
)
"""Capitalised words a plain sentence may hold after its first word."""

GENERAL_LIMITS = (24, 36, 48, 62)
"""Most tokens between begin and end; one is drawn for each segment."""
LONGEST_SEGMENT = max(GENERAL_LIMITS) + 2
"""Tokens, begin and end included."""

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

    Line breaks and `<br />` tags stay: they tell `sentences` where a paragraph ends.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    unwanted = ("Mn", "Cc")  # Unicode's categories of accents and of control characters
    return "".join(c for c in decomposed if c in "\n\t" or unicodedata.category(c) not in unwanted)


def sentences(text: str) -> list[str]:
    """Split a document into sentences; a line-break tag or an empty line ends one too."""
    found: list[str] = []
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


def common_words(texts: Iterable[str], count: int) -> frozenset[str]:
    """Return the `count` commonest words.

    A word counts where it stands in lower case only, so names are not among them.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in _words(text) if word.islower())
    return frozenset(word for word, _ in counts.most_common(count))


def is_plain(sentence: str, common: frozenset[str], longest: int) -> bool:
    """Say whether a small model can learn the sentence well.

    It is whole, has 4 words or more, all of them common, no names, and no signs but the usual ones.

    Args:
        sentence: cleaned.
        common: the words it may use; numbers and CAPITALS are allowed besides.
        longest: most words it may have.
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
    return [word for word in (found.strip("'") for found in _WORD.findall(text)) if word]


@dataclass(frozen=True)
class Corpus:
    """Tokenised sentences of some documents.

    Attributes:
        bare_ids: [tokens], the sentences one after the other, each as at the start of a text.
        bare_starts: [sentences + 1], where each begins in bare_ids.
        spaced_ids, spaced_starts: the same with a blank in front, as later in a text.
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
        """Share of the sentences that are plain."""
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

        A segment takes sentences up to a limit drawn for it. A longer first sentence gets the next
        limit that holds it; one beyond the highest limit is cut there and gets no end token.

        Args:
            documents: numbers of the documents to cut.
            eos_id: id of the token that begins and ends a text.
            rng: draws the limits.
            limits: most tokens between begin and end, ascending.
            plain: take the plain sentences only. Two stand in one segment only where nothing stood
                between them: what is joined across a gap teaches a model to contradict itself.

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
                    limit = next((more for more in limits if more >= max(limit, size)), limits[-1])
                last = number
            if pieces:
                yield self._close(pieces, eos_id, limit, last)

    def _close(self, pieces: list[np.ndarray], eos_id: int, limit: int, last: int) -> np.ndarray:
        """Put begin and end around the pieces; `last` is the number of the last sentence."""
        ids = np.concatenate(pieces)
        ends = self.whole[last] and len(ids) <= limit
        return np.concatenate([[eos_id], ids[:limit], [eos_id] if ends else []]).astype(ids.dtype)

    def packed(self, documents: np.ndarray, eos_id: int, size: int) -> Iterator[np.ndarray]:
        """Join whole documents, an EOS before each, and cut them every `size` tokens.

        What is left at the end is dropped; another pass has the documents in another order.
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
    """Return all ids one after the other and where each text begins."""
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    ids, sizes = [np.array([], dtype=kind)], [0]
    # In portions, because a list of ints takes 14 times the room of the array.
    for begin in range(0, len(texts), 20_000):
        portion = texts[begin : begin + 20_000]
        found = tokenizer(portion, add_special_tokens=False, verbose=False)["input_ids"]
        sizes += map(len, found)
        ids.append(np.fromiter((one for text in found for one in text), dtype=kind))
    return np.concatenate(ids), np.cumsum(sizes)


def plain_limits(longest: int) -> tuple[int, ...]:
    """Return the limits of plain segments of at most so many tokens between begin and end."""
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
    """Cut one pass over the documents into segments, in random order.

    Args:
        corpus: the documents.
        text_unit: packed, segments or plain, as in BaseConfig.
        eos_id: id of the token that begins and ends a text.
        size: tokens of a packed segment; the others keep to LONGEST_SEGMENT.
        rng: draws the order and the limits.
        plain_share: beside plain segments come general ones, until the plain ones hold this share
            of the tokens.
        longest_plain: most tokens of a plain segment between begin and end.

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
    return [segments[place] for place in rng.permutation(len(segments))]
