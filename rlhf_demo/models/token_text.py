"""The piece of text that each token stands for; the pieces joined are the text."""

from typing import Literal

from transformers import PreTrainedTokenizerBase

HALF_CHARACTER = "\ufffd"
"""A tokenizer decodes bytes that are not a whole character to this."""


def cut_into_pieces(prefixes: list[str]) -> list[str]:
    """Cut a text into one piece per token; joined, the pieces are the text.

    Decoding tokens one by one would be wrong: a character may take several tokens (the last of them
    gets the character, the others get an empty piece), and some tokenizers change a space when more
    text follows.

    Args:
        prefixes: the first 1, 2, ... tokens decoded; the last prefix is the text.
    """
    if not prefixes:
        return []
    text = prefixes[-1]
    pieces, start = [], 0
    for prefix in prefixes:
        end = max(start, _common_length(text, prefix))
        pieces.append(text[start:end])
        start = end
    return pieces


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """Return the piece of text of each token, special tokens by name; joined, they are the text."""
    return cut_into_pieces([decoded(tokenizer, ids[:end]) for end in range(1, len(ids) + 1)])


def decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int], *, special: bool = True) -> str:
    """Decode one text; `special` tokens such as EOS appear by name, or are left out."""
    text = tokenizer.decode(ids, skip_special_tokens=not special)
    assert isinstance(text, str)  # transformers' own also decodes many texts at once
    return text


def special_id(tokenizer: PreTrainedTokenizerBase, name: Literal["bos", "eos", "pad"]) -> int:
    """Return the id of a special token; transformers gives these attributes no types."""
    return getattr(tokenizer, f"{name}_token_id")


def _common_length(text: str, prefix: str) -> int:
    """Count the characters at the start that both share."""
    if text.startswith(prefix):
        return len(prefix)
    pairs = enumerate(zip(text, prefix, strict=False))
    return next((index for index, (a, b) in pairs if a != b), len(text))


def decode_prefix(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Decode the first tokens of a text, without the first bytes of a character cut in two."""
    return decoded(tokenizer, ids, special=False).rstrip(HALF_CHARACTER)
