"""The list of runs that the command line prints: one line for each run."""

from pathlib import Path

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import DemoError
from rlhf_demo.files import printable
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.runs.run import Run, list_runs
from rlhf_demo.runs.tail import last_rows

ODD = KeyError, TypeError, ValueError
"""Errors that the figures of a damaged run raise."""


def lines(folder: Path) -> list[str]:
    """Describe the runs in a folder, oldest first; for a damaged run, say what is wrong."""
    described: list[str] = []
    for run in list_runs(folder):
        try:
            text = line(run)
        except (DemoError, OSError, *ODD) as error:
            text = f"{run.folder}  cannot be read: {error}"
        described.append(printable(text))
    return described or [f"no runs in {folder}"]


def line(run: Run) -> str:
    """Describe a run: its kind, its status, its newest figures."""
    newest = last_rows(run.folder / "metrics.jsonl") or [{}]
    status = run.status
    names = ("step", *STAGES[run.config["kind"]].headline)
    figures = [
        f"{GLOSSARY[name].label} {newest[-1][name]:.3g}" for name in names if name in newest[-1]
    ]
    return (
        f"{run.folder}  {run.config['kind']}  {status['status']}  {', '.join(figures)}  "
        f"{status.get('message', '')}"
    )
