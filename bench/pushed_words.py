"""How much a word's mean advantage varies by chance, with responses as the independent units.

    python -m bench.pushed_words [RUN ...]

Occurrences of a word in one response share its score, so their advantages are correlated. If they
were independent, the variance of a word's mean over n occurrences would be 1 / n, because whitened
advantages have variance 1. Here the variance is estimated over responses: the sum of the squared
totals of the word in each response, over n squared. The table shows that times n, which
server/inside_step.py calls ALIKE. It uses the responses in samples.jsonl of the shipped examples,
or of the given runs.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

from rlhf_demo.files import read_jsonl
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.train.distributions import whole_words

EXAMPLES = [CHECKPOINTS / "examples" / name for name in ("ppo-quick", "ppo-no-kl")]
FEWEST = 50
"""Fewest occurrences for an estimate that is right to about 20%."""


def variances(rows: list[dict]) -> dict[str, tuple[int, float]]:
    """Return, for each frequent word, its count and the variance of its mean times the count.

    Args:
        rows: rows of samples.jsonl.
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
