"""What each token of a text reads as, so that the pieces joined are the text."""

from transformers import PreTrainedTokenizerBase

HALF_CHARACTER = "\ufffd"
"""What a tokenizer decodes bytes to that do not make a character (yet)."""


def cut_into_pieces(prefixes: list[str]) -> list[str]:
    """Cut a text into one piece for each token; joined, the pieces are the text.

    Decoding tokens one by one would not do: a character may need several tokens (it then belongs to
    the last of them, the others are empty), and some tokenizers change a space when more follows.

    Args:
        prefixes: what the first 1, 2, ... tokens decode to; the last one is the text.
    """
    if not prefixes:
        return []
    text = prefixes[-1]
    pieces, start = [], 0
    for prefix in prefixes:
        end = max(start, _agreeing(text, prefix))
        pieces.append(text[start:end])
        start = end
    return pieces


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """Return what each token reads as, special ones by their names; joined, they are the text."""
    return cut_into_pieces([tokenizer.decode(ids[:end]) for end in range(1, len(ids) + 1)])


def _agreeing(text: str, prefix: str) -> int:
    """Count the characters at the front that both share."""
    if text.startswith(prefix):
        return len(prefix)
    pairs = enumerate(zip(text, prefix, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(text))


def decode_prefix(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Decode the first tokens of a text that goes on, without a last character's first bytes."""
    return tokenizer.decode(ids, skip_special_tokens=True).rstrip(HALF_CHARACTER)
