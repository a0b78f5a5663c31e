"""The command that lists runs, or stops a run."""

import argparse
from pathlib import Path

from rlhf_demo.errors import JobError
from rlhf_demo.runs.listing import lines
from rlhf_demo.runs.run import Run


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
