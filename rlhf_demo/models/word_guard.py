"""The guard that keeps a policy from writing coarse words, wherever its logits are read.

It works on letters, not on tokens: however a tokenizer splits a word, the guard rules out the token
that would complete it. This depends only on the text so far. So a policy and its reference rule out
the same tokens at the same positions, and the remaining probabilities still form a distribution.
For the same reason the guard cannot know which token is the last. A response that is cut short may
end in a coarse word that also begins an innocent one (ass, assume), so callers check a text with
`has_coarse_word` before they show it.
"""

import re
from bisect import bisect_left
from string import ascii_lowercase

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_demo.data.coarse_words import ANYWHERE, OPEN, STEMS, WHOLE

RULED_OUT = -1e9
"""Replaces a logit. The probability is then exactly 0 at any temperature, and 0 times its
logarithm, in the entropy, is 0 too; with minus infinity it would be NaN.
"""

_CLOSED, _OPEN = "|".join(WHOLE), "|".join(OPEN)
_COMPLETE = re.compile(rf"(?<![a-z])(?:{'|'.join(STEMS)}|(?:{_CLOSED})(?![a-z])|(?:{_OPEN})[^a-z])")


def _lead(piece: str) -> str:
    """Return the letters that a token begins with."""
    return piece[: len(piece) - len(piece.lstrip(ascii_lowercase))]


class WordGuard:
    """Rules out, at each position, the tokens that would complete a coarse word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> None:
        singles = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        # SentencePiece writes a leading space as a bar, and drops it when it decodes one token.
        pieces = [
            (" " if name.startswith("▁") else "") + piece.lower()
            for name, piece in zip(names, singles, strict=True)
        ]
        for special in tokenizer.all_special_ids:
            pieces[special] = " "  # ends a word
        self._pieces = pieces
        # Tokens by their leading letters, which continue the word before them.
        leads = [_lead(piece) for piece in pieces]
        self._by_lead: dict[str, list[int]] = {}
        for number, lead in enumerate(leads):
            self._by_lead.setdefault(lead, []).append(number)
        self._leads = sorted(self._by_lead)
        # Tokens that hold a whole coarse word: after a space or mark, or anywhere for some words.
        inside = [
            number
            for number, (piece, lead) in enumerate(zip(pieces, leads, strict=True))
            if _COMPLETE.search(piece[len(lead) :]) or any(part in piece for part in ANYWHERE)
        ]
        self._always = torch.tensor(inside, dtype=torch.long, device=device)
        self._known: dict[str, list[int]] = {}  # unfinished word -> tokens that it rules out

    def hide(self, logits: Tensor, texts: list[list[int]]) -> None:
        """Rule out tokens, in place.

        Args:
            logits: [texts, vocabulary], of the token that comes after each text.
            texts: token ids, pad ids where there is no token.
        """
        logits.index_fill_(-1, self._always, RULED_OUT)
        rows, tokens = [], []
        for row, ids in enumerate(texts):
            completing = self._completing(self._unfinished(ids))
            rows += [row] * len(completing)
            tokens += completing
        logits[rows, tokens] = RULED_OUT

    def _unfinished(self, ids: list[int]) -> str:
        """Return the letters after the last character that is not a letter."""
        word = ""
        for number in reversed(ids):
            piece = self._pieces[number]
            tail = piece[len(piece.rstrip(ascii_lowercase)) :]
            word = tail + word
            if len(tail) < len(piece):
                break
        return word

    def _completing(self, word: str) -> list[int]:
        """Return the tokens that complete an unfinished word to a coarse one."""
        if word not in self._known:
            tokens: list[int] = []
            for stem in STEMS:
                if stem.startswith(word) and stem != word:
                    tokens += self._beginning(stem[len(word) :])
            for whole in WHOLE:
                if whole.startswith(word) and whole != word:
                    tokens += self._by_lead.get(whole[len(word) :], [])
            for coarse in OPEN:
                if coarse.startswith(word):
                    letters = coarse[len(word) :]  # if empty, any character but a letter completes
                    ending = self._by_lead.get(letters, [])
                    tokens += [n for n in ending if len(self._pieces[n]) > len(letters)]
            for part in ANYWHERE:
                for length in range(1, len(part)):
                    if word.endswith(part[:length]):
                        tokens += self._beginning(part[length:])
            self._known[word] = tokens
        return self._known[word]

    def _beginning(self, letters: str) -> list[int]:
        """Return the tokens that begin with these letters."""
        first = bisect_left(self._leads, letters)
        tokens: list[int] = []
        for lead in self._leads[first:]:
            if not lead.startswith(letters):
                break
            tokens += self._by_lead[lead]
        return tokens
