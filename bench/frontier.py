"""Train every arm of the frontier at several strengths with three seeds, and write its record.

    python -m bench.frontier --out DIR               trains and measures what is missing
    python -m bench.frontier --out DIR --seconds     times one run of each arm, with nothing else

Each run is what its command trains, in DIR/ARM-STRENGTH-seedN. What is finished is not trained
again, and what the record has is not measured again, so an interrupted benchmark continues. Seed 0
of all arms comes first, so that a record that is not complete is of use.

Held equal: the 1,241 labelled pairs, the base, and the responses that teach (2,560 that a
policy-gradient run samples, 2,482 that the base had sampled for the pairs of DPO). Best-of-N comes
first: its responses are chosen by the reward model that PPO, RLOO and GRPO learn from.
"""

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from rlhf_demo.config.evaluation import FrontierConfig
from rlhf_demo.evaluation.frontier_measure import (
    Field,
    chooser_of,
    done,
    measure_best_of_n,
    measure_run,
    open_field,
)
from rlhf_demo.files import write_json
from rlhf_demo.runs.frontier import SHIPPED_FRONTIER, FrontierRun, read_frontier
from rlhf_demo.runs.run import Run, Status

warnings.filterwarnings("ignore", category=FutureWarning)
SEEDS = range(3)
PENALTIES = "kl_coef=0.25,kl_target=2.5", "kl_coef=0.1,kl_target=5", "kl_coef=0.5,kl_target=1.25"
STRENGTHS = {
    "ppo": PENALTIES,
    "rloo": PENALTIES,
    "grpo": PENALTIES,
    "dpo": ("beta=1", "beta=0.5", "beta=3"),
    "sft": ("epochs=1",),
}
"""Arm -> its strengths, the default first."""
ON_POLICY = ("--samples-every=40", "--checkpoint-every=10")
TIMED = ("reward", *STRENGTHS)


def plan(out: Path) -> Iterator[tuple[str, str, int, Path]]:
    """Yield arm, strength, seed and folder of each run, in the order of training."""
    for seed in SEEDS:
        for place in range(3):
            for arm, strengths in STRENGTHS.items():
                for strength in strengths[place : place + 1]:
                    yield arm, strength, seed, out / f"{arm}-{strength}-seed{seed}"


def is_finished(run: Run) -> bool:
    """Say whether a run has been trained to its end."""
    return run.exists() and run.status["status"] == Status.FINISHED


def train(arm: str, strength: str, seed: int, folder: Path) -> None:
    """Train a run as its command does, without a judge, which would not change it."""
    pairs = (part.split("=") for part in strength.split(","))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in pairs]
    options += ON_POLICY if strength in PENALTIES else ()
    options += ("--resume",) if Run(folder).exists() else ()
    command = (f"train-{arm}", f"--run-dir={folder}", f"--seed={seed}", "--judge=none", *options)
    subprocess.run([sys.executable, "-m", "rlhf_demo", *command], check=True)


def add(field: Field, path: Path, run: FrontierRun) -> None:
    """Add a measured run to the record, and write the record."""
    field.record["runs"].append(run)
    write_json(path, field.record)
    print(run["name"], [(point["step"], point["kl"]) for point in run["points"]], flush=True)


def open_record(path: Path) -> Field:
    """Load the base and the judges for the record, or begin a new one."""
    return open_field(FrontierConfig(), read_frontier(path) if path.is_file() else None)


def add_best_of_n(field: Field, path: Path, seed: int) -> None:
    """Measure best-of-N with a seed, unless the record has it."""
    config = FrontierConfig()
    if f"best-of-n, seed {seed}" not in names(field):
        best_of = chooser_of(config, field)
        add(field, path, done(measure_best_of_n(field, best_of, seed)))


def add_run(field: Field, path: Path, folder: Path) -> None:
    """Measure a run, unless it is not finished or the record has it."""
    if folder.name not in names(field) and is_finished(Run(folder)):
        add(field, path, measure_run(field, Run(folder)))


def names(field: Field) -> set[str]:
    """Return the names of the measured runs."""
    return {run["name"] for run in field.record["runs"]}


def fill(out: Path, path: Path) -> None:
    """Train and measure what is missing; best-of-N with the other seeds, which is slow, last.

    Args:
        out: folder of the runs.
        path: of the record.
    """
    field = open_record(path)
    add_best_of_n(field, path, 0)
    for arm, strength, seed, folder in plan(out):
        if folder.name not in names(field) and not is_finished(Run(folder)):
            train(arm, strength, seed, folder)
        add_run(field, path, folder)
    for seed in SEEDS:
        add_best_of_n(field, path, seed)


def time_runs(out: Path, path: Path) -> None:
    """Time one run of each arm in its default setting, from the command to the saved model."""
    record = read_frontier(path)
    seconds = record.setdefault("seconds", {})
    for arm in TIMED:
        folder = out / "seconds" / f"{arm}-{time.time():.0f}"
        command = [sys.executable, "-m", "rlhf_demo", f"train-{arm}", f"--run-dir={folder}"]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        seconds[arm] = round(time.perf_counter() - started, 1)
        write_json(path, record)
        print(arm, seconds[arm], flush=True)


def main() -> None:
    """Train and measure, or time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--record", type=Path, default=SHIPPED_FRONTIER)
    parser.add_argument("--seconds", action="store_true", help="time one run of each arm")
    args = parser.parse_args()
    if args.seconds:
        time_runs(args.out, args.record)
    else:
        fill(args.out, args.record)


if __name__ == "__main__":
    main()
