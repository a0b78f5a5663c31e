"""Coarse words that a class can keep out: they are neither sampled nor scored.

The guard works on letters, not on tokens: whatever pieces a tokenizer makes of a word, the piece
that would complete it is ruled out where it would. As that depends on nothing but the text so far,
a policy and its reference rule out the same tokens at the same places, and what is left is again a
distribution. Not covered: words that are not in the list, and words in disguise (sh1t).
"""

import re
from bisect import bisect_left

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

COARSE_WORDS = frozenset(
    """
    arse arses arsehole* ass- asses asshole* badass* bastard* bitch* bollock* boob boobs boobies
    bugger buggers bullshit* clit clits cock- cocks cocksuck* crap craps crappy crapped cunt* damn
    damned damnit dammit dick- dicks dickhead* dildo* douche douchebag* dumbass* fag- fags faggot*
    fuck* goddam* jackass* jerkoff* jizz* motherfuck* nigga* nigger* piss pissed pissing porno
    prick- pricks pussy pussies retard- retards shit* skank* slut* smartass* tit- tits titty titties
    turd turds twat* wank* wetback* whore*
    """.split()
)
"""In lower case. A star: with any ending. A hyphen: innocent words begin so too (assume, title) and
the word may be begun but not ended. Neither: just this word.
"""

RULED_OUT = -1e9
"""Takes the place of a logit: the probability is 0 to the last bit at any temperature, and 0 times
its logarithm, in the entropy, is still 0; with minus infinity it would be no number.
"""

_STEMS = sorted(word[:-1] for word in COARSE_WORDS if word.endswith("*"))
_OPEN = sorted(word[:-1] for word in COARSE_WORDS if word.endswith("-"))
_WHOLE = sorted(word for word in COARSE_WORDS if word.isalpha())
_STEM, _CLOSED = "|".join(_STEMS), "|".join(_WHOLE)
_START, _END = "(?<![a-z])", "(?![a-z])"
_IN_TEXT = re.compile(rf"{_START}(?:{_STEM}|(?:{_CLOSED}|{'|'.join(_OPEN)}){_END})", re.IGNORECASE)
_IN_TOKEN = re.compile(rf"{_START}(?:{_STEM}|(?:{_CLOSED}){_END}|(?:{'|'.join(_OPEN)})[^a-z])")
_LEAD = re.compile(r"[a-z]*")
_TAIL = re.compile(r"[a-z]*$")


def has_coarse_word(text: str) -> bool:
    """Say whether a coarse word stands in a text."""
    return _IN_TEXT.search(text) is not None


class WordGuard:
    """Rules out, place by place, the tokens of one tokenizer that would complete a coarse word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> None:
        singles = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        pieces = [piece.lower() for piece in singles]
        for special in tokenizer.all_special_ids:
            pieces[special] = " "  # ends a word
        self._pieces = pieces
        # Tokens by the letters they begin with, which go on with the word before them.
        leads = [_LEAD.match(piece)[0] for piece in pieces]
        self._by_lead: dict[str, list[int]] = {}
        for number, lead in enumerate(leads):
            self._by_lead.setdefault(lead, []).append(number)
        self._leads = sorted(self._by_lead)
        # Tokens with a coarse word of their own, after a blank or a mark.
        rests = [piece[len(lead) :] for piece, lead in zip(pieces, leads, strict=True)]
        inside = [number for number, rest in enumerate(rests) if _IN_TOKEN.search(rest)]
        self._always = torch.tensor(inside, dtype=torch.long, device=device)
        self._known: dict[str, list[int]] = {}  # unfinished word -> tokens that it rules out

    def hide(self, logits: Tensor, sequence_ids: Tensor) -> None:
        """Rule tokens out, in place.

        Args:
            logits: [batch, time, vocabulary], what follows each of the last `time` places of
            sequence_ids: [batch, time or more], pad ids where there is no token.
        """
        logits.index_fill_(-1, self._always, RULED_OUT)
        time = logits.shape[1]
        rows, places, tokens = [], [], []
        for row, ids in enumerate(sequence_ids.tolist()):
            before = len(ids) - time
            for place in range(time):
                found = self._completing(self._unfinished(ids[: before + place + 1]))
                rows += [row] * len(found)
                places += [place] * len(found)
                tokens += found
        logits[rows, places, tokens] = RULED_OUT

    def _unfinished(self, ids: list[int]) -> str:
        """Return the letters since the last character that is none."""
        word = ""
        for number in reversed(ids):
            piece = self._pieces[number]
            tail = _TAIL.search(piece)[0]
            word = tail + word
            if len(tail) < len(piece):
                break
        return word

    def _completing(self, word: str) -> list[int]:
        """Return the tokens that make a coarse word of an unfinished one."""
        if word not in self._known:
            found: list[int] = []
            for stem in _STEMS:
                if stem.startswith(word) and stem != word:
                    found += self._beginning(stem[len(word) :])
            for whole in _WHOLE:
                if whole.startswith(word) and whole != word:
                    found += self._by_lead.get(whole[len(word) :], [])
            for begun in _OPEN:
                if begun.startswith(word):
                    letters = begun[len(word) :]  # none: whatever is no letter ends the word
                    ending = self._by_lead.get(letters, [])
                    found += [n for n in ending if len(self._pieces[n]) > len(letters)]
            self._known[word] = found
        return self._known[word]

    def _beginning(self, letters: str) -> list[int]:
        first = bisect_left(self._leads, letters)
        found: list[int] = []
        for lead in self._leads[first:]:
            if not lead.startswith(letters):
                break
            found += self._by_lead[lead]
        return found
