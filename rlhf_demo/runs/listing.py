"""The list of runs as the command line prints it: one line each."""

from pathlib import Path

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import DemoError
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.runs.run import Run, list_runs


def lines(folder: Path) -> list[str]:
    """Describe the runs in a folder, oldest first; of a damaged one, say what is wrong with it."""
    found = []
    for run in list_runs(folder):
        try:
            found.append(line(run))
        except DemoError as error:
            found.append(f"{run.folder}  cannot be read: {error}")
    return found or [f"no runs in {folder}"]


def line(run: Run) -> str:
    """Describe a run: its kind, how it stands, its newest figures."""
    newest, status = (run.read("metrics") or [{}])[-1], run.status
    names = ("step", *STAGES[run.config["kind"]].headline)
    figures = [f"{GLOSSARY[name].label} {newest[name]:.3g}" for name in names if name in newest]
    return (
        f"{run.folder}  {run.config['kind']}  {status['status']}  {', '.join(figures)}  "
        f"{status.get('message', '')}"
    )
