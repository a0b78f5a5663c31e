"""The guard that keeps a policy from writing coarse words, wherever its logits are read.

It works on letters, not on tokens: whatever pieces a tokenizer makes of a word, the piece that
would complete it is ruled out where it would. As that depends on nothing but the text so far, a
policy and its reference rule out the same tokens at the same places, and what is left is again a
distribution. For the same reason it cannot know which place is the last: a word that innocent ones
begin with (ass, assume) may be begun by the last token of a response that is cut short. Whoever
shows such a text looks through it first with `has_coarse_word`.
"""

import re
from bisect import bisect_left

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_demo.data.coarse_words import ANYWHERE, OPEN, STEMS, WHOLE

RULED_OUT = -1e9
"""Takes the place of a logit: the probability is 0 to the last bit at any temperature, and 0 times
its logarithm, in the entropy, is still 0; with minus infinity it would be no number.
"""

_CLOSED, _OPEN = "|".join(WHOLE), "|".join(OPEN)
_COMPLETE = re.compile(rf"(?<![a-z])(?:{'|'.join(STEMS)}|(?:{_CLOSED})(?![a-z])|(?:{_OPEN})[^a-z])")
_LEAD = re.compile(r"[a-z]*")
_TAIL = re.compile(r"[a-z]*$")


class WordGuard:
    """Rules out, place by place, the tokens of one tokenizer that would complete a coarse word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> None:
        singles = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        # SentencePiece writes a leading blank as a bar, and forgets it where a text begins.
        pieces = [
            (" " if name.startswith("▁") else "") + piece.lower()
            for name, piece in zip(names, singles, strict=True)
        ]
        for special in tokenizer.all_special_ids:
            pieces[special] = " "  # ends a word
        self._pieces = pieces
        # Tokens by the letters they begin with, which go on with the word before them.
        leads = [_LEAD.match(piece)[0] for piece in pieces]
        self._by_lead: dict[str, list[int]] = {}
        for number, lead in enumerate(leads):
            self._by_lead.setdefault(lead, []).append(number)
        self._leads = sorted(self._by_lead)
        # Tokens with a coarse word of their own, after a blank or a mark; or wherever it stands.
        inside = [
            number
            for number, (piece, lead) in enumerate(zip(pieces, leads, strict=True))
            if _COMPLETE.search(piece[len(lead) :]) or any(part in piece for part in ANYWHERE)
        ]
        self._always = torch.tensor(inside, dtype=torch.long, device=device)
        self._known: dict[str, list[int]] = {}  # unfinished word -> tokens that it rules out

    def hide(self, logits: Tensor, texts: list[list[int]]) -> None:
        """Rule tokens out, in place.

        Args:
            logits: [texts, vocabulary], what follows each of the
            texts: token ids, pad ids where there is no token.
        """
        logits.index_fill_(-1, self._always, RULED_OUT)
        rows, tokens = [], []
        for row, ids in enumerate(texts):
            found = self._completing(self._unfinished(ids))
            rows += [row] * len(found)
            tokens += found
        logits[rows, tokens] = RULED_OUT

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
            for stem in STEMS:
                if stem.startswith(word) and stem != word:
                    found += self._beginning(stem[len(word) :])
            for whole in WHOLE:
                if whole.startswith(word) and whole != word:
                    found += self._by_lead.get(whole[len(word) :], [])
            for begun in OPEN:
                if begun.startswith(word):
                    letters = begun[len(word) :]  # none: whatever is no letter ends the word
                    ending = self._by_lead.get(letters, [])
                    found += [n for n in ending if len(self._pieces[n]) > len(letters)]
            for part in ANYWHERE:
                for begun in range(1, len(part)):
                    if word.endswith(part[:begun]):
                        found += self._beginning(part[begun:])
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
