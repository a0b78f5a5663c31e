"""The device to compute on, and the number format of its matrix products."""

from contextlib import AbstractContextManager, nullcontext

import torch

from rlhf_demo.errors import ConfigError


def pick_device(device: str) -> torch.device:
    """Return the device to compute on; `auto` takes a GPU if there is one.

    Raises:
        ConfigError: the device is cuda and torch sees no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is 'cuda', but torch sees no GPU here: use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def pick_dtype(device: torch.device, dtype: str) -> torch.dtype:
    """Return the number format of matrix products; `auto` takes the device's fastest.

    On a CPU with AVX512-BF16 or AMX, bfloat16 is four times as fast as float32; on any other CPU it
    is slower.
    """
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float32
        )
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Run matrix products in `dtype` inside this context; float32 changes nothing."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)
