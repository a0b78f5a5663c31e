"""The program's own folders, and paths that people type."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder that holds app.py, checkpoints/ and this package."""

CHECKPOINTS = REPOSITORY / "checkpoints"
"""The shipped files: models, preference pairs, example runs."""


def typed_path(name: str) -> Path:
    """Return a path as a person types it, with ~ for the home folder.

    ~ with the name of a user whom this machine does not know stays as it is; pathlib would raise.
    """
    return Path(os.path.expanduser(name))
