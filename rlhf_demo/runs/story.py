"""What a run's figures mean, in one sentence, and what to try next, in another."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_demo.files import Row

Options = dict[str, Any]

LONG = 10  # steps after which something that is still missing is worth mentioning


@dataclass(frozen=True)
class Story:
    """One sentence on what a run's figures show, and one on what to try."""

    key: str
    level: str  # info, good or warning
    what: str
    try_: str


def warning(key: str, what: str, try_: str) -> Story:
    """Return a story that asks for attention."""
    return Story(key, "warning", what, try_)


# -- both ------------------------------------------------------------------------------------------


def failed(rows: Sequence[Row], status: str, message: str) -> Story | None:
    """Say that the run ended with an error: a number that is not finite, or any other."""
    if status != "failed":
        return None
    if message.startswith("training diverged"):
        what = f"T{message.partition(';')[0][1:]}."
        return warning("diverged", what, "Next run: a lower learning rate.")
    reason = textwrap.shorten(message or "no reason was recorded", 110, placeholder="...")
    what = f"The run failed after step {rows[-1]['step'] if rows else 0}: {reason.rstrip('.')}."
    return warning("failed", what, "Read its log, fix the cause, and resume it.")


def waiting(rows: Sequence[Row], status: str, awaited: str = "") -> Story | None:
    """Say what the run waits for before step 1.

    Args:
        rows: the rows of metrics.jsonl so far.
        status: the run's status.
        awaited: the run that must finish first, in words; empty if there is none.
    """
    if rows:
        return None
    if status in ("stopped", "finished"):
        return Story("waiting", "info", "The run ended before step 1.", "Resume it to continue.")
    what = "the run is queued" if status == "queued" else "models and data are being loaded"
    if status == "queued" and awaited:
        what = f"it starts when {awaited} has finished"
    return Story("waiting", "info", f"Waiting for step 1: {what}.", "It will start by itself.")
