"""What happens to the trainings when the page is asked to stop.

On one's own machine they outlive the page. In a container they die with its first process. There
the page asks them to save first, and its next start resumes them.
"""

import os
import signal
from pathlib import Path
from types import FrameType

from rlhf_demo.jobs.queue import Jobs

SAVE_SECONDS = 8.0
"""Time to save: Docker kills a container 10 seconds after asking it to stop."""

SIGNALS = signal.SIGTERM, signal.SIGINT
MARKS = Path("/.dockerenv"), Path("/run/.containerenv")
"""Files by which Docker and Podman mark their containers."""


def save_trainings_at_the_end(jobs: Jobs, *, copies: bool = False) -> None:
    """Let SIGTERM and Ctrl-C save the trainings first, if they would die with this process.

    A second signal quits without saving.

    Args:
        jobs: the trainings.
        copies: whether something is copied elsewhere at the end, so that SIGTERM too has to end
            this process as Ctrl-C does.
    """
    last = _last_of_its_container()
    if not last and not copies:
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)
        if last:
            jobs.close_saving(SAVE_SECONDS)
        raise KeyboardInterrupt  # on which Gradio closes its server

    for number in SIGNALS:
        signal.signal(number, end)


def _last_of_its_container() -> bool:
    """Say whether a container ends with this process, or with the small init that started it."""
    started_by_init = os.getppid() == 1 and any(mark.exists() for mark in MARKS)
    return os.getpid() == 1 or started_by_init
