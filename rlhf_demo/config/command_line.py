"""The command line that a run stands for."""

import re
import shlex
from pathlib import Path
from typing import Any

from rlhf_demo.config.stages import STAGES, Task

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""An option with this form names a Python function."""
NOT_OFFERED = (
    "# This run calls a Python function. Read the function first, then start the run by hand."
)
"""The function may come from the person who sent the run's folder."""


def repeat_command(config: Task, runs: Path) -> str:
    """Return the command that repeats a run in a new folder, with all options but the defaults.

    It calls the folder of runs `runs`, wherever it is: everybody may read the command, and nobody
    needs to know the server's folders. If it would call a Python function, the result is a
    comment instead.

    Args:
        config: the run's kind and options.
        runs: the folder of runs.
    """
    if any(FUNCTION.fullmatch(str(value)) for value in config["options"].values()):
        return NOT_OFFERED
    stage = STAGES[config["kind"]]
    defaults = stage.config().to_dict()
    words = ["python", "-m", "rlhf_demo", stage.command, "--run-dir", "runs/again"]
    for name, value in config["options"].items():
        if name in defaults and value != defaults[name] and value is not None:
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, _without_folder(value, runs)]
    return shlex.join(words)


def _without_folder(value: Any, runs: Path) -> str:
    text = str(value)
    if text.startswith("/") and Path(text).is_relative_to(runs.resolve()):
        return f"runs/{Path(text).relative_to(runs.resolve())}"
    # The run was copied here, with the paths of another machine.
    return f"runs/{Path(text).name}" if text.startswith("/") else text
