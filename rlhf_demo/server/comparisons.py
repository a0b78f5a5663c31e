"""Comparisons as records: made piece by piece, kept under an id, opened again without computing.

A record is JSON. `kind` is `duel` (one prompt, token by token) or `many` (prompts and a report);
`settings` say who wrote, how, and what scored; then comes the duel's `state` or the `report`. One
that was kept has an `id` and a `date` too. Nothing here knows of the page.

    python -m rlhf_demo.server.comparisons --example    writes the duel that the page shows at first
"""

import re
import secrets
import string
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.compare import Answers, Contestant, Judges, report
from rlhf_demo.evaluation.duel import DuelState, duel
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.judges import REWARD_UNIT
from rlhf_demo.server.turns import Rank, Turn

ID = re.compile(r"[a-z0-9]{8}")
FRAME_SECONDS = 1 / 15
"""How often a growing text is shown: as fast as reading needs, and no faster."""

CHUNK = 32
"""Prompts that are answered at once; between two chunks others have their turn."""

EXAMPLE_PATH = CHECKPOINTS / "examples" / "duel.json"
EXAMPLE_PROMPT = "I watched this with my sister and"

Record = dict[str, Any]


class Comparisons:
    """The folder of kept records; the oldest of the address that brought most make room."""

    def __init__(self, folder: Path, most: int = 500) -> None:
        self.folder, self.most = folder, most
        self._lock = threading.Lock()
        self._came_from: dict[str, str] = {}  # a record's address; in no file, so nobody finds it

    def keep(self, record: Record, address: str) -> Record:
        """Save a record, and return it with its new `id` and its `date` (UTC)."""
        name = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        kept = record | {"id": name, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        with self._lock:
            write_json(self.folder / f"{name}.json", kept)
            self._came_from[name] = address
            self._make_room()
        return kept

    def _make_room(self) -> None:
        by_age = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        origins = {path: self._came_from.get(path.stem, "") for path in by_age}
        while len(origins) > self.most:
            [(fullest, _)] = Counter(origins.values()).most_common(1)
            oldest = next(path for path in origins if origins[path] == fullest)
            oldest.unlink()
            del origins[oldest]
        self._came_from = {path.stem: origin for path, origin in origins.items()}

    def open(self, name: str) -> Record:
        """Return a kept record.

        Raises:
            DataError: there is none of that id, or an earlier version of this page wrote it.
        """
        path = self.folder / f"{name}.json"
        if not ID.fullmatch(name) or not path.is_file():
            raise DataError(
                f"there is no saved comparison {name[:40]!r} here: "
                "check the address, or compare anew"
            )
        record = read_json(path)
        if not _is_readable(record):
            raise DataError(
                f"the saved comparison {name} was made by an earlier version of this page, which "
                "measured other things: compare anew"
            )
        return record


def _is_readable(record: Record) -> bool:
    if record["kind"] == "many":
        return "judges" in record["report"]
    return "log_ratio" in record["state"]["left"]


# -- one prompt ------------------------------------------------------------------------------------


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


# -- many prompts ----------------------------------------------------------------------------------


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
