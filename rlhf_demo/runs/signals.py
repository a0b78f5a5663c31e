"""Ctrl-C and SIGTERM ask a training to save and stop; a second signal ends it without saving."""

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
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

    with _handling(ask):
        yield
    if asked and run.status["status"] == Status.STOPPED:
        raise KeyboardInterrupt


def leaving_signals_to_another() -> AbstractContextManager[None]:
    """Ignore both signals: all processes of a training get them, and one tells when to stop."""
    return _handling(signal.SIG_IGN)


@contextmanager
def _handling(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Generator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
