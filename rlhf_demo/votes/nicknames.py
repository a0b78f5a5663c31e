"""What students may call themselves, and when two names would be taken for each other.

Names of every script are welcome, with accents, vowel signs and an emoji at the end. A name that
looks like one that is taken gets a number, so nobody can pass for somebody else. Zoë and Zoe are
two names: a reader sees the dots, and nobody needs a number for being called so.
"""

import re
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

MOST_MARKS = 3
"""On one letter, as vowel signs of Arabic, Hebrew and Thai come; more climb over other lines."""

BESIDE_LATIN = {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
"""Scripts, as names of letters begin, that may stand in one word: none looks like another."""

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
    "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ": "abcdefghijklmnoprstuvwxyz",  # Lisu  # noqa: RUF001
    "ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ": "abcdeghijklmprstvwz",  # Cherokee  # noqa: RUF001
}
LOOKS_LATIN = str.maketrans("".join(_LOOKS), "".join(_LOOKS.values()))
LOOKS_LATIN_AS_CAPITAL = str.maketrans("\u0397\u039d\u03a5", "HNY")
"""Of the Greek Eta, Nu and Upsilon small letters and capitals look like different Latin ones."""
SAME_STROKE = str.maketrans("i1|0", "lllo")
"""Il1| and O0 are one stroke each in most fonts of a page."""

RESERVED = {"simulated": "simulated students", "instructor": "the instructor"}
"""How a nickname may not begin, and whose such a name would be."""


def nickname(typed: Any) -> str:
    """Return what a student typed as a nickname: one bounded line of text.

    Raises:
        Refused: it is no text, nothing is left of it, it does not begin with a letter or a
            digit, it holds what cannot be seen, a coarse word, a heap of marks, or letters of two
            alphabets in one word, or it is the name of the instructor or simulated ones.
    """
    cut = typed.strip()[:LONGEST_NICKNAME] if isinstance(typed, str) else typed
    name = clean_text(cut, LONGEST_NICKNAME, "nickname")
    if BLANKS & set(name):
        raise Refused("this nickname contains a character that nobody can see: type it again")
    if not name[0].isalnum():
        raise Refused("a nickname must begin with a letter or a digit: choose another one")
    plain = _plain(name)
    if has_coarse_word(name) or has_coarse_word(plain):
        raise Refused("this nickname contains a coarse word: choose another one")
    for word, whose in RESERVED.items():
        if _strokes(plain).startswith(_strokes(word)):
            raise Refused(
                f"a nickname that begins with {word.capitalize()!r} is for {whose}: "
                "choose another one"
            )
    spread = unicodedata.normalize("NFKC", name)
    if len(spread) > LONGEST_NICKNAME or _heaped(name):
        raise Refused("this nickname has a character of many letters or marks: choose another one")
    if any(_mixed(word) for word in re.findall(r"\w+", spread)):
        raise Refused("this nickname mixes two alphabets in one word: type it in one of them")
    return name


def _strokes(text: str) -> str:
    """Return letters and digits as somebody sees them who reads over accents."""
    parted = unicodedata.normalize("NFD", text)
    letters = "".join(letter for letter in parted if letter.isalnum())
    return letters.translate(SAME_STROKE).replace("5", "s").replace("rn", "m")


def _heaped(name: str) -> bool:
    marks = "".join("m" if unicodedata.category(sign) == "Mn" else " " for sign in name)
    return "m" * (MOST_MARKS + 1) in marks


def _mixed(word: str) -> bool:
    """Say whether Latin letters stand in a word with those of another alphabet."""
    letters = (sign for sign in word if unicodedata.category(sign) in ("Lu", "Ll", "Lt", "Lo"))
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in letters}
    return "LATIN" in scripts and not scripts <= BESIDE_LATIN


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
