"""Refuse a tokenizer.json that blows up a short text, or whose search for a pattern never ends.

A normalizer may replace one letter by ten, and six such normalizers one letter by a million. The
text grows before it is cut to the model's length, so such parts have to be found in the file before
any text passes through them. Loading already passes some: the names of added tokens.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from os.path import commonprefix
from typing import Any

from tokenizers import Tokenizer

MOST_PARTS = 100
"""Objects in each of PARTS, braces in patterns included; common tokenizers have under 50. A
compiled pattern takes up to a megabyte."""

MOST_PREPENDED = 4
"""Characters that a part may put before a text."""

MOST_AROUND = 16
"""Tokens that a template may put around a text; encoders need 2 or 3."""

MOST_MAPPED = 64
"""Bytes that may replace one character; the longest in Unicode's own tables (U+FDFA) takes 33."""

MOST_LETTERS = 1000
"""Of a token, or of any other text in the file; GPT-2's longest token has 128."""

LONGEST_WORD = 100
"""Letters of a word that WordPiece searches for pieces, as in BERT. It tries and copies each part
of the word, so the time grows like the cube."""
MOST_AFFIX = 8
"""Letters of what marks a piece inside or at the end of a word: `##`, `</w>`."""

MOST_WORDS, MOST_MERGES = 300_000, 1_000_000
"""Gemma's vocabulary has 262,000 words and 515,000 merges."""

MOST_BRANCHES = 1_500_000
"""Branches in the tree of a Unigram model's words, of which the library keeps 365 to 700 bytes
each: one for each byte that a word does not share with the word before it in the alphabet."""

MOST_ADDED, MOST_ADDED_LETTERS = 10_000, 300_000
"""Tokens besides the vocabulary, and their letters, of which the library keeps 100 bytes each.
Gemma has 6,400 of 13 letters."""

LONG_TABLE = "precompiled_charsmap"
"""The only text that may be longer than MOST_LETTERS."""

PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")

NO_GROWTH = {"Sequence", "Strip", "StripAccents", "Split", "Digits", "Punctuation", "Replace"}
"""Parts that may occur several times, as long as no `Replace` inserts more than it removes."""

ENDINGS = r"'s|'t|'re|'ve|'m|'ll|'d"
WORD, SIGNS, BLANKS = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
)


def _cased(endings: str, numbers: str) -> str:
    """Return the pattern that splits words where small letters follow capitals."""
    upper, lower = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
    before = r"[^\r\n\p{L}\p{N}]?"
    words = rf"{before}[{upper}]*[{lower}]+{endings}|{before}[{upper}]+[{lower}]*{endings}"
    return rf"{words}|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{BLANKS}"


PATTERNS = {
    # GPT-2, and models that write its pattern out
    rf"{ENDINGS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+",
    # GPT-4 and Llama 3; Qwen 2 and 3, which split numbers into digits
    rf"(?i:{ENDINGS})|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|{BLANKS}",
    rf"(?i:{ENDINGS})|{WORD}|\p{{N}}|{SIGNS}|{BLANKS}",
    # GPT-4o and Mistral's Tekken
    _cased(rf"(?i:{ENDINGS})?", r"\p{N}{1,3}"),
    _cased("", r"\p{N}"),
    # Bloom
    " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+",
    # parts of several: blanks, lines, numbers
    r"\s+", " {2,}", r"[\r\n]", r"\p{N}", r"\p{N}{1,3}", r"\d", r"[0-9]", r"[0-9][0-9][0-9]",
}  # fmt: skip
"""Patterns by which the families split texts. The search for another pattern may take hours: how
long cannot be read off a pattern, and trying it shows only the time for the texts that were tried.
"""

MOST_EACH = 16
"""Tokens that one letter of English may become; byte by byte it is one, spelled out ten."""

SHORT, MOST_TOKENS = "Good morning, 12", 144
"""A text, and the most tokens it may become: 8 for each letter, plus MOST_AROUND."""

PROBE = "".join(letter * 500 for letter in "a 1.\n\u00e9") + "Good morning, 12 times. " * 50
"""A longer text, with letters of several kinds."""


def check_parts(spec: Any) -> None:
    """Check what a tokenizer.json holds.

    Raises:
        ValueError: a text may grow without bound, or the search for a pattern may never end.
    """
    if not isinstance(spec, dict):
        raise ValueError("its tokenizer.json holds no tokenizer")
    for text in _texts(spec):
        if len(text) > MOST_LETTERS:
            raise ValueError(f"its tokenizer.json has a text of {len(text):,} letters")
    _check_model(spec.get("model"))
    for name in PARTS:
        if json.dumps(spec.get(name)).count("{") > MOST_PARTS:
            raise ValueError(f"its {name} has more than {MOST_PARTS} parts")
    added = spec.get("added_tokens") or []
    loaded = _load_parts(spec)
    spec = json.loads(loaded.to_str())
    for name in PARTS:
        seen: Counter[str] = Counter()
        for part in _parts(spec.get(name)):
            _check_part(part)
            seen[_kind(part)] += 1
        for kind, count in seen.items():
            if count > 1 and kind not in NO_GROWTH:
                raise ValueError(f"its {name} has {kind} {count} times, so that texts grow")
    _check_added(added, loaded.normalizer)


def _texts(spec: Any) -> Iterator[str]:
    """Yield all texts in a JSON value, keys included, except the long table."""
    waiting = [spec]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            waiting += [child for key, child in value.items() if key != LONG_TABLE]
        elif isinstance(value, list):
            waiting += value


def _check_model(model: Any) -> None:
    """Refuse a vocabulary that takes much more memory in the library than in the file, and words so
    long that the search for their pieces never ends.

    Raises:
        ValueError: it is one, or of an unknown form.
    """
    words = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(words, dict | list):
        raise ValueError("its tokenizer.json has no vocabulary")
    if len(words) > MOST_WORDS or len(model.get("merges") or ()) > MOST_MERGES:
        raise ValueError(f"its vocabulary has more than {MOST_WORDS:,} words, or too many merges")
    if isinstance(words, list) and _branches(words) > MOST_BRANCHES:
        raise ValueError(f"its Unigram vocabulary has more than {MOST_BRANCHES:,} branches")
    longest = model.get("max_input_chars_per_word", LONGEST_WORD)
    if type(longest) is not int or longest > LONGEST_WORD:
        raise ValueError(f"it searches words of more than {LONGEST_WORD} letters for their pieces")
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if len(str(model.get(key) or "")) > MOST_AFFIX:
            raise ValueError(f"its {key} has more than {MOST_AFFIX} letters")


def _branches(words: list[Any]) -> int:
    count, before = 0, b""
    for word in sorted(text.encode() for text in _texts(words)):
        count += len(word) - len(commonprefix([before, word]))  # noqa: RUF071  (bytes, not a path)
        before = word
    return count


def _check_added(tokens: list[Any], normalizer: Any) -> None:
    """Count the letters of added tokens as the library does, after the normalizer.

    Raises:
        ValueError: there are too many tokens or letters.
    """
    letters = 0
    for token in tokens:
        text = token.get("content")
        if normalizer is not None and token.get("normalized"):
            text = normalizer.normalize_str(text)
        letters += len(text)
        if len(tokens) > MOST_ADDED or letters > MOST_ADDED_LETTERS:
            raise ValueError(f"it adds more than {MOST_ADDED:,} tokens, or very long ones")


def _load_parts(spec: dict[str, Any]) -> Tokenizer:
    """Let the library read the parts, without the vocabulary.

    It also reads parts of another form, without or with a wrong type, and writes all in one form.
    """
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}  # a small one, for speed
    alone = {"version": "1.0", "added_tokens": [], "model": model}
    parts = {name: spec.get(name) for name in PARTS}
    return parse(alone | parts)


def parse(spec: dict[str, Any]) -> Tokenizer:
    """Let the library read what a tokenizer.json holds.

    Raises:
        ValueError: it cannot, or it panics.
    """
    try:
        return Tokenizer.from_str(json.dumps(spec))
    except BaseException as error:  # the library raises nothing more precise
        if not (isinstance(error, Exception) or panicked(error)):
            raise
        raise ValueError("its tokenizer.json cannot be loaded") from error


def panicked(error: BaseException) -> bool:
    """Say whether this is how a library in Rust ends; it is not an Exception."""
    return type(error).__name__ == "PanicException"


def _parts(spec: Any) -> Iterator[dict[str, Any]]:
    """Yield a part and all parts inside it."""
    if isinstance(spec, dict):
        if "type" in spec:
            yield spec
        inside: Any = spec.values()
    else:
        inside = spec if isinstance(spec, list) else ()
    for child in inside:
        yield from _parts(child)


def _kind(part: dict[str, Any]) -> str:
    by_pattern = part["type"] == "Replace" and "String" not in part["pattern"]
    return "Replace by a pattern" if by_pattern else str(part["type"])


def _check_part(part: dict[str, Any]) -> None:
    pattern = part.get("pattern") or {}
    if "Regex" in pattern:
        _check_pattern(pattern["Regex"])
    if part["type"] == "Replace" and len(part["content"]) > len(pattern.get("String", "1")):
        raise ValueError("its tokenizer inserts more letters than it removes")
    if part["type"] == "Prepend" and len(part["prepend"]) > MOST_PREPENDED:
        raise ValueError("its tokenizer prepends many letters")
    if part["type"] == "TemplateProcessing":
        _check_template(part)
    if part["type"] == "Precompiled":
        table = base64.b64decode(part["precompiled_charsmap"])
        texts = table[4 + int.from_bytes(table[:4], "little") :]  # a trie of that size comes first
        if max(map(len, texts.split(b"\0"))) > MOST_MAPPED:
            raise ValueError("its tokenizer replaces one letter by a long text")


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern whose search may take very long."""
    if pattern not in PATTERNS:
        raise ValueError(f"its tokenizer has the pattern {pattern[:60]!r}, which no family has")


def _check_template(part: dict[str, Any]) -> None:
    """Check how the template puts a text, or two, and special tokens together."""
    for pieces in (part["single"], part["pair"]):
        texts = [piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece]
        if len(texts) > len(set(texts)):
            raise ValueError("its tokenizer inserts a text more than once")
        named = [piece["SpecialToken"]["id"] for piece in pieces if "SpecialToken" in piece]
        if sum(len(part["special_tokens"][name]["ids"]) for name in named) > MOST_AROUND:
            raise ValueError(f"its tokenizer puts more than {MOST_AROUND} tokens around a text")
