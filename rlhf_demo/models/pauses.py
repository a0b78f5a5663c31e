"""Pauses between two batches of a long computation, in which others can compute.

A pause changes no result: the batches and their random numbers stay the same. On a page, the
compute lock says what happens in a pause; elsewhere nothing does.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

_of_thread = threading.local()


def pause() -> None:
    """Let others compute. Call it between two batches, or between two tokens of a batch."""
    way: Callable[[], None] | None = getattr(_of_thread, "way", None)
    if way:
        way()


@contextmanager
def pausing(way: Callable[[], None]) -> Generator[None]:
    """Call `way` in the pauses of this thread."""
    _of_thread.way = way
    try:
        yield
    finally:
        _of_thread.way = None
