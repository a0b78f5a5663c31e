"""A judge that is no neural network: each word has a weight, and a text's score is their sum.

The star rater, the reward model and the PPO model are adapters on one network, so they may share
its blind spots. This judge shares nothing with them: it is a logistic regression on the words of
film reviews (train/word_judge.py). It knows single words and pairs of neighbours ("not good"), but
no grammar and no meaning.
"""

import math
import re
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from rlhf_demo.config.scorers import WORD_JUDGE
from rlhf_demo.errors import CheckpointError
from rlhf_demo.paths import CHECKPOINTS

FOLDER = CHECKPOINTS / WORD_JUDGE
WORDS, WEIGHTS = "words.txt", "weights.safetensors"
"""One word or pair of words a line, and the float16 tensors `weights` [lines] and `bias` [1]."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order, in lower case."""
    return _WORD.findall(text.lower())


def features(text: str) -> set[str]:
    """Return the words of a text and its pairs of neighbours, each once, in lower case."""
    words = words_of(text)
    return {*words, *map(" ".join, pairwise(words))}


class WordJudge:
    """Scores prompt + response by its words.

    A score is the log-odds that the writer gave the film 7 stars of 10 or more.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read words and weights.

        Raises:
            CheckpointError: a file is missing, or the two differ in length.
        """
        missing = [name for name in (WORDS, WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"{folder / missing[0]} is missing: restore {folder}")
        words = (folder / WORDS).read_text(encoding="utf-8").splitlines()
        tensors = load_file(folder / WEIGHTS)
        weights = tensors["weights"].tolist()
        if len(words) != len(weights):
            raise CheckpointError(
                f"{folder} has {len(words)} words and {len(weights)} weights: restore both files"
            )
        self.weights = dict(zip(words, weights, strict=True))
        self.bias = tensors["bias"].item()

    def __call__(self, prompts: list[str], responses: list[str]) -> Tensor:
        """Score responses to prompts: float32 [batch], log-odds."""
        texts = map("".join, zip(prompts, responses, strict=True))
        return torch.tensor([self.score(text) for text in texts], dtype=torch.float32)

    def score(self, text: str) -> float:
        """Return the bias plus the weights of the words in a text; each word counts once."""
        known = features(text) & self.weights.keys()
        # fsum, because a plain sum of floats depends on the order, which a set does not have.
        return math.fsum([self.bias, *(self.weights[word] for word in known)])
