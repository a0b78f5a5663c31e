"""Refuse a tokenizer.json by which a short text becomes a long one, or a search that never ends.

A normalizer may put ten letters for each one, and six of them a million. The text is made before it
is cut to what a model takes, so what grows is found in the file, before any text goes through it:
the names of added tokens do when it is loaded.
"""

import base64
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_demo.files import read_json

MOST_FILE = 2**26
"""Bytes; that of a vocabulary of 256,000 words takes 35 million."""

MOST_PUT_IN = 4
"""Characters that are put before a text."""

MOST_AROUND = 16
"""Tokens that are put around a text; encoders take 2 or 3."""

MOST_MAPPED = 64
"""Bytes for one character; the longest of Unicode's own (U+FDFA) takes 33."""

NO_GROWTH = {"Sequence", "Strip", "StripAccents", "Split", "Digits", "Punctuation", "Replace"}
"""Parts that may stand there several times, if each `Replace` puts in no more than it takes out."""

NESTED = re.compile(r"\)[*+{]|\\[gk1-9]")
"""A repeated group, or one that is named again: the search may take exponential time."""

SHORT, MOST_TOKENS = "Good morning, 12", 144
"""A text, and how many tokens it may come to: 8 for each letter, and MOST_AROUND."""

PROBE = "".join(letter * 500 for letter in "a 1.\n\u00e9") + "Good morning, 12 times. " * 50
"""A text in which a search of polynomial time goes on and on."""


def check_parts(path: Path) -> None:
    """Check what a tokenizer.json does to a text.

    Raises:
        ValueError: a text may grow without bound, or a pattern may be searched for ever.
        DataError: it is not JSON, or too large.
    """
    spec = read_json(path, MOST_FILE)
    if not isinstance(spec, dict):
        raise ValueError("its tokenizer.json holds no tokenizer")
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        seen: Counter[str] = Counter()
        for part in _parts(spec.get(name)):
            _check_part(part)
            seen[_kind(part)] += 1
        for kind, count in seen.items():
            if count > 1 and kind not in NO_GROWTH:
                raise ValueError(f"its {name} has {kind} {count} times, so that texts grow")


def _parts(spec: Any) -> Iterator[dict[str, Any]]:
    """Yield a part and all inside it."""
    if isinstance(spec, dict):
        if "type" in spec:
            yield spec
        inside: Any = spec.values()
    else:
        inside = spec if isinstance(spec, list) else ()
    for one in inside:
        yield from _parts(one)


def _kind(part: dict[str, Any]) -> str:
    by_pattern = part["type"] == "Replace" and "String" not in part["pattern"]
    return "Replace by a pattern" if by_pattern else str(part["type"])


def _check_part(part: dict[str, Any]) -> None:
    pattern = part.get("pattern") or {}
    if NESTED.search(pattern.get("Regex", "")):
        raise ValueError("its tokenizer has a pattern with a repeated group")
    if part["type"] == "Replace" and len(part["content"]) > len(pattern.get("String", "1")):
        raise ValueError("its tokenizer puts more letters in than it takes out")
    if part["type"] == "Prepend" and len(part["prepend"]) > MOST_PUT_IN:
        raise ValueError("its tokenizer puts many letters in")
    if part["type"] == "TemplateProcessing":
        _check_template(part)
    if part["type"] == "Precompiled":
        table = base64.b64decode(part["precompiled_charsmap"])
        texts = table[4 + int.from_bytes(table[:4], "little") :]  # behind a trie of that size
        if max(map(len, texts.split(b"\0"))) > MOST_MAPPED:
            raise ValueError("its tokenizer puts a long text for one letter")


def _check_template(part: dict[str, Any]) -> None:
    """Check how a text, or two, and special tokens are put together."""
    for pieces in (part["single"], part["pair"]):
        texts = [one["Sequence"]["id"] for one in pieces if "Sequence" in one]
        if len(texts) > len(set(texts)):
            raise ValueError("its tokenizer puts a text in more than once")
        named = [one["SpecialToken"]["id"] for one in pieces if "SpecialToken" in one]
        if sum(len(part["special_tokens"][name]["ids"]) for name in named) > MOST_AROUND:
            raise ValueError(f"its tokenizer puts more than {MOST_AROUND} tokens around a text")
