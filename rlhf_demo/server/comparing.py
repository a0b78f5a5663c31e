"""Two models compared piece by piece, so that others have their turn in between.

What is made here is kept by comparisons.py. Import it when a comparison begins: it brings torch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.evaluation.compare import Answers, Contestant, Judges, report
from rlhf_demo.evaluation.duel import DuelState, duel
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.server.comparisons import Record
from rlhf_demo.server.judges import REWARD_UNIT
from rlhf_demo.server.turns import Rank, Turn

FRAME_SECONDS = 1 / 15
"""How often a growing text is shown: as fast as reading needs, and no faster."""
CHUNK = 32
"""Prompts that are answered at once; between two chunks others have their turn."""
EXAMPLE_PROMPT = "I watched this with my sister and"


def frames(steps: Iterator[DuelState], turn: Turn) -> Iterator[DuelState]:
    """Run a duel for one frame at a time; between two frames others have their turn.

    Args:
        steps: the duel.
        turn: held while a model computes.
    """
    state = None
    while state is None or not state.finished:
        with turn.of(Rank.VISITORS):
            end = time.monotonic() + FRAME_SECONDS
            state = next(steps)
            while not state.finished and time.monotonic() < end:
                state = next(steps)
        yield state


def same_tokens(left: Policy, right: Policy) -> bool:
    """Say whether two models write with the same tokens; else no random number means the same."""
    return left.tokenizer.get_vocab() == right.tokenizer.get_vocab()


def example_record() -> Record:
    """Let the shipped base and PPO model write to one prompt, as the page does."""
    cpu = torch.device("cpu")
    left, right = "gpt2-mini", "gpt2-mini-ppo"
    base, ppo = (load_policy(name, device=cpu) for name in (left, right))
    scorer, options = load_scorer("reward-mini", device=cpu), DuelOptions()
    *_, state = duel(base, ppo, base, EXAMPLE_PROMPT, options, scorer=scorer)
    return {
        "kind": "duel",
        "example": True,
        "settings": {
            "left": {"id": left, "name": left},
            "right": {"id": right, "name": right},
            "scorer": {"id": "reward-mini", "name": "reward-mini", "unit": REWARD_UNIT},
            "base": left,
            "prompt": EXAMPLE_PROMPT,
            "same_tokens": True,
            **options.to_dict(),
        },
        "state": state.to_dict(),
    }


@dataclass
class ManyPrompts:
    """Two models answer many prompts, chunk by chunk, with the same random numbers.

    Attributes:
        base: what KL and perplexity are counted against.
        judges: who decides; by each of them a higher score wins.
        options: how both sample; nothing is ruled out here, so top-k and top-p do not count.
    """

    left: Contestant
    right: Contestant
    base: Policy
    judges: Judges
    prompts: list[str]
    options: DuelOptions

    def __post_init__(self) -> None:
        self.sides = [Answers(self.left), Answers(self.right)]
        self.how = {name: getattr(self.options, name) for name in ("max_new_tokens", "temperature")}

    def steps(self, turn: Turn) -> Iterator[int]:
        """Answer chunk after chunk, and yield how many prompts both have answered."""
        for number, start in enumerate(range(0, len(self.prompts), CHUNK)):
            prompts = self.prompts[start : start + CHUNK]
            # Each chunk draws numbers of its own, else prompts would share their luck.
            seed = self.options.seed * 1000 + number
            for side in self.sides:
                with turn.of(Rank.VISITORS):
                    side.answer(prompts, self.base, self.judges, seed=seed, **self.how)
            yield start + len(prompts)

    def report(self) -> dict[str, Any]:
        """Return what `compare.compare` reports, over all chunks."""
        return {**self.how, "seed": self.options.seed, **report(self.prompts, *self.sides)}
