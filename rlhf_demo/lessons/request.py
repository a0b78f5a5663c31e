"""What lessons have in common: the models, and what a visitor may ask of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.explain.gpt2 import Network, network_of
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.token_text import token_texts

MOST_CHARACTERS, MOST_TOKENS = 500, 24
"""Of a visitor's own text."""
LONGEST_WORD = 40
"""Letters of a word that a visitor watches."""
MOST_HEADS = 160
"""Of all layers together: GPT-2 with 124 M weights has 144. The maps of all heads are kept."""
WHICH = ("base", "ppo")
"""The two models that write, by the colours of the page."""
FILMS = (
    "I watched this movie with my sister, and we both loved the ending.",
    "The acting was good, but the story was too long and the music was terrible.",
    "It was a waste of my time, and I do not recommend it to anyone.",
)
"""Sentences of the kind that the base was trained on; lessons measure the loss on them."""

Found = TypeVar("Found")
_kept: WeakKeyDictionary[PreTrainedModel, dict[str, Any]] = WeakKeyDictionary()
"""What lessons computed of each model in memory."""


@dataclass(frozen=True)
class Models:
    """The models that the lessons look into.

    Attributes:
        base: what PPO started from.
        ppo: what PPO made of it.
        reward: what PPO was trained to please.
        may_train: a lesson may train a copy of one of them.
    """

    base: Policy
    ppo: Policy
    reward: RewardModel
    may_train: bool = True

    def policy(self, which: str) -> Policy:
        """Return the model of this name, of WHICH."""
        return self.ppo if which == "ppo" else self.base

    def network(self, which: str) -> Network:
        """Return the weights of a model: `base`, `ppo` or `reward`.

        Raises:
            CheckpointError: it is no GPT-2, is too large, or cannot read the lessons' texts.
        """
        if which == "reward":
            return network_of(self.reward.model, self.reward.label)
        network = network_of(self.policy(which).lm)
        heads = network.heads * len(network.layers)
        if heads > MOST_HEADS:
            raise CheckpointError(
                f"the trained model has {heads} attention heads, and the lessons look into at most "
                f"{MOST_HEADS}: choose a smaller model"
            )
        positions, known = len(network.positions), len(network.tokens)
        vocabulary = len(self.base.tokenizer)
        if positions <= MOST_TOKENS or known < vocabulary:
            raise CheckpointError(
                f"the trained model reads {positions} tokens of {known}, and the lessons need "
                f"{MOST_TOKENS + 1} of {vocabulary}: choose another model"
            )
        return network

    def kept(self, which: str, what: str, compute: Callable[[], Found]) -> Found:
        """Return what does not change while a model is in memory; it is computed once.

        Args:
            which: `base`, `ppo` or `reward`.
            what: its name, the same for all lessons.
            compute: computes it.
        """
        model = self.reward.model if which == "reward" else self.policy(which).lm
        found = _kept.setdefault(model, {})
        if what not in found:
            found[what] = compute()
        return found[what]

    def ids(self, text: str) -> list[int]:
        """Return a text's token ids, behind the special token that begins every text."""
        return self.base.tokenizer(text)["input_ids"]

    def tensors(self, *texts: str) -> list[Tensor]:
        """Return the token ids of each text, as networks read them."""
        return [torch.tensor(self.ids(text)) for text in texts]

    def names(self, ids: list[int]) -> list[str]:
        """Return the piece of text that each of these tokens stands for by itself."""
        return [self.pieces([token])[0] for token in ids]

    def pieces(self, ids: list[int]) -> list[str]:
        """Return the piece of text of each token; the one that begins a text has no letters."""
        return token_texts(self.base.tokenizer, ids)

    def id_of(self, token: str) -> int:
        """Return the id of a token, such as " she".

        Raises:
            ConfigError: the text is not one token.
        """
        ids = self.ids(token)[1:]
        if len(ids) != 1:
            raise ConfigError(f"{token.strip()!r} is {len(ids)} tokens: write a word of one token")
        return ids[0]


# -- what a visitor asks ---------------------------------------------------------------------------


def text_of(request: dict[str, Any], default: str, models: Models) -> str:
    """Return the visitor's text, or the lesson's.

    Raises:
        ConfigError: it is empty, too long, or has no letter that the model has learned.
    """
    text = request.get("text", default)
    if not isinstance(text, str) or not text.strip():
        raise ConfigError("the text is empty: write a few words")
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"the text has {len(text):,} characters: write at most {MOST_CHARACTERS}")
    check_letters(text)
    count = len(models.ids(text)) - 1
    if count > MOST_TOKENS:
        raise ConfigError(f"the text has {count} tokens: write at most {MOST_TOKENS}")
    return text


def check_letters(text: str) -> None:
    """Check that a text is in letters that the model has learned.

    Raises:
        ConfigError: it is not.
    """
    if any(letter.isalpha() and ord(letter) > 0x24F for letter in text):
        raise ConfigError("this model has only read English: write in Latin letters")


def which_of(request: dict[str, Any]) -> str:
    """Return which of the two models is asked for, `base` if none is.

    Raises:
        ConfigError: it is neither.
    """
    which = request.get("model", "base")
    if which not in WHICH:
        raise ConfigError(f"there is no model {str(which)[:40]!r} here: choose base or ppo")
    return which


def number_of(request: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the request.

    Raises:
        ConfigError: it is none, or outside its range.
    """
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {str(value)[:40]}: choose a whole number, {low} to {high}")
    return value


def numbers_of(request: dict[str, Any], name: str, count: int) -> list[int]:
    """Return a list of different whole numbers from 0 to count - 1, in order; empty if none came.

    Raises:
        ConfigError: it is no list, or one of them is no such number.
    """
    values = request.get(name, [])
    if not isinstance(values, list) or len(values) > count:
        raise ConfigError(f"{name} is not a list of at most {count} numbers")
    for value in values:
        number_of({name: value}, name, 0, 0, count - 1)
    return sorted(set(values))


def word_of(request: dict[str, Any], default: str, models: Models) -> tuple[str, int]:
    """Return a word that is one token, and the id of that token with a space before it.

    Raises:
        ConfigError: it is no word, or more than one token.
    """
    word = request.get("word", default)
    if not isinstance(word, str) or not 0 < len(word.strip()) <= LONGEST_WORD:
        raise ConfigError(f"a word has 1 to {LONGEST_WORD} letters: write one word")
    return word.strip(), models.id_of(f" {word.strip()}")


# -- figures for the page --------------------------------------------------------------------------


def rounded(numbers: Tensor, digits: int = 4) -> Any:
    """Return a tensor as nested lists of numbers, with few digits."""
    return torch.round(numbers.double(), decimals=digits).tolist()
