"""Train the proxies of three sizes with three seeds, maximise each, and ship the curves.

    python -m bench.overoptimisation --out DIR [--write]

Runs `python -m rlhf_demo overoptimise` for each seed and size, seed 0 of all sizes first; a run
that has finished is not repeated, and one that was stopped is resumed. `--write` only writes the
record that the page shows, from the runs in DIR that have finished.
"""

import argparse
import subprocess
import sys
from itertools import product
from pathlib import Path

from rlhf_demo.config.overoptimise import SIZES
from rlhf_demo.evaluation.overoptimisation import RECORD, read_attempt
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
        write_json(RECORD, [read_attempt(run) for run in finished])
        return
    for run, size, seed in runs:
        if run.exists() and run.status["status"] == Status.FINISHED:
            continue
        options = ["--resume"] if run.exists() else ["--train-pairs", size, "--seed", seed]
        command = ["overoptimise", "--run-dir", run.folder, *options]
        subprocess.run([sys.executable, "-m", "rlhf_demo", *map(str, command)], check=True)


if __name__ == "__main__":
    main()
