"""Train the proxies of three sizes with three seeds, maximise each, and ship the curves.

    python -m bench.overoptimisation --out DIR [--write]

Runs `python -m rlhf_demo overoptimise` for each seed and size, seed 0 of all sizes first; a run
that has finished is not repeated, and one that was stopped is resumed. `--write` only writes the
record that the page shows, from the runs in DIR that have finished, and prints the table of
docs/experiments.md: sizes with all seeds together, and the single runs.
"""

import argparse
import subprocess
import sys
from itertools import product
from pathlib import Path

from rlhf_demo.config.overoptimise import SIZES
from rlhf_demo.evaluation.overoptimisation import (
    RECORD,
    SCORERS,
    Attempt,
    Bin,
    Way,
    bins,
    fit,
    gains,
    read_attempt,
    study,
    turn,
)
from rlhf_demo.files import write_json
from rlhf_demo.runs.run import Run, Status

SEEDS = 0, 1, 2


def main() -> None:
    """Train what is missing, or write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--write", action="store_true", help="only write the record")
    args = parser.parse_args()
    runs = [(Run(args.out / f"{size}-{seed}"), size, seed) for seed, size in product(SEEDS, SIZES)]
    if args.write:
        finished = [run for run, *_ in runs if run.status["status"] == Status.FINISHED]
        attempts = [read_attempt(run) for run in finished]
        write_json(RECORD, attempts)
        print(table(attempts))
        return
    for run, size, seed in runs:
        if run.exists() and run.status["status"] == Status.FINISHED:
            continue
        options = ["--resume"] if run.exists() else ["--train-pairs", size, "--seed", seed]
        command = ["overoptimise", "--run-dir", run.folder, *options]
        subprocess.run([sys.executable, "-m", "rlhf_demo", *map(str, command)], check=True)


def table(attempts: list[Attempt]) -> str:
    """Return the gains of each size as a Markdown table."""
    head = (
        "| pairs | seeds | proxy right | method | proxy gains, at the end | judge gains, highest | "
        "judge gains, at the end | fit of the judge\u2019s gain: R\u00b2, alpha, beta, top |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for size in SIZES:
        of_size = [one for one in attempts if one["pairs"] == size]
        together = [of_size] if len(of_size) > 1 else []
        for some in together + [[one] for one in of_size]:
            lines += [_line(some, way) for way in Way]
    return "\n".join(lines)


def _line(attempts: list[Attempt], way: Way) -> str:
    proxy, judge = (bins(way, attempts, scorer) for scorer in SCORERS)
    curve = fit(way, gains(way, attempts, "judge"))
    assert curve is not None
    top = "none" if curve.top is None else f"{curve.top**2:.1f} nats"
    accuracy = study(attempts)["accuracy"]
    cells = [
        f"{attempts[0]['pairs']:,}",
        ", ".join(str(one["seed"]) for one in attempts),
        "" if accuracy is None else f"{accuracy:.3f}",
        "PPO" if way is Way.PPO else "best-of-N",
        _mean(proxy[-1]),
        _mean(max(judge, key=lambda one: one.gain)),
        _mean(judge[-1]) + (", turned" if turn(judge) else ""),
        f"{curve.r2:.2f}, {curve.alpha:.2f}, {curve.beta:.2f}, {top}",
    ]
    return f"| {' | '.join(cells)} |"


def _mean(one: Bin) -> str:
    return f"{one.gain:+.2f} \u00b1 {one.se:.2f} at {one.distance**2:.1f} nats"


if __name__ == "__main__":
    main()
