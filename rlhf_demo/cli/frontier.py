"""The command that compares methods at equal KL, and finished runs with them."""

import argparse
from pathlib import Path

from rlhf_demo.cli.checks import check_models, check_out
from rlhf_demo.cli.options import given_options
from rlhf_demo.config.evaluation import FrontierConfig
from rlhf_demo.config.scorers import is_function
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.evaluation.frontier import cost_table, table
from rlhf_demo.evaluation.frontier_runs import describe_run
from rlhf_demo.files import write_json
from rlhf_demo.paths import typed_path
from rlhf_demo.runs.frontier import SHIPPED_FRONTIER, FrontierRecord, FrontierRun, read_frontier
from rlhf_demo.runs.run import Run

NEW = "new"
FREE = {"record", "judge", "dtype", "device"}
"""Options that do not describe a record."""


def frontier(args: argparse.Namespace) -> None:
    """Measure finished runs, and print them with the methods of a record."""
    given = given_options(args, FrontierConfig)
    config, runs = FrontierConfig(**given), [Run(folder) for folder in args.runs]
    for run in runs:
        describe_run(run)  # refuses one that cannot be measured, before anything is computed
    check_out(args.out)
    if config.record == NEW:
        record, own = _new(config, runs), []
        judges = record["judges"]
    else:
        record = _record(config, given)
        judges = config.judges if "judge" in given else record["judges"]
        own = _measure(config, record, runs) if runs else []
    print(*(table(record, judge, own) for judge in judges), cost_table(record), sep="\n\n")
    if args.out:
        write_json(Path(args.out), record | {"runs": record["runs"] + own})


def _new(config: FrontierConfig, runs: list[Run]) -> FrontierRecord:
    """Make a record of best-of-N and these runs.

    Raises:
        DemoError: there is no run, or a model, judge or prompt cannot be used.
    """
    if not runs:
        raise ConfigError("a new record needs runs: name the folders of finished runs")
    check_models(config.base, config.reward, *config.judges)
    from rlhf_demo.evaluation import frontier_measure as measure

    field = measure.open_field(config)
    chooser = measure.chooser_of(config, field)
    best = measure.done(measure.measure_best_of_n(field, chooser, seed=0))
    field.record["runs"] = [best, *(measure.measure_run(field, run) for run in runs)]
    return field.record


def _measure(config: FrontierConfig, record: FrontierRecord, runs: list[Run]) -> list[FrontierRun]:
    """Measure runs as those of a record were.

    The command must name a Python function among the judges again, because the person who sent the
    record may have chosen the function.

    Raises:
        DemoError: the command does not name the function, or a model or judge cannot be used.
    """
    for judge in record["judges"]:
        if is_function(judge) and judge not in config.judges:
            raise ConfigError(
                f"the record {config.record} calls the Python function {judge!r}: if you trust it, "
                f"add --judge {','.join(record['judges'])}"
            )
    check_models(record["base"], *record["judges"])
    from rlhf_demo.evaluation.frontier_measure import measure_run, open_field

    field = open_field(config, record)
    return [measure_run(field, run) for run in runs]


def _record(config: FrontierConfig, given: dict[str, object]) -> FrontierRecord:
    """Read the record that the options name.

    Raises:
        DemoError: there is none, or an option does not fit it.
    """
    path = SHIPPED_FRONTIER if config.record == SHIPPED else typed_path(config.record)
    if not path.is_file():
        raise DataError(f"there is no record {config.record}: name a file that --out wrote")
    record = read_frontier(path)
    if fixed := sorted(given.keys() - FREE):
        raise ConfigError(
            f"--{fixed[0].replace('_', '-')} is fixed by the record {config.record}: leave it out, "
            f"or give --record {NEW}"
        )
    unknown = [name for name in config.judges if name not in record["judges"]]
    if "judge" in given and unknown:
        raise ConfigError(
            f"--judge is {unknown[0]!r}: the record has {', '.join(record['judges'])}; choose one "
            f"of them, or give --record {NEW}"
        )
    return record
