"""The 124 M architecture with random weights: policy, reward model and 16 x 16 tokens together."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from rlhf_demo.paths import CHECKPOINTS, REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "gpt2-tokenizer"

STEP = """
import sys, torch
from pathlib import Path
from rlhf_demo.cli.main import main
torch.manual_seed(0)
code = main(["train-ppo", "--run-dir", sys.argv[1],
             "--policy", sys.argv[2], "--reward", sys.argv[3], "--preset", "gpt2",
             "--total-steps", "1", "--ppo-epochs", "1", "--batch-size", "16",
             "--minibatch-size", "16", "--max-new-tokens", "8",
             "--prompts", sys.argv[4], "--temperature", "1.0"])
kib = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print("peak MiB", int(kib) // 1024)  # ru_maxrss would begin at what the tests' process takes
sys.exit(code)
"""


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """Random GPT-2 (124 M) and reward model of its size; GPT-2's tokenizer where it is at hand."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(
        SHARED if SHARED.is_dir() else CHECKPOINTS / "gpt2-mini"
    )
    torch.manual_seed(0)
    for name, kind in (("policy", GPT2LMHeadModel), ("reward", GPT2ForSequenceClassification)):
        kind(GPT2Config(num_labels=1)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def test_one_step_of_gpt2_with_lora_fits_and_saves(full_size, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"The film number {n} was seen by my\n" for n in range(10, 26)))
    result = subprocess.run(
        [
            sys.executable, "-W", "ignore", "-c", STEP,
            tmp_path / "run", full_size / "policy", full_size / "reward", prompts,
        ],
        capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    peak = int(result.stdout.rsplit("peak MiB", 1)[1])
    with capsys.disabled():
        print(f"\n124 M policy and reward model, 16 x 16 tokens, LoRA: peak {peak} MiB")  # noqa: T201
    assert peak < 3000
    assert (tmp_path / "run" / "model" / "adapter_model.safetensors").stat().st_size < 20_000_000
