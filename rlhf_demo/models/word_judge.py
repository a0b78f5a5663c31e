"""A judge of another family: every word has a weight, and a text's score is their sum.

The simulated rater, the reward model and the PPO model are adapters on one network, so they may
see, and fail to see, the same things. This judge shares nothing with them: it is a logistic
regression on the words of film reviews (train/word_judge.py). It knows no order of words beyond two
that stand side by side ("not good"), no grammar, and no sense.
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
"""The files: a word or pair of words a line, and float16 tensors `weights` [lines] and `bias` [1].
"""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def features(text: str) -> set[str]:
    """Return the words of a text and its pairs of neighbouring words, each once, in lower case."""
    words = _WORD.findall(text.lower())
    return {*words, *map(" ".join, pairwise(words))}


class WordJudge:
    """Scores prompt + response by the words in it.

    A score is in log-odds that the writer liked the film (7 stars of 10 or more).
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read words and weights.

        Raises:
            CheckpointError: a file is missing, or they do not fit together.
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
        """Add up the weights of the words that stand in a text; a word counts once."""
        found = features(text) & self.weights.keys()
        # fsum: a set has no order, and plain sums of floats depend on it.
        return math.fsum([self.bias, *(self.weights[one] for one in found)])
