"""How far chance moves a word's mean advantage, with responses as the independent units.

    python -m bench.pushed_words [RUN ...]

Occurrences of a word in one response share its score, so their advantages are alike. Were they
independent, the variance of a word's mean over n occurrences would be 1 / n, as whitened advantages
have variance 1. Here it is estimated over responses: the sum of the squared totals of the word in
each response, over n squared. Printed is that times n, which server/inside_step.py calls ALIKE. The
runs are the shipped examples unless others are named; of each, the responses in samples.jsonl.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

from rlhf_demo.files import read_jsonl
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.train.distributions import whole_words

EXAMPLES = [CHECKPOINTS / "examples" / name for name in ("ppo-quick", "ppo-no-kl")]
FEWEST = 50
"""Occurrences from which the estimate is good to some 20%."""


def variances(rows: list[dict]) -> dict[str, tuple[int, float]]:
    """Return, for each word met often, how often it stood and the variance of its mean times that.

    Args:
        rows: of samples.jsonl.
    """
    counts, squares = Counter(), Counter()
    for row in rows:
        totals = defaultdict(float)
        pieces = ["" if piece == "<|endoftext|>" else piece for piece in row["token"]]
        for text, gained in whole_words(pieces, row["advantage"]):
            word = text.strip().lower()
            counts[word] += 1
            totals[word] += sum(gained) / len(gained)
        for word, total in totals.items():
            squares[word] += total**2
    common = [(word, count) for word, count in counts.most_common() if count >= FEWEST]
    return {word: (count, squares[word] / count) for word, count in common}


def main() -> None:
    """Print a line for each word of each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=EXAMPLES, help="folders of PPO runs")
    for run in parser.parse_args().runs:
        print(f"\n{run.name}: word, occurrences, variance of the mean times these")
        for word, (count, variance) in variances(read_jsonl(run / "samples.jsonl")).items():
            print(f"{word:12} {count:5} {variance:6.2f}")


if __name__ == "__main__":
    main()
