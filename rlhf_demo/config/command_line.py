"""The command line that a run stands for."""

import shlex
from pathlib import Path
from typing import Any

from rlhf_demo.config.stages import STAGES


def repeat_command(config: dict[str, Any]) -> str:
    """Return the command that repeats a run in a new folder: every option that is no default.

    Where the runs lie outside the repository, it calls their folder `runs`: everybody may read the
    command, and nobody need know the server's folders.
    """
    stage = STAGES[config["kind"]]
    defaults = stage.config().to_dict()
    words = ["python", "-m", "rlhf_demo", stage.command, "--run-dir", "runs/again"]
    for name, value in config["options"].items():
        if name in defaults and value != defaults[name] and value is not None:
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, _without_folder(value)]
    return shlex.join(words)


def _without_folder(value: Any) -> str:
    text = str(value)
    return f"runs/{Path(text).name}" if text.startswith("/") else text
