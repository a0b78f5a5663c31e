"""Make the files in checkpoints/ from finished runs. `make examples` calls it.

python -m rlhf_demo.cli.ship model RUN NAME              checkpoints/NAME, a run's adapter
python -m rlhf_demo.cli.ship example RUN NAME TITLE      checkpoints/examples/NAME, its record
python -m rlhf_demo.cli.ship duel                        checkpoints/examples/duel.json
python -m rlhf_demo.cli.ship word-judge REVIEWS          checkpoints/word-judge; needs scikit-learn
python -m rlhf_demo.cli.ship harshness REVIEWS           checkpoints/harshness
"""

import argparse
from pathlib import Path


def main() -> None:
    """Write one of the five, and print its path."""
    parser = argparse.ArgumentParser(prog="python -m rlhf_demo.cli.ship")
    things = parser.add_subparsers(dest="thing", required=True)
    model = things.add_parser("model", help="a finished run's adapter, in float16")
    example = things.add_parser("example", help="a finished run's record, without its model")
    things.add_parser("duel", help="the comparison that a new page shows")
    judge = things.add_parser("word-judge", help="the judge that adds up a weight for each word")
    for command in (model, example):
        command.add_argument("run", help="the run's folder")
        command.add_argument("name", help="folder to write, in checkpoints/")
    example.add_argument("title", help="its name on the page")
    harshness = things.add_parser("harshness", help="the classifier with the label 'not harsh'")
    for command in (judge, harshness):
        command.add_argument("reviews", help="Parquet file with the columns split, stars and text")
    args = parser.parse_args()
    print(WRITE[args.thing](args))


def _model(args: argparse.Namespace) -> Path:
    from rlhf_demo.models.export import ship

    return ship(args.run, args.name)


def _example(args: argparse.Namespace) -> Path:
    from rlhf_demo.runs.examples import ship_example

    return ship_example(args.run, args.name, args.title)


def _duel(_: argparse.Namespace) -> Path:
    from rlhf_demo.files import write_json
    from rlhf_demo.server.comparing import example_record
    from rlhf_demo.server.comparisons import EXAMPLE_PATH

    write_json(EXAMPLE_PATH, example_record())
    return EXAMPLE_PATH


def _word_judge(args: argparse.Namespace) -> Path:
    from rlhf_demo.train.word_judge import FOLDER, make_word_judge

    make_word_judge(args.reviews)
    return FOLDER


def _harshness(args: argparse.Namespace) -> Path:
    from rlhf_demo.train.harshness import FOLDER, make_harshness

    make_harshness(args.reviews)
    return FOLDER


WRITE = {
    "model": _model,
    "example": _example,
    "duel": _duel,
    "word-judge": _word_judge,
    "harshness": _harshness,
}

if __name__ == "__main__":
    main()
