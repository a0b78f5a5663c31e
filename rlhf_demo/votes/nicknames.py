"""Rules for students' nicknames, and a test whether two nicknames look alike.

Names may use any script, with accents, vowel signs and an emoji at the end. A name that looks like
a taken one gets a number, so that no student can impersonate another. Zoë and Zoe are two names,
because a reader sees the dots.
"""

import re
import unicodedata
from typing import Any

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import Refused
from rlhf_demo.votes.vote import LONGEST_NICKNAME, clean_text

LONGEST_LIKENESS = 80
"""Maximum characters of a likeness; one character of a name may become eighteen."""

BLANKS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159"
)
"""Invisible letters and signs, besides the format characters that `clean_text` removes."""

VARIANTS = frozenset(
    chr(code)
    for span in (range(0xFE00, 0xFE10), range(0x180B, 0x1810), range(0xE0100, 0xE01F0))
    for code in span
)
"""Marks that choose between two forms of the character before them, for example of an emoji."""

MOST_MARKS = 3
"""Maximum marks on one letter, enough for Arabic, Hebrew and Thai; more would cover other lines."""

BESIDE_LATIN = {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
"""Scripts that may be mixed in one word, because none looks like another. Unicode names of letters
begin with them."""

LAST_EUROPEAN = "\u058f"
"""Latin, Greek, Cyrillic and Armenian letters end here. In later scripts marks are vowels."""

# Small letters, as `casefold` leaves them, that look Latin or whose capitals do: so a Russian name
# is one name in capitals and in small letters. Unicode's own list (UTS 39, which the package
# confusable-homoglyphs carries) tells the two cases apart, and has many signs that cannot be typed.
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
"""Words that may not begin a nickname -> the owners of such names."""


def nickname(typed: Any) -> str:
    """Return a student's typed nickname as one clean line of limited length.

    Raises:
        Refused: it is not a text, is empty, does not begin with a letter or a digit, contains
            invisible characters, a coarse word, too many marks on a letter, or letters of two
            alphabets in one word, or is reserved for the instructor or for simulated students.
    """
    cut = typed.strip()[:LONGEST_NICKNAME] if isinstance(typed, str) else typed
    name = clean_text(cut, LONGEST_NICKNAME, "nickname")
    if BLANKS & set(name):
        raise Refused("this nickname contains an invisible character: type it again")
    if not name[0].isalnum():
        raise Refused("a nickname must begin with a letter or a digit: choose another one")
    plain = _plain(name)
    if has_coarse_word(name) or has_coarse_word(plain):
        raise Refused("this nickname contains a rude word: choose another one")
    for word, whose in RESERVED.items():
        if _strokes(plain).startswith(_strokes(word)):
            raise Refused(
                f"a nickname that begins with {word.capitalize()!r} is reserved for {whose}: "
                "choose another one"
            )
    spread = unicodedata.normalize("NFKC", name)
    if len(spread) > LONGEST_NICKNAME or _heaped(name):
        raise Refused(
            "this nickname has a character that stands for many letters, or a letter with too many "
            "marks: choose another one"
        )
    if any(_mixed(word) for word in re.findall(r"\w+", spread)):
        raise Refused("this nickname mixes two alphabets in one word: type it in one of them")
    return name


def _strokes(text: str) -> str:
    """Return letters and digits as they look to a reader who ignores accents."""
    parted = unicodedata.normalize("NFD", text)
    letters = "".join(letter for letter in parted if letter.isalnum())
    return letters.translate(SAME_STROKE).replace("5", "s").replace("rn", "m")


def _heaped(name: str) -> bool:
    marks = "".join("m" if unicodedata.category(sign) == "Mn" else " " for sign in name)
    return "m" * (MOST_MARKS + 1) in marks


def _mixed(word: str) -> bool:
    """Say whether a word mixes Latin letters with those of another alphabet."""
    letters = (sign for sign in word if unicodedata.category(sign) in ("Lu", "Ll", "Lt", "Lo"))
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in letters}
    return "LATIN" in scripts and not scripts <= BESIDE_LATIN


def likeness(name: str) -> str:
    """Return a key for a nickname's look: nicknames that look alike have the same key."""
    return _plain(name).translate(SAME_STROKE)[:LONGEST_LIKENESS]


def _plain(name: str) -> str:
    """Return a name in lower case, with Latin letters for lookalikes and without invisible marks.

    Marks that do not form a letter of their own with a European letter are removed.
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
