"""Coarse words that a class can exclude from its texts and nicknames.

Standard library only; `models/word_guard.py` stops a model from writing them. Not covered: words
that are not in the list, and disguised words (sh1t).
"""

import re
import unicodedata

COARSE_WORDS = frozenset(
    """
    *fuck*
    apeshit* arse arsehole* arses ass- assclown* asses asshat* asshole* asswipe* badass*
    bastard* batshit* beaner* bitch* blowjob* bollock* boob boobies boobs bugger buggers
    bullshit* chickenshit* chink- chinks clit clits cock- cockhead* cocks cocksuck* coon- coons
    crap crapped crappy craps cum- cumming- cums cumshot* cunt* dammit damn damned damnit dick-
    dickface* dickhead* dicks dickwad* dildo* dipshit* dogshit* douche douchebag* dumbass*
    dumbshit* dyke- dykes fag- faggot* fags fatass* goddam* gook gooks handjob* hardass*
    horseshit* jackass* jackoff* jackshit* jerkoff* jizz* kike kikes lardass* milf- milfs nigga*
    nigger* paki- pakis piss pissed pisser pissing pissy porn* prick- pricks pussies pussy
    raghead* ratshit* retard- retards shemale* shit* skank* slut* smartass* spic- spics tit-
    tits titties titty towelhead* trannies tranny turd turds twat* wank* wetback* whore* whoring
    wiseass*
    """.split()
)
"""In lower case. A star at the end allows any ending; a star at both ends, any place in a word. A
hyphen marks beginnings of innocent words (assume, title): a text may begin the word, but not end
it. Without either, only this word counts. The words in -shit are listed singly, because Akshita and
Harshit are names.
"""

ANYWHERE = sorted(word[1:-1] for word in COARSE_WORDS if word.startswith("*"))
STEMS = sorted(word[:-1] for word in COARSE_WORDS if word.endswith("*") and word[0] != "*")
OPEN = sorted(word[:-1] for word in COARSE_WORDS if word.endswith("-"))
WHOLE = sorted(word for word in COARSE_WORDS if word.isalpha())

_IN_TEXT = re.compile(
    rf"{'|'.join(ANYWHERE)}|(?<![a-z])(?:{'|'.join(STEMS)}|(?:{'|'.join(WHOLE + OPEN)})(?![a-z]))",
    re.IGNORECASE,
)


def has_coarse_word(text: str) -> bool:
    """Say whether a text contains a coarse word, with accents or in full-width letters, too."""
    if text.isascii():
        return bool(_IN_TEXT.search(text))
    # Letter by letter: sorting the marks of a text of marks alone would take quadratic time.
    letters = (part for letter in text for part in unicodedata.normalize("NFKD", letter))
    plain = "".join(part for part in letters if unicodedata.category(part) not in ("Mn", "Me"))
    return bool(_IN_TEXT.search(text) or _IN_TEXT.search(plain))
