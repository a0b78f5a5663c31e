"""Ctrl-C and SIGTERM ask a training to save and stop; a second signal ends it without saving."""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from rlhf_demo.runs.run import Run, Status


@contextmanager
def stopping_on_signals(run: Run) -> Generator[None]:
    """Turn the first signal into a stop request while the block trains `run`.

    Raises:
        KeyboardInterrupt: the run stopped because of the signal. At once, if it was asked to stop
            before, or has not begun and has nothing to save.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if not run.alive() or (run.folder / "stop").exists():
            raise KeyboardInterrupt
        asked.append(number)
        run.request_stop()
        sys.stderr.write("\nsaving, then stopping; press Ctrl-C again to quit without saving\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked and run.status["status"] == Status.STOPPED:
        raise KeyboardInterrupt
