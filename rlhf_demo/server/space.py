"""What a Space's hardware is, and the differences on ZeroGPU, the free one.

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
from pathlib import Path
from typing import Any, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])

GPUS, DEVICES = Path("/proc/driver/nvidia/gpus"), Path("/dev")
"""Where NVIDIA's driver describes its GPUs, and where it shows those that a container may use."""

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


def gpus() -> list[str]:
    """Return the names of the GPUs of NVIDIA's that this machine has.

    Asking torch would import it, which takes seconds, before the page is there.
    """
    names: list[str] = []
    for about in sorted(GPUS.glob("*/information")):
        lines = about.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
        names += models or ["GPU"]
    return names or ["GPU" for _ in DEVICES.glob("nvidia[0-9]*")]


def note() -> str | None:
    """Return the sentence about a Space's hardware that the page shows; None on other machines."""
    if on_zero_gpu():
        return (
            "This Space runs on ZeroGPU, which lends a GPU for single answers only: "
            "training runs in the background on the CPU."
        )
    if not os.environ.get("SPACE_ID"):
        return None
    found = gpus()
    if found:
        more = f"{len(found)} GPUs, of which it uses one" if len(found) > 1 else "a GPU"
        named = "" if found[0] == "GPU" else f" ({found[0]})"
        return f"This Space has {more}{named}: models are trained and run on it."
    cores = os.environ.get("CPU_CORES", "")
    cores = cores if cores.isdigit() else str(len(os.sched_getaffinity(0)))
    return f"This Space has no GPU: it trains on the CPU, which has {cores} cores."
