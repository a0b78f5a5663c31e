"""Coarse words that a class can keep out: of the texts it is shown, and of its nicknames.

Standard library only; `word_guard` keeps a model from writing them. Not covered: words that are not
in the list, and words in disguise (sh1t).
"""

import re

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
"""In lower case. A star at the end: with any ending; one before it too: anywhere in a word. A
hyphen: innocent words begin so too (assume, title) and the word may be begun but not ended.
Neither: just this word. The words in -shit stand one by one, as Akshita and Harshit are names.
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
    """Say whether a coarse word stands in a text."""
    return _IN_TEXT.search(text) is not None
