"""Commands that use models without training them, and the command that runs the whole loop."""

import argparse
import json
from pathlib import Path
from typing import Any

from rlhf_demo.cli.checks import check_models, check_out
from rlhf_demo.cli.options import given_options
from rlhf_demo.config.evaluation import CompareConfig, GenerateConfig
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.files import write_json, write_text
from rlhf_demo.runs.run import started_by_hand


def quickstart(args: argparse.Namespace) -> None:
    """Run the whole loop."""
    PairsConfig(seed=args.seed, dtype=args.dtype)  # checks both before the slow imports
    from rlhf_demo.train.quickstart import quickstart

    quickstart(Path(args.out), seed=args.seed, dtype=args.dtype, say=print)


def generate(args: argparse.Namespace) -> None:
    """Write responses as JSON lines."""
    config = GenerateConfig(**given_options(args, GenerateConfig))
    check_models(config.model, config.reward)
    check_out(args.out)
    from rlhf_demo.evaluation.generate import generate_rows
    from rlhf_demo.models.scorers import scorer_of

    scorer = scorer_of(config.reward, **scoring_options(config)) if config.reward else None
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
    chooser = config.reward if config.best_of > 1 else None
    check_models(args.left, args.right, config.base, config.rater, chooser)
    check_out(args.out)
    from rlhf_demo.evaluation.compare import compare_models, side_by_side, table
    from rlhf_demo.models.scorers import scorer_of

    scoring = scoring_options(config)
    judge = scorer_of(config.rater, **scoring)
    scoring["label"] = None  # it is the judge's
    choose = scorer_of(chooser, **scoring) if chooser else None
    report = compare_models(args.left, args.right, config, judge, choose)
    print(side_by_side(report, config.show), table(report), sep="\n\n")
    if args.out:
        write_json(Path(args.out), report)


def scoring_options(config: GenerateConfig | CompareConfig) -> dict[str, Any]:
    """Return the options that the scorer takes."""
    return {
        "device": config.device,
        "dtype": config.dtype,
        "label": config.label,
        "allow_python": started_by_hand(),
    }
