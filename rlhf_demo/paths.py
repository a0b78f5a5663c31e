"""Where this program lies."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder that holds app.py, checkpoints/ and this package."""

CHECKPOINTS = REPOSITORY / "checkpoints"
"""What ships: models, preference pairs, example runs."""
