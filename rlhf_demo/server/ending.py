"""What happens when the page is asked to stop: Ctrl-C, SIGTERM, or a terminal that is closed.

The page ends in order, with all votes in their one file. On one's own machine the trainings outlive
it. In a container they die with its first process. There the page asks them to save first, and its
next start resumes them.
"""

import os
import signal
from pathlib import Path
from types import FrameType

from rlhf_demo.jobs.queue import Jobs

SAVE_SECONDS = 8.0
"""Time to save: Docker kills a container 10 seconds after asking it to stop."""

SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
MARKS = Path("/.dockerenv"), Path("/run/.containerenv")
"""Files by which Docker and Podman mark their containers."""


def end_in_order(jobs: Jobs) -> None:
    """Let each of SIGNALS end this process as Ctrl-C does.

    It saves the trainings first if they would die with this process. A second signal quits without
    saving. A signal that the process was started to ignore, as by nohup, stays ignored.
    """
    last = _last_of_its_container()

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)
        if last:
            jobs.close_saving(SAVE_SECONDS)
        raise KeyboardInterrupt  # on which Gradio closes its server

    for number in SIGNALS:
        if last or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _last_of_its_container() -> bool:
    """Say whether a container ends with this process, or with the small init that started it."""
    started_by_init = os.getppid() == 1 and any(mark.exists() for mark in MARKS)
    return os.getpid() == 1 or started_by_init
