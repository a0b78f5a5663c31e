"""Fit the fluency judge to blind readings, and compare it with the other judges.

    python -m bench.fluency_judge [--write]

`readings.jsonl` holds pairs of texts by this project's models, on held-out prompts except those
from the records of the example runs. A language model read each pair without its sources and with
sides in random order, and answered: "Which is the better answer of a pleased film-goer who writes
well?" (`better`). Later it read the texts of some pairs again, one at a time in mixed order, and
gave each 0 to 6 points for the same (`marks`). No person has read them.

The threshold of the log-probability is a percentile of the base's own texts. The two weights are
those of a logistic regression on the readings; half of the prompts are judged by weights fitted to
the other half, and the shipped weights are fitted to all. `--write` writes the shipped constants.
"""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from rlhf_demo.config.scorers import BASE, STAR_RATER, WORD_JUDGE
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.files import read_jsonl, write_json
from rlhf_demo.intervals import wilson_interval
from rlhf_demo.models.fluency_judge import CONSTANTS, Constants, mean_logprobs, repetition
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import load_scorer

CPU = torch.device("cpu")
READINGS = Path(__file__).with_name("readings.jsonl")
PERCENTILE = 10
"""So many percent of the base's texts are less likely than the threshold."""
SEEDS = 101, 102
SIGN = {"first": 1, "tie": 0, "second": -1}
DIGITS = 1


@dataclass(frozen=True)
class Pairs:
    """What is known of each pair's two texts: [pairs, 2] each, but for the last three, [pairs]."""

    star: np.ndarray
    word: np.ndarray
    logprob: np.ndarray
    repeated: np.ndarray
    better: np.ndarray  # 1 = the first, -1 = the second, 0 = neither
    half: np.ndarray  # 0 or 1, by prompt
    kind: np.ndarray

    def score(self, constants: Constants) -> np.ndarray:
        """Return the judge's scores."""
        lost = constants.penalty(torch.tensor(self.logprob), torch.tensor(self.repeated))
        return self.star - lost.numpy()


def main() -> None:
    """Fit, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.fluency_judge")
    parser.add_argument("--write", action="store_true", help="write the shipped constants")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_jsonl(READINGS)
    threshold = base_threshold()
    pairs = measured(rows)
    everything = np.ones(len(rows), dtype=bool)
    fitted = fit(pairs, everything, threshold)
    halves = [fit(pairs, pairs.half != half, threshold) for half in (0, 1)]
    print(f"fitted to all: {fitted}", *(f"fitted to a half: {one}" for one in halves), sep="\n")
    crossed = np.where(pairs.half[:, None] == 0, *(pairs.score(one) for one in halves))
    judges = {
        "star-rater": pairs.star,
        "word-judge": pairs.word,
        "log-probability": pairs.logprob,
        "fluency-judge, other half": crossed,
        "fluency-judge, shipped": pairs.score(fitted),
    }
    print(table(pairs, judges))
    print(second_reading(rows))
    if args.write:
        write_json(CONSTANTS, asdict(fitted))


def base_threshold() -> float:
    """Return the percentile of the base's texts on held-out prompts, nats per token."""
    base, prompts = load_policy(BASE, device=CPU), load_prompts("shipped", "heldout")
    logprobs = [
        mean_logprobs(base, prompts, decode(base, generate(
            base, prompts, max_new_tokens=32, temperature=0.7, seed=seed
        )))
        for seed in SEEDS
    ]  # fmt: skip
    threshold = float(np.percentile(torch.cat(logprobs).numpy(), PERCENTILE))
    return round(threshold, 2)


def measured(rows: list[dict]) -> Pairs:
    """Measure both texts of every pair."""
    base = load_policy(BASE, device=CPU)
    prompts = [row["prompt"] for row in rows]

    def both(measure: Callable) -> np.ndarray:
        sides = ([row["texts"][side] for row in rows] for side in (0, 1))
        return np.stack([np.asarray(measure(prompts, side)) for side in sides], axis=1)

    return Pairs(
        star=both(load_scorer(STAR_RATER, device=CPU)),
        word=both(load_scorer(WORD_JUDGE, device=CPU)),
        logprob=both(lambda prompts, texts: mean_logprobs(base, prompts, texts)),
        repeated=both(lambda prompts, texts: [repetition(text) for text in texts]),
        better=np.array([SIGN[row["better"]] for row in rows]),
        half=np.array([half_of(prompt) for prompt in prompts]),
        kind=np.array([row["kind"] for row in rows]),
    )


def half_of(prompt: str) -> int:
    """Return which half of the prompts this one is in, by its letters alone."""
    return hashlib.sha256(prompt.encode()).digest()[-1] % 2


def fit(pairs: Pairs, chosen: np.ndarray, threshold: float) -> Constants:
    """Fit the weights to the chosen pairs: P(first is better) = sigmoid(scale * difference).

    A tie counts as half a win of either side. The scale takes up how sure the readings are, and is
    divided out: what remains is in star-rater's log-odds.
    """
    features = np.stack(
        [pairs.star, np.minimum(0, pairs.logprob - threshold), -pairs.repeated], axis=-1
    )
    x, y = (features[:, 0] - features[:, 1])[chosen], (pairs.better[chosen] + 1) / 2
    weights = np.zeros(3)
    for _ in range(50):  # Newton's method; the loss is convex
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = x.T @ (x * (p * (1 - p))[:, None])
        weights += np.linalg.solve(hessian, x.T @ (y - p))
    unlikely, repeated = (round(float(weight / weights[0]), DIGITS) for weight in weights[1:])
    return Constants(likely_enough=threshold, unlikely=unlikely, repeated=repeated)


def table(pairs: Pairs, judges: dict[str, np.ndarray]) -> str:
    """Lay out on how many decided pairs each judge prefers the same text, by kind of pair."""
    decided = pairs.better != 0
    broken = np.array(["without KL" in kind or "record" in kind for kind in pairs.kind])
    kinds = {
        "all": decided,
        "with a run pushed too far": decided & broken,
        "without one": decided & ~broken,
        **{kind: decided & (pairs.kind == kind) for kind in sorted(set(pairs.kind))},
    }
    lines = ["| pairs | decided | " + " | ".join(judges) + " |", "|---" * (len(judges) + 2) + "|"]
    for kind, chosen in kinds.items():
        cells = [agreement(scores[chosen], pairs.better[chosen]) for scores in judges.values()]
        lines.append(f"| {kind} | {chosen.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def agreement(scores: np.ndarray, better: np.ndarray) -> str:
    """Say on what share of pairs the higher score is the better text's, with a 95% interval."""
    signs = np.sign(scores[:, 0] - scores[:, 1]) * better
    right = float((signs > 0).sum() + (signs == 0).sum() / 2)
    low, high = wilson_interval(right, len(better))
    return f"{100 * right / len(better):.0f}% [{100 * low:.0f}, {100 * high:.0f}]"


def second_reading(rows: list[dict]) -> str:
    """Say how well the marks of single texts agree with the choices between them."""
    twice = [row for row in rows if "marks" in row]
    signs = [(SIGN[row["better"]], np.sign(np.subtract(*row["marks"]))) for row in twice]
    decided = [(one, other) for one, other in signs if one and other]
    return (
        f"read twice: {len(twice)}; the same answer, ties included: "
        f"{sum(one == other for one, other in signs)}; decided both times: {len(decided)}, "
        f"for the same text: {sum(one == other for one, other in decided)}"
    )


if __name__ == "__main__":
    main()
