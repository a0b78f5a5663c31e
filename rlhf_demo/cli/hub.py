"""Commands that write to the Hugging Face Hub and read from it."""

import argparse
import os
from pathlib import Path

from rlhf_demo.errors import JobError
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

    print(f"pushed to {push_run(folder, args.repository, private=args.private)}")


def pull_model(args: argparse.Namespace) -> None:
    """Pull a pushed run."""
    check_name(args.repository)
    from rlhf_demo.server.published import pull_run

    run_id = pull_run(args.repository, Path(args.runs))
    print(f"pulled as the run {run_id}, in {Path(args.runs, run_id)}")
