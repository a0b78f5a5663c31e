"""Differences on ZeroGPU, the free hardware of Hugging Face Spaces.

There a GPU is lent to one event handler at a time, for seconds, and to no other process: a handler
asks for it by the decorator of the `spaces` package, and an app without such a handler is ended at
its start. To make that work `spaces` changes torch, so that in the app's own process
`torch.cuda.is_available()` is true although there is no GPU. So whatever is not such a handler
counts as a CPU machine here: training runs in the background on the CPU.

The app imports this module before torch, as `spaces` requires, and is served by `demo.launch()`,
which `spaces` waits for to report that the app has started. Nothing at the top imports torch.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])

GPU_SECONDS = 30
"""How long a handler asks for the GPU: a few answers of a small model; it counts as used quota."""


def on_zero_gpu() -> bool:
    """Say whether this is a Space on ZeroGPU (the same words mean yes as in `spaces`)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


spaces: Any = None
if on_zero_gpu():
    try:
        import spaces  # pyright: ignore[reportMissingImports]  (Spaces have it, we do not)
    except ImportError:
        pass  # one's own machine with the variable set: it works, without a GPU


def gpu_handler(function: Handler) -> Handler:
    """Decorate an event handler so that on ZeroGPU a GPU is lent to each of its calls.

    Anywhere else the function is returned as it is. At least one handler of the app needs this.
    """
    return function if spaces is None else spaces.GPU(duration=GPU_SECONDS)(function)


def gpu_name() -> str:
    """Return the name of the GPU that is lent to the call of this very handler."""
    import torch  # noqa: PLC0415  (after `spaces`)

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def hide_gpu() -> None:
    """On ZeroGPU, let the processes that the app starts see no GPU; elsewhere do nothing.

    Child processes inherit the variable. A handler that is lent a GPU gets its own value from
    `spaces`.
    """
    if on_zero_gpu():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def app_device() -> str:
    """Return the option `device` of everything that the app runs outside a GPU handler."""
    return "cpu" if on_zero_gpu() else "auto"


def note() -> str | None:
    """Return the sentence that the page shows on ZeroGPU, or None elsewhere."""
    if not on_zero_gpu():
        return None
    return (
        "This Space runs on ZeroGPU, which lends a GPU for single answers only: "
        "training runs in the background on the CPU."
    )
