"""The program's own folders."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder that holds app.py, checkpoints/ and this package."""

CHECKPOINTS = REPOSITORY / "checkpoints"
"""The shipped files: models, preference pairs, example runs."""
