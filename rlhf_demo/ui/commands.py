"""The command line that a run stands for."""

import shlex
from pathlib import Path
from typing import Any

from rlhf_demo.shapes import KINDS

COMMANDS = {
    "base": ("train-base", KINDS["base"]),
    "rater": ("train-rater", KINDS["rater"]),
    "pairs": ("make-pairs", KINDS["pairs"]),
    "reward": ("train-reward", KINDS["reward"]),
    "ppo": ("train-ppo", KINDS["ppo"]),
}
"""Kind of run -> its command and options."""


def repeat_command(config: dict[str, Any]) -> str:
    """Return the command that repeats a run in a new folder: every option that is no default.

    Where the runs lie outside the repository, it calls their folder `runs`: everybody may read the
    command, and nobody need know the server's folders.
    """
    command, config_class = COMMANDS[config["kind"]]
    defaults = config_class().to_dict()
    words = ["python", "-m", "rlhf_demo", command, "--run-dir", "runs/again"]
    for name, value in config["options"].items():
        if name in defaults and value != defaults[name] and value is not None:
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, _without_folder(value)]
    return shlex.join(words)


def _without_folder(value: Any) -> str:
    text = str(value)
    return f"runs/{Path(text).name}" if text.startswith("/") else text
