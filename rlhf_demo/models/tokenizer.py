"""Load a tokenizer from a folder; its file is checked before any text passes through it.

- **Padding.** Every tokenizer gets a pad token distinct from EOS. If EOS doubled as padding, it
  would be masked out of every loss and the policy would never learn to end. In a tokenizer without
  a pad token, the token of byte 0 becomes it, because no text holds that byte. No embedding has to
  be added, so the saved files stay plain.
- **Untrusted files.** tokenizer.json alone says how a text becomes tokens. From the configurations
  come only the names of special tokens, the longest text and the chat template. transformers'
  AutoTokenizer would also let a configuration choose a class, and with it other files to read and
  tokens to make.
"""

import json
from pathlib import Path
from string import printable
from typing import Any, cast

from tokenizers import Tokenizer
from tokenizers.models import BPE
from torch import Tensor
from transformers import (
    BertTokenizer,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import read_json, short_name
from rlhf_demo.hub.locate import TOKENIZER, adapter_base
from rlhf_demo.models.loading import UNREADABLE, first_line
from rlhf_demo.models.tokenizer_parts import (
    MOST_EACH,
    MOST_TOKENS,
    PROBE,
    SHORT,
    check_parts,
    panicked,
    parse,
)

BYTE_0 = "\u0100"
"""How byte-level BPE (GPT-2's) writes the byte 0."""

PAD = "<|pad|>"

MOST_FILE = 2**26
"""Bytes of a tokenizer's file; a vocabulary of 256,000 words takes 35 million."""

BYTES, WORDS = {"vocab": "vocab.json", "merges": "merges.txt"}, {"vocab": "vocab.txt"}

OLDER_FORMS: dict[str, tuple[type[Any], dict[str, str]]] = {
    "gpt2": (GPT2Tokenizer, BYTES),
    "roberta": (RobertaTokenizer, BYTES),
    "bert": (BertTokenizer, WORDS),
    "distilbert": (BertTokenizer, WORDS),
}
"""Of a model's type: the tokenizer, and the files it came in before there was a tokenizer.json."""

MOST_CONFIGURATION = 2**22
"""Bytes of a configuration; that of a model with a thousand extra tokens has 200,000."""

UNBOUNDED = int(1e30)
"""How transformers writes that texts may be of any length."""

SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer whose pad token is not its EOS.

    An adapter without a tokenizer uses its base's.

    Raises:
        CheckpointError: the folder holds no usable tokenizer, or no token can serve as padding.
    """
    base = adapter_base(folder)
    if base is not None and not (folder / "tokenizer_config.json").is_file():
        folder = base
    try:
        backend = _read_backend(folder)
        _try(backend)
        settings = _settings(folder, backend)
        if settings.get("pad_token") in (None, settings.get("eos_token")):
            backend, settings["pad_token"] = _with_pad(backend, settings, folder)
    except (*UNREADABLE, DataError) as error:
        raise CheckpointError(
            f"{short_name(folder)} holds no usable tokenizer ({first_line(error, folder)}): "
            "add its files"
        ) from None
    return PreTrainedTokenizerFast(tokenizer_object=backend, **settings)


def load_tokenizer_for(network: PreTrainedModel, folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a network, which must know all its tokens.

    Raises:
        CheckpointError: as in `load_tokenizer`; or the network would fail at some tokens.
    """
    tokenizer = load_tokenizer(folder)
    highest = max(tokenizer.get_vocab().values())
    known = cast("Tensor", network.get_input_embeddings().weight).shape[0]
    if highest >= known:
        raise CheckpointError(
            f"the tokenizer of {short_name(folder)} has a token {highest:,}, but its network knows "
            f"only {known:,} tokens: choose another model"
        )
    return tokenizer


def _read_backend(folder: Path) -> Tokenizer:
    """Read tokenizer.json, or the files that GPT-2 and BERT came in before it.

    Raises:
        ValueError: there is none of them, or texts may grow without bound in it.
        DataError: it is not JSON, or too large.
    """
    path = folder / TOKENIZER
    spec = read_json(path, MOST_FILE) if path.is_file() else _older_form(folder)
    check_parts(spec)
    spec |= {"padding": None, "truncation": None}  # both belong to whoever calls the tokenizer
    return parse(spec)


def _older_form(folder: Path) -> dict[str, Any]:
    """Return what a tokenizer.json of the older files would hold.

    Raises:
        ValueError: these files are not there, or too large.
    """
    kind = _configuration(folder / "config.json").get("model_type")
    made, names = OLDER_FORMS.get(str(kind), (None, {}))
    paths = {part: folder / name for part, name in names.items()}
    if made is None or not all(path.is_file() for path in paths.values()):
        raise ValueError(f"no {TOKENIZER}")
    for path in paths.values():
        if path.stat().st_size > MOST_FILE:
            raise ValueError(f"{path.name} is larger than {MOST_FILE:,} bytes")
    cased = _configuration(folder / "tokenizer_config.json").get("do_lower_case") is False
    options = {"do_lower_case": False} if cased and names is WORDS else {}
    tokenizer = made(**{part: str(path) for part, path in paths.items()}, **options)
    return json.loads(tokenizer.backend_tokenizer.to_str())


def _configuration(path: Path) -> dict[str, Any]:
    """Read a configuration; an absent one is empty.

    Raises:
        ValueError: it is too large, or not a JSON object.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST_CONFIGURATION:
        raise ValueError(f"{path.name} is larger than {MOST_CONFIGURATION:,} bytes")
    # read_json refuses a longest text of 10^30 tokens, as transformers writes "without bound".
    spec = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(spec, dict):
        raise ValueError(f"{path.name} holds no configuration")
    return spec


def _settings(folder: Path, backend: Tokenizer) -> dict[str, Any]:
    """Return what the configurations say, as arguments of PreTrainedTokenizerFast.

    A special token that no configuration names is the one whose id config.json gives: GPT-2 on the
    Hub has it so. A token that the vocabulary lacks is left out.

    Raises:
        ValueError: a configuration is too large, or not a JSON object.
    """
    named = _configuration(folder / "special_tokens_map.json")
    named |= _configuration(folder / "tokenizer_config.json")
    ids = _configuration(folder / "config.json")
    settings: dict[str, Any] = {}
    for name in SPECIAL:
        token = named.get(f"{name}_token")
        if isinstance(token, dict):
            token = token.get("content")
        if not isinstance(token, str):
            token = _token_of(backend, ids.get(f"{name}_token_id"))
        if token is not None and backend.token_to_id(token) is not None:
            settings[f"{name}_token"] = token
    longest = named.get("model_max_length")
    if isinstance(longest, int | float) and 1 <= longest <= UNBOUNDED:
        settings["model_max_length"] = int(longest)  # some files have 512.0
    template = _chat_template(folder, named)
    return settings if template is None else settings | {"chat_template": template}


def _token_of(backend: Tokenizer, number: Any) -> str | None:
    """Return the token with this id; of several EOS ids, the first counts."""
    if isinstance(number, list) and number:
        number = number[0]
    # type(): True is no id. The library counts with 32 bits.
    return backend.id_to_token(number) if type(number) is int and 0 <= number < 2**32 else None


def _chat_template(folder: Path, named: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file() and path.stat().st_size <= MOST_CONFIGURATION:
        return path.read_text(encoding="utf-8")
    template = named.get("chat_template")
    return template if isinstance(template, str) else None


def _try(backend: Tokenizer) -> None:
    """Refuse a tokenizer that makes many tokens of a short text, or whose library panics on a text.

    The first would fill the memory; the second would end the thread that uses the tokenizer.

    Raises:
        ValueError: it makes too many tokens, or the library panics.
    """
    count = _count_tokens(backend, SHORT, special=True)
    if count > MOST_TOKENS:
        raise ValueError(f"it makes a text {len(SHORT)} characters long into {count} tokens")
    for letter in printable:  # alone, so that one which becomes a million costs little
        if _count_tokens(backend, letter, special=False) > MOST_EACH:
            raise ValueError(f"it makes more than {MOST_EACH} tokens of the letter {letter!r}")
    _count_tokens(backend, PROBE, special=False)


def _count_tokens(backend: Tokenizer, text: str, *, special: bool) -> int:
    """Return how many tokens a text has, or 0 if the tokenizer refuses it.

    Raises:
        ValueError: the tokenizer's library panics on the text.
    """
    try:
        ids = backend.encode(text, add_special_tokens=special).ids
        backend.decode(ids)
        return len(ids)
    except Exception:  # noqa: BLE001
        return 0  # e.g. an unknown word: the caller gets that error when it tokenises such a text
    except BaseException as error:
        if not panicked(error):
            raise
        raise ValueError("its library panics on a text") from None


def _with_pad(backend: Tokenizer, settings: dict[str, Any], folder: Path) -> tuple[Tokenizer, str]:
    """Choose a pad token: that of byte 0, renamed, or else the one for unknown words.

    Raises:
        CheckpointError: there is neither.
    """
    if backend.token_to_id(BYTE_0) is not None and isinstance(backend.model, BPE):
        return _rename_byte_0(backend), PAD
    unknown = settings.get("unk_token")
    if unknown not in (None, settings.get("eos_token")):
        return backend, unknown
    raise CheckpointError(
        f"the tokenizer in {short_name(folder)} has no token that can serve as padding: give it a "
        "pad token"
    )


def _rename_byte_0(backend: Tokenizer) -> Tokenizer:
    """Rename the token of byte 0 to PAD; its id and the size of the vocabulary stay the same."""
    spec = json.loads(backend.to_str())
    vocabulary = spec["model"]["vocab"]
    vocabulary[PAD] = vocabulary.pop(BYTE_0)
    # Merges with that byte go: the vocabulary no longer has it, and no text holds it.
    spec["model"]["merges"] = [
        merge for merge in spec["model"]["merges"] if not any(BYTE_0 in part for part in merge)
    ]
    return parse(spec)
