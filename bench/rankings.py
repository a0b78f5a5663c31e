"""Is a ranking of four worth training on as one batch element, and what is it worth?

    python -m bench.rankings [--fours 150] [--seeds 3] [--out runs/rankings]

The base writes four texts that differ enough to each of some training prompts, and star-rater ranks
them. Reward models learn from these in one epoch, in batches of eight rows:

- the rankings, all six pairs of each in one batch with weight 1/6 (Ouyang et al. 2022);
- the same pairs shuffled, each as a vote of its own;
- the first two texts of each four alone: what voters tell who compare two.

All are tested on the shipped held-out pairs, which star-rater labelled as well. A row is printed
for each run as it ends.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.scorers import BASE, STAR_RATER
from rlhf_demo.data.pairs import PAIRS_FILE, load_pairs
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.files import write_text
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.run import Run
from rlhf_demo.server.pair_choice import four_that_differ
from rlhf_demo.server.sampler import MOST_TOKENS, TEMPERATURE, WRITTEN_FOR_FOUR
from rlhf_demo.train.reward import train_reward
from rlhf_demo.votes.files import row_lines

AT_ONCE = 8 * WRITTEN_FOR_FOUR
CPU = torch.device("cpu")
Row = dict[str, Any]
Ranked = tuple[str, Sequence[str], Sequence[float]]
"""A prompt, its four texts, and their scores by the rater."""


def ranked_fours(count: int, seed: int) -> list[Ranked]:
    """Sample four texts to each of so many prompts, and score them."""
    base, rater = load_policy(BASE, device=CPU), load_scorer(STAR_RATER, device=CPU)
    prompts = load_prompts("shipped", "train")
    random.Random(seed).shuffle(prompts)
    asked = [prompt for prompt in prompts for _ in range(WRITTEN_FOR_FOUR)]
    fours: list[Ranked] = []
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        written = decode(base, generate(
            base, part, max_new_tokens=MOST_TOKENS, temperature=TEMPERATURE, seed=seed + start
        ))  # fmt: skip
        for first in range(0, len(part), WRITTEN_FOR_FOUR):
            if texts := four_that_differ(written[first : first + WRITTEN_FOR_FOUR]):
                prompt = part[first]
                fours.append((prompt, texts, rater([prompt] * len(texts), list(texts)).tolist()))
        if len(fours) >= count:
            break
    return fours[:count]


def pairs_of(four: Ranked, number: int) -> list[Row]:
    """Return a ranking's pairs; equal scores would have no order, and do not occur."""
    prompt, texts, scores = four
    best_first = sorted(range(len(texts)), key=lambda index: -scores[index])
    return [
        {"prompt": prompt, "chosen": texts[i], "rejected": texts[j], "ranking": number}
        for i, j in combinations(best_first, 2)
    ]


def as_rankings(fours: list[Ranked]) -> list[Row]:
    """All pairs, those of a ranking in one batch."""
    return [row for number, four in enumerate(fours) for row in pairs_of(four, number)]


def as_pairs(fours: list[Ranked]) -> list[Row]:
    """All pairs, each by itself."""
    return [{**row, "ranking": None} for row in as_rankings(fours)]


def as_votes(fours: list[Ranked]) -> list[Row]:
    """The pair of the first two texts alone."""
    two = [(prompt, texts[:2], scores[:2]) for prompt, texts, scores in fours]
    return as_pairs(two)


ARMS: dict[str, Callable[[list[Ranked]], list[Row]]] = {
    "rankings": as_rankings, "their pairs, shuffled": as_pairs, "one pair of each": as_votes,
}  # fmt: skip


def figures(rows: list[Row], folder: Path, seed: int) -> str:
    """Train on the rows, and return the held-out figures as cells of a table."""
    held_out = load_pairs("shipped", "heldout")
    tested = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected, "split": "heldout"}
        for prompt, chosen, rejected in zip(
            held_out.prompts, held_out.chosen, held_out.rejected, strict=True
        )
    ]
    data = folder / "data"
    write_text(data / PAIRS_FILE, row_lines([row | {"split": "train"} for row in rows] + tested))
    config = RewardConfig(
        model=BASE, data=str(data), train_pairs=len(rows), warmup_steps=2, checkpoint_every=1000,
        seed=seed, device="cpu",
    )  # fmt: skip
    run = Run.create(folder / "run", "train-reward", config.to_dict())
    started = time.process_time()
    train_reward(config, run)
    report, last = run.report(), run.read("metrics")[-1]
    assert report is not None
    seconds = time.process_time() - started
    interval = f"[{report['accuracy_low']:.1%}, {report['accuracy_high']:.1%}]"
    accuracy = f"{report['accuracy']:.1%} {interval}"
    return f"{len(rows)} | {last['step']} | {accuracy} | {report['loss']:.3f} | {seconds:.0f}"


def main() -> None:
    """Train all, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.rankings")
    parser.add_argument("--fours", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/rankings"))
    args = parser.parse_args()
    print("| learned from | seed | pairs | steps | held-out accuracy | held-out loss | CPU s |")
    for seed in range(args.seeds):
        fours = ranked_fours(args.fours, 10_000 * seed)
        for number, (name, arm) in enumerate(ARMS.items()):
            cells = figures(arm(fours), args.out / f"{number}-{seed}", seed)
            print(f"| {name} | {seed} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
