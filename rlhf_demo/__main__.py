"""The commands. Each handler imports what it needs, so --help and wrong names answer at once."""

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlhf_demo.checks import check_data, check_models, check_out
from rlhf_demo.config import (
    BaseConfig,
    CompareConfig,
    GenerateConfig,
    Options,
    PairsConfig,
    PPOConfig,
    RaterConfig,
    RewardConfig,
    declarations,
)
from rlhf_demo.errors import ConfigError, DemoError, JobError
from rlhf_demo.files import read_json, write_json, write_text
from rlhf_demo.listing import lines
from rlhf_demo.presets import PPO_PRESETS
from rlhf_demo.runs import Run, Status
from rlhf_demo.signals import stopping_on_signals


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 a sentence on stderr says what was wrong."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.raiseExceptions = False  # a log that cannot be written is not the error to tell of
    try:
        args = build_parser().parse_args(arguments)
        args.handler(args)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: {error.filename or 'the disk'}: {error.strerror or error}; "
            "nothing half-written is left",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted; a training goes on with its own command and --resume", file=sys.stderr)
        return 130
    return 0


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> None:
        """Raise instead of printing the usage."""
        raise ConfigError(f"{message}; see '{self.prog} --help'")


def folder(name: str) -> str:
    """Check a folder's name; an empty one would mean the present folder."""
    if not name.strip():
        raise argparse.ArgumentTypeError("is empty: name a folder")
    return name


def build_parser() -> argparse.ArgumentParser:
    """Describe every command; options come from their declarations in config.py."""
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
        "--out", required=True, type=folder, help="folder for the run folders of each stage"
    )
    quick.add_argument("--seed", type=int, default=0, help="seed of everything (default 0)")
    quick.add_argument(
        "--dtype",
        default="auto",
        help="number format: auto, float32 or bfloat16 (default auto)",
    )
    quick.set_defaults(handler=quickstart)

    for name, config_class, handler, help_text in (
        ("train-base", BaseConfig, train_base, "pretrain or continue a base model on text"),
        ("train-rater", RaterConfig, train_rater, "train the simulated rater on star ratings"),
        ("make-pairs", PairsConfig, make_pairs, "sample pairs of responses and let a rater prefer"),
        ("train-reward", RewardConfig, train_reward, "fit a reward model to preference pairs"),
        ("train-ppo", PPOConfig, train_ppo, "train a policy against a reward by PPO"),
    ):
        command = commands.add_parser(name, help=help_text, description=config_class.__doc__)
        command.add_argument(
            "--run-dir", required=True, type=folder, help="folder that everything goes into"
        )
        command.add_argument(
            "--resume", action="store_true", help="go on with the run in --run-dir"
        )
        if config_class is PPOConfig:
            command.add_argument(
                "--preset", choices=PPO_PRESETS, help="named set of options (default quick)"
            )
        add_options(command, config_class)
        command.set_defaults(handler=handler)

    command = commands.add_parser("generate", help="write responses with one model")
    command.add_argument("--out", help="JSONL file to write; printed when left out")
    add_options(command, GenerateConfig)
    command.set_defaults(handler=generate)

    command = commands.add_parser("compare", help="two models, same prompts, same random numbers")
    command.add_argument("left", help="first model, usually the base")
    command.add_argument("right", help="second model, whose win rate is reported")
    command.add_argument("--out", help="JSON file for the whole report")
    add_options(command, CompareConfig)
    command.set_defaults(handler=compare)

    command = commands.add_parser("runs", help="list runs, or ask one to stop")
    command.add_argument(
        "folder", nargs="?", default="runs", help="folder to look in (default runs)"
    )
    command.add_argument(
        "--stop", action="store_true", help="ask the run in this very folder to save and stop"
    )
    command.set_defaults(handler=show_runs)
    return parser


# -- options ---------------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser, config_class: type[Options]) -> None:
    """Add one flag per declared option; one that is not given leaves no trace."""
    for declared, kind, _ in declarations(config_class):
        flag, default = f"--{declared.name.replace('_', '-')}", declared.default
        help_text = f"{declared.metadata['help']} (default {default})".replace("%", "%%")
        if kind is bool:
            parser.add_argument(
                flag, action="store_true", default=argparse.SUPPRESS, help=help_text
            )
        else:
            parser.add_argument(
                flag,
                type=kind,
                default=argparse.SUPPRESS,
                help=help_text,
                metavar=kind.__name__.upper(),
            )


def given_options(args: argparse.Namespace, config_class: type[Options]) -> dict[str, Any]:
    """Return the options that stood on the command line."""
    return {
        declared.name: getattr(args, declared.name)
        for declared, _, _ in declarations(config_class)
        if declared.name in args
    }


def train(
    args: argparse.Namespace,
    kind: str,
    config_class: type[Options],
    stage: Callable[[Any, Run, bool], None],
    preset: dict[str, Any] | None = None,
) -> Run:
    """Start a training in a new run folder, or go on with the one that is there."""
    given, run = given_options(args, config_class), Run(args.run_dir)
    if args.resume:
        saved = run.config
        if saved["kind"] != kind:
            raise JobError(
                f"{run.folder} holds a run of {saved['kind']}: resume it with that command"
            )
        if given:
            raise ConfigError(
                f"--{next(iter(given)).replace('_', '-')} cannot be changed by --resume: "
                "leave it out"
            )
        if run.status["status"] == Status.FINISHED:
            raise JobError(f"{run.folder} is finished: there is nothing to resume")
        config = config_class.from_dict(saved["options"])
    else:
        config = config_class(**{**(preset or {}), **given})
    check_models(
        *(getattr(config, name, None) for name in ("model", "policy", "reward", "rater", "judge"))
    )
    check_data(config)
    if not args.resume:
        run = Run.create(args.run_dir, kind, config.to_dict())
    try:
        with stopping_on_signals(run):
            stage(config, run, args.resume)
    except DemoError:
        if not args.resume:
            run.discard_unused()
        raise
    print(f"{run.folder}: {run.status['message']}")
    return run


def scorer_for(name: str, config: Any) -> Any:
    """Load whatever scores texts; Python functions are allowed here and nowhere else.

    Not where the page started this process: the options are the folder's, which may be a copy.
    """
    from rlhf_demo.models import pick_device, pick_dtype
    from rlhf_demo.processes import JOB
    from rlhf_demo.raters import load_scorer

    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    by_hand = JOB not in os.environ
    return load_scorer(name, device=device, label=config.label, dtype=dtype, allow_python=by_hand)


def judge_for(config: PPOConfig) -> Any:
    """Load what judges a PPO run's responses beside its reward, if anything does."""
    from rlhf_demo.labellers import NOBODY, judge_of

    judge = judge_of(config.judge, config.reward)
    return None if judge == NOBODY else scorer_for(judge, replace(config, label=None))


# -- commands --------------------------------------------------------------------------------------


def quickstart(args: argparse.Namespace) -> None:
    """Run the whole loop."""
    PairsConfig(seed=args.seed, dtype=args.dtype)  # checks both before the slow imports
    from rlhf_demo.quickstart import quickstart

    quickstart(Path(args.out), seed=args.seed, dtype=args.dtype, say=print)


def train_base(args: argparse.Namespace) -> None:
    """Stage 0."""

    def stage(config: BaseConfig, run: Run, resume: bool) -> None:
        from rlhf_demo.train_base import train_base

        train_base(config, run, resume=resume)

    run = train(args, "base", BaseConfig, stage)
    print_report(run)


def train_rater(args: argparse.Namespace) -> None:
    """Train the simulated rater."""

    def stage(config: RaterConfig, run: Run, resume: bool) -> None:
        from rlhf_demo.train_rater import train_rater

        train_rater(config, run, resume=resume)

    run = train(args, "rater", RaterConfig, stage)
    print_report(run)


def make_pairs(args: argparse.Namespace) -> None:
    """Stage 1a."""

    def stage(config: PairsConfig, run: Run, resume: bool) -> None:
        from rlhf_demo.make_pairs import make_pairs

        make_pairs(config, run, scorer_for(config.rater, config))

    run = train(args, "pairs", PairsConfig, stage)
    print(f"{len(run.read('pairs'))} pairs in {run.folder / 'pairs.jsonl'}")


def train_reward(args: argparse.Namespace) -> None:
    """Stage 1."""

    def stage(config: RewardConfig, run: Run, resume: bool) -> None:
        from rlhf_demo.train_reward import train_reward

        train_reward(config, run, resume=resume)

    run = train(args, "reward", RewardConfig, stage)
    if (run.folder / "report.json").is_file():
        from rlhf_demo.reliability import format_report

        print(format_report(json.loads((run.folder / "report.json").read_text(encoding="utf-8"))))


def train_ppo(args: argparse.Namespace) -> None:
    """Stage 2."""

    def stage(config: PPOConfig, run: Run, resume: bool) -> None:
        from rlhf_demo.train_ppo import train_ppo

        scorer = scorer_for(config.reward, config)
        train_ppo(config, run, scorer, judge=judge_for(config), resume=resume)

    if args.resume and args.preset:
        raise ConfigError("--preset cannot be changed by --resume: leave it out")
    run = train(args, "ppo", PPOConfig, stage, preset=PPO_PRESETS[args.preset or "quick"].options)
    path = run.folder / "report.json"
    if path.is_file():
        report = read_json(path)
        kept_out = "" if report["held_out"] else " (no others are there than those trained on)"
        print(
            f"saved model on {report['prompts']} prompts{kept_out}: score {report['score']:+.2f} "
            f"\u00b1 {report['score_se']:.2f} standard deviations of the base's scores, "
            f"KL {report['kl']:.1f} \u00b1 {report['kl_se']:.1f} nats per response"
        )


def generate(args: argparse.Namespace) -> None:
    """Write responses as JSON lines."""
    config = GenerateConfig(**given_options(args, GenerateConfig))
    check_models(config.model, config.reward)
    check_out(args.out)
    from rlhf_demo.generate import generate_rows

    scorer = scorer_for(config.reward, config) if config.reward else None
    text = "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in generate_rows(config, scorer)
    )
    if args.out:
        write_text(Path(args.out), text)
        print(f"{text.count(chr(10))} responses in {args.out}")
    else:
        print(text, end="")


def compare(args: argparse.Namespace) -> None:
    """Compare two models."""
    config = CompareConfig(**given_options(args, CompareConfig))
    check_models(args.left, args.right, config.base, config.rater)
    check_out(args.out)
    from rlhf_demo.compare import compare_models, side_by_side, table

    report = compare_models(args.left, args.right, config, scorer_for(config.rater, config))
    print(side_by_side(report, config.show), table(report), sep="\n\n")
    if args.out:
        write_json(Path(args.out), report)


def show_runs(args: argparse.Namespace) -> None:
    """List runs, or ask one to stop."""
    if args.stop:
        run = Run(args.folder)
        if not run.alive():
            raise JobError(
                f"{run.folder} is not being trained ({run.config['kind']}, "
                f"{run.status['status']}): nothing to stop"
            )
        run.request_stop()
        print(f"{run.folder}: asked to stop")
        return
    if not Path(args.folder).is_dir():
        raise JobError(f"there is no folder {args.folder}: name the folder that holds your runs")
    print(*lines(Path(args.folder)), sep="\n")


def print_report(run: Run) -> None:
    """Print a run's report.json as it is."""
    path = run.folder / "report.json"
    if path.is_file():
        print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    sys.exit(main())
