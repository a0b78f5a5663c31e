"""The command of a stage: start a training in a new run folder, or resume the run in a folder."""

import argparse
import importlib
import sys
from typing import Any

from rlhf_demo.cli.checks import MODELS, check_data, check_models, check_same_models
from rlhf_demo.cli.options import given_options
from rlhf_demo.config.options import Options
from rlhf_demo.config.stages import Stage
from rlhf_demo.errors import ConfigError, DemoError, JobError
from rlhf_demo.garbage_collection import without_collections
from rlhf_demo.runs.launch import FollowedRun, follows, launched
from rlhf_demo.runs.run import Run, Status, started_by_hand
from rlhf_demo.runs.signals import leaving_signals_to_another, stopping_on_signals


def train(args: argparse.Namespace) -> None:
    """Run a stage in --run-dir, and print its result."""
    stage: Stage = args.trains
    if launched() and not stage.processes:
        raise ConfigError(f"{stage.command} trains in one process: leave out accelerate launch")
    if follows():
        follow(args)
        return
    run = Run(args.run_dir)
    config = resumed_config(args, run) if args.resume else new_config(args)
    check_models(*(getattr(config, name, None) for name in MODELS))
    check_data(config)
    if not args.resume:
        run = Run.create(args.run_dir, stage.kind, config.to_dict())
    check_same_models(run, config)
    try:
        with stopping_on_signals(run):
            function(stage.entry)(config, run, resume=args.resume)
    except DemoError:
        if not args.resume:
            run.discard_unused()
        raise
    print(f"{run.folder}: {run.status.get('message', '')}")
    if stage.summary and (summary := function(stage.summary)(run)):
        print(summary)


def follow(args: argparse.Namespace) -> None:
    """Train beside the process that checks the options and writes the run's files.

    That process also says what is wrong, so this one ends in silence.
    """
    stage: Stage = args.trains
    run = FollowedRun(args.run_dir)
    try:
        config = resumed_config(args, run) if args.resume else new_config(args)
        with leaving_signals_to_another():
            function(stage.entry)(config, run, resume=args.resume)
    except DemoError:
        sys.exit(2)


def new_config(args: argparse.Namespace) -> Options:
    """Return the options of a new run: those given, and the preset's for the others."""
    stage: Stage = args.trains
    preset: dict[str, Any] = {}
    if stage.presets:  # without any, the command has no --preset
        preset = stage.presets[args.preset or next(iter(stage.presets))].options
    return stage.config(**{**preset, **given_options(args, stage.config)})


def resumed_config(args: argparse.Namespace, run: Run) -> Options:
    """Return the options that a run started with.

    The command must name a Python function among them again, because the person who sent the folder
    may have chosen the function.

    Raises:
        JobError: the run is of another kind, or has finished.
        ConfigError: the command gives other options, or does not name the function.
    """
    saved, given = run.config, given_options(args, args.trains.config)
    if saved["kind"] != args.trains.kind:
        raise JobError(
            f"{run.folder} holds a {saved['kind']} run: resume it with the command of that stage"
        )
    functions = {
        name: saved["options"][name]
        for name in MODELS
        if started_by_hand() and ":" in str(saved["options"].get(name))
    }
    for name, code in functions.items():
        if given.pop(name, None) != code:
            raise ConfigError(
                f"{run.folder.name} calls the Python function {code!r}: if you trust it, add "
                f"--{name} {code}"
            )
    if name := "preset" if getattr(args, "preset", None) else next(iter(given), None):
        raise ConfigError(f"--{name.replace('_', '-')} cannot be changed by --resume: leave it out")
    if run.status["status"] == Status.FINISHED:
        raise JobError(f"{run.folder} is finished: there is nothing to resume")
    return args.trains.config.from_dict(saved["options"])


def function(name: str) -> Any:
    """Import `module:function`. It happens late because a stage imports slowly."""
    module, _, attribute = name.partition(":")
    with without_collections():
        return getattr(importlib.import_module(module), attribute)
