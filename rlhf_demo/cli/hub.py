"""Commands that write to the Hugging Face Hub and read from it."""

import argparse
import os
from pathlib import Path

from rlhf_demo.errors import ConfigError, JobError
from rlhf_demo.hub.repositories import check_name


def runs_folder() -> str:
    """Return the folder of the runs, as the page finds it."""
    return os.environ.get("RLHF_DEMO_RUNS") or "runs"


def push_model(args: argparse.Namespace) -> None:
    """Push a finished run's model."""
    check_name(args.repository)
    folder = Path(args.run)
    if not folder.is_dir():
        folder = Path(runs_folder(), args.run)
    if not folder.is_dir():
        raise JobError(f"there is no folder {args.run}: name a run's folder or its id")
    from rlhf_demo.server.published import push_run

    address = push_run(folder, args.repository, private=args.private, with_base=args.with_base)
    print(f"pushed to {address}")


def pull_model(args: argparse.Namespace) -> None:
    """Pull a pushed run."""
    check_name(args.repository)
    from rlhf_demo.server.published import pull_run

    run_id = pull_run(args.repository, Path(args.runs))
    print(f"pulled as the run {run_id}, in {Path(args.runs, run_id)}")


def deploy_space(args: argparse.Namespace) -> None:
    """Create or update a Space."""
    check_name(args.repository)
    data = args.data or f"{args.repository}-data"
    variables: dict[str, str] = {}
    for text in args.variable:
        name, given, value = text.partition("=")
        if not given:
            raise ConfigError(f"--variable is {text!r}: give NAME=VALUE")
        variables[name] = value
    from rlhf_demo.server.deploy import deploy_space

    made = deploy_space(
        args.repository,
        private=args.private,
        data=None if data == "none" else data,
        variables=variables,
        with_token=args.with_token,
    )
    print(f"deployed to {made.address}")
    if "RLHF_DEMO_PASSWORD" not in made.secrets:
        print("It has no password yet: set the Space's secret RLHF_DEMO_PASSWORD to open classes.")
    if made.data and "HF_TOKEN" not in made.secrets:
        print(
            f"Nothing is copied to {made.data} yet: set the Space's secret HF_TOKEN to a token "
            "that may write there, and to nothing else."
        )
