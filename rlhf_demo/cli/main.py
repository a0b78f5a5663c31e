"""The commands. Each handler imports what it needs, so --help and errors in names come at once."""

import argparse
import logging
import os
import sys
import warnings
from typing import Any

from rlhf_demo.cli.frontier import frontier
from rlhf_demo.cli.hub import deploy_space, pull_model, push_model, runs_folder
from rlhf_demo.cli.models import compare, generate, quickstart
from rlhf_demo.cli.options import Parser, add_options, folder
from rlhf_demo.cli.runs import show_runs
from rlhf_demo.cli.train import train
from rlhf_demo.config.evaluation import CompareConfig, FrontierConfig, GenerateConfig
from rlhf_demo.config.stages import STAGES, Stage
from rlhf_demo.errors import DemoError
from rlhf_demo.files import printable


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 for success, 2 with an error sentence on stderr."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.raiseExceptions = False  # a log that cannot be written is not the error to report
    try:
        args = build_parser().parse_args(arguments)
        args.handler(args)
    except DemoError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: {error.filename or 'the disk'}: {error.strerror or error}; "
            "no partly written file is left",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted; to continue a training, repeat its command with --resume", file=sys.stderr
        )
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of every command; config/ declares the stages and their options."""
    parser = Parser(
        prog="python -m rlhf_demo",
        description="RLHF that people can watch: the whole loop on one small machine.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    quick = commands.add_parser(
        "quickstart", help="run the whole loop on the shipped base model, in minutes"
    )
    quick.add_argument(
        "--out", required=True, type=folder, help="folder for the run folders of all stages"
    )
    quick.add_argument("--seed", type=int, default=0, help="random seed of all stages (default 0)")
    quick.add_argument(
        "--dtype",
        default="auto",
        help="number format: auto, float32 or bfloat16 (default auto)",
    )
    quick.set_defaults(handler=quickstart)

    for stage in STAGES.values():
        add_stage(commands, stage)

    command = commands.add_parser("generate", help="write responses with one model")
    command.add_argument("--out", help="JSONL file to write; without it, print the responses")
    add_options(command, GenerateConfig)
    command.set_defaults(handler=generate)

    command = commands.add_parser("compare", help="compare two models on the same prompts")
    command.add_argument("left", help="first model, usually the base")
    command.add_argument("right", help="second model, whose win rate is reported")
    command.add_argument("--out", help="JSON file for the whole report")
    add_options(command, CompareConfig)
    command.set_defaults(handler=compare)

    command = commands.add_parser(
        "frontier", help="compare methods at equal KL, and finished runs with them"
    )
    command.add_argument(
        "runs", nargs="*", metavar="RUN", help="folders of finished runs; without any, the record"
    )
    command.add_argument("--out", help="JSON file for the record with the runs")
    add_options(command, FrontierConfig)
    command.set_defaults(handler=frontier)

    command = commands.add_parser("runs", help="list runs, or ask one to stop")
    command.add_argument(
        "folder", nargs="?", default="runs", help="folder to look in (default runs)"
    )
    command.add_argument(
        "--stop", action="store_true", help="ask the run in this folder to save and stop"
    )
    command.set_defaults(handler=show_runs)

    add_hub_commands(commands)
    return parser


def add_hub_commands(commands: Any) -> None:
    """Add the commands that write to the Hub and read from it; `commands` as in `add_stage`."""
    command = commands.add_parser("push-model", help="push a finished run's model to the Hub")
    command.add_argument("run", help="the run's folder, or its id")
    command.add_argument("repository", metavar="OWNER/NAME", help="model repository to write")
    command.add_argument("--private", action="store_true", help="make a new repository private")
    command.add_argument(
        "--with-base",
        action="store_true",
        help="publish the weights of the local model that the run trained an adapter on, too",
    )
    command.set_defaults(handler=push_model)

    command = commands.add_parser("pull-model", help="fetch a pushed run from the Hub")
    command.add_argument("repository", metavar="OWNER/NAME", help="model repository to read")
    command.add_argument(
        "--runs",
        default=runs_folder(),
        type=folder,
        help="folder of the runs, in which the page finds the model "
        "(default RLHF_DEMO_RUNS, or else runs)",
    )
    command.set_defaults(handler=pull_model)

    command = commands.add_parser(
        "deploy-space", help="create or update a Space that runs the page"
    )
    command.add_argument("repository", metavar="OWNER/NAME", help="Space to write")
    command.add_argument("--private", action="store_true", help="make a new Space private")
    command.add_argument(
        "--data",
        metavar="OWNER/NAME",
        help="private data set to which the Space copies runs and votes, or none (default: the "
        "Space's name with -data)",
    )
    command.add_argument(
        "--variable",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the page (docs/settings.md); may be given several times",
    )
    command.add_argument(
        "--with-token",
        action="store_true",
        help="give the Space your own token as a secret, so that it can write the data set",
    )
    command.set_defaults(handler=deploy_space)


def add_stage(commands: Any, stage: Stage) -> None:
    """Add the command of one stage.

    Args:
        commands: what `add_subparsers` returns, whose class argparse keeps to itself.
        stage: its row.
    """
    command = commands.add_parser(stage.command, help=stage.help, description=stage.config.__doc__)
    command.add_argument(
        "--run-dir", required=True, type=folder, help="folder for everything that the run writes"
    )
    command.add_argument("--resume", action="store_true", help="continue the run in --run-dir")
    if stage.presets:
        command.add_argument(
            "--preset",
            choices=stage.presets,
            help=f"named set of options (default {next(iter(stage.presets))})",
        )
    add_options(command, stage.config)
    command.set_defaults(handler=train, trains=stage)
