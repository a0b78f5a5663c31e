"""Where to compute, and in which number format."""

from contextlib import AbstractContextManager, nullcontext

import torch

from rlhf_demo.errors import ConfigError


def pick_device(device: str) -> torch.device:
    """Return the device to compute on; `auto` takes a GPU where there is one.

    Raises:
        ConfigError: cuda is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device is 'cuda': this machine shows no GPU to torch, use --device cpu"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def pick_dtype(device: torch.device, dtype: str) -> torch.dtype:
    """Return the number format of matrix products; `auto` asks the device.

    bfloat16 is four times as fast as float32 on a CPU with AVX512-BF16 or AMX and slower than it on
    one without.
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
