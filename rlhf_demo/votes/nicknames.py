"""What students may call themselves, and when two names would be taken for each other.

Names of every script are welcome, with accents, vowel signs and an emoji at the end. A name that
looks like one that is taken gets a number, so nobody can pass for somebody else. Zoë and Zoe are
two names: a reader sees the dots, and nobody needs a number for being called so.
"""

import unicodedata
from typing import Any

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import Refused
from rlhf_demo.votes.vote import LONGEST_NICKNAME, clean_text

LONGEST_LIKENESS = 80
"""Characters of a likeness; one of a name may become eighteen."""

BLANKS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159"
)
"""Letters and signs of which nothing is seen, beside the formats that `clean_text` takes out."""

VARIANTS = frozenset(
    chr(code)
    for span in (range(0xFE00, 0xFE10), range(0x180B, 0x1810), range(0xE0100, 0xE01F0))
    for code in span
)
"""Marks that choose between two pictures of the sign before them, of an emoji for example."""

LAST_EUROPEAN = "\u058f"
"""Latin, Greek, Cyrillic and Armenian letters end here. In later scripts marks are vowels."""

# Small letters, as `casefold` leaves them, that look Latin or whose capitals do: so a Russian name
# is one name in capitals and in small letters. Unicode's own list (UTS 39, which the package
# confusable-homoglyphs carries) tells the two cases apart, and is long for signs nobody can type.
_LOOKS = {
    "авгеёһіїјкӏмнорԛѕтуѵԝхьԁԍ": "abreëhiïjklmhopqstyvwxbdg",  # Cyrillic
    "αβγεζηικμνορτυχϳ": "abyeznikmvoptuxj",  # Greek
    "զհյոսցօ": "qhjnugo",  # Armenian
    "ɑɡɩıȷʋ": "agiiju",  # from further Latin alphabets
    "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ": "abcdefghijklmnoprstuvwyz",  # small capitals
}
LOOKS_LATIN = str.maketrans("".join(_LOOKS), "".join(_LOOKS.values()))
LOOKS_LATIN_AS_CAPITAL = str.maketrans("\u0397\u039d\u03a5", "HNY")
"""Of the Greek Eta, Nu and Upsilon small letters and capitals look like different Latin ones."""
SAME_STROKE = str.maketrans("i1|0", "lllo")
"""Il1| and O0 are one stroke each in most fonts of a page."""


def nickname(typed: Any) -> str:
    """Return what a student typed as a nickname: one bounded line of text.

    Raises:
        Refused: it is no text, nothing is left of it, it does not begin with a letter or a
            digit, or it holds what cannot be seen, a coarse word, or the name of simulated ones.
    """
    cut = typed.strip()[:LONGEST_NICKNAME] if isinstance(typed, str) else typed
    name = clean_text(cut, LONGEST_NICKNAME, "nickname")
    if BLANKS & set(name):
        raise Refused("this nickname holds a sign that nobody can see: type it anew")
    if not name[0].isalnum():
        raise Refused("a nickname begins with a letter or a digit: choose another one")
    plain = _plain(name)
    if has_coarse_word(name) or has_coarse_word(plain):
        raise Refused("this nickname holds a coarse word: choose another one")
    letters = "".join(letter for letter in plain if letter.isalnum())
    if letters.translate(SAME_STROKE).startswith("simulated".translate(SAME_STROKE)):
        raise Refused(
            "a nickname that begins with 'Simulated' is for simulated students: choose another one"
        )
    return name


def likeness(name: str) -> str:
    """Return what a nickname looks like: two that look alike have the same likeness."""
    return _plain(name).translate(SAME_STROKE)[:LONGEST_LIKENESS]


def _plain(name: str) -> str:
    """Return a name in small letters, without what is not seen, in Latin letters where it looks so.

    A mark that makes no letter of its own with the European one before it goes, however often.
    """
    capitals = unicodedata.normalize("NFKC", name).translate(LOOKS_LATIN_AS_CAPITAL)
    kept, letter = "", ""
    for sign in unicodedata.normalize("NFKC", capitals.casefold()):
        kind = unicodedata.category(sign)
        is_mark = kind[0] == "M"
        if not is_mark:
            letter = sign
        unseen = sign in VARIANTS or kind in ("Cf", "Me")
        if not unseen and not (is_mark and letter <= LAST_EUROPEAN):
            kept += sign
    return kept.translate(LOOKS_LATIN)
