"""Which device and which number format are used."""

import pytest
import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.models.device import pick_device, pick_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
    ],
)
def test_pick_dtype_asks_the_cpu(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert pick_dtype(CPU, "auto") == expected


def test_pick_dtype_when_told_does_not_ask(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: pytest.fail("asked"))
    assert pick_dtype(CPU, "bfloat16") == torch.bfloat16
    assert pick_dtype(CPU, "float32") == torch.float32


def test_cpu_tells_of_the_features_that_are_asked_for():
    capabilities = torch.cpu.get_capabilities()
    if capabilities["architecture"] == "x86_64":
        assert {"avx512_bf16", "amx_bf16"} <= set(capabilities)


def test_missing_gpu_is_named_in_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        pick_device("cuda")
