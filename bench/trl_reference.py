"""Record what TRL 1.12's own PPOTrainer computes, for tests/objectives/test_trl_reference.py.

    python bench/trl_reference.py

It runs in the Python of the benchmark's environment, bench/.trl, which the first call creates (1.5
GB, some minutes). A tiny GPT-2 with random weights, in float64, trains for one step of 2 epochs of
2 minibatches, on each of two batches: in the first, responses end at different positions or not at
all; in the second, no token ends a response. TRL's formulas are in the middle of one long method.
So this reads the tensors from that method's frame when it calls one of our functions, and repeats
no formula.

The recording uses TRL's names of variables; the test says what they are.
"""

import json
import os
import sys
from pathlib import Path

from ppo_vs_trl import PEER, ROOT, peer_python

if __name__ == "__main__" and Path(sys.prefix) != PEER:
    python = peer_python()
    os.execv(python, [str(python), *sys.argv])

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import tempfile
from importlib.metadata import version
from unittest import mock

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

RECORDING = ROOT / "tests" / "data" / "trl_ppo.safetensors"
PAD, EOS, VOCABULARY = 0, 1, 16
PROMPT_TOKENS, RESPONSE_TOKENS, BATCH = 4, 8, 8
RESPONSE = slice(PROMPT_TOKENS - 1, -1)  # the positions whose logits predict response tokens
SEED = 32  # draws responses of 1, 3, 5, 6, 6, 7, 8 and 8 tokens, and never the padding token
SETTINGS = {
    "temperature": 0.7,
    "kl_coef": 0.3,
    "gamma": 0.97,
    "lam": 0.9,
    "cliprange": 0.2,
    "cliprange_value": 0.3,
    "vf_coef": 0.4,
    "missing_eos_penalty": 0.5,
    "num_ppo_epochs": 2,
    "num_mini_batches": 2,
    "learning_rate": 0.002,  # high, so that ratios and values reach the clips
}
OF_THE_STEP = [
    "responses", "logprobs", "ref_logprobs", "values", "scores", "padding_mask", "padding_mask_p1",
    "kl", "rewards", "advantages", "returns", "mean_kl", "pg_clipfrac_stats", "vf_clipfrac_stats",
]  # fmt: skip
OF_AN_UPDATE = ["micro_batch_inds", "new_logprobs", "vpred", "ratio", "pg_loss", "vf_loss", "loss"]


def main() -> None:
    """Write both recordings, TRL's settings and the versions into one file."""
    tensors = {}
    for name, stop in (("ragged", EOS), ("full", None)):
        recorded = recorded_step(stop)
        tensors |= {f"{name}.{key}": value.contiguous() for key, value in recorded.items()}
    packages = {name: version(name) for name in ("trl", "torch", "transformers", "accelerate")}
    RECORDING.parent.mkdir(exist_ok=True)
    save_file(tensors, RECORDING, {"settings": json.dumps(SETTINGS), **packages})
    print(f"{RECORDING.relative_to(ROOT)}: {RECORDING.stat().st_size / 1000:.0f} kB, {packages}")


def recorded_step(stop_token_id: int | None) -> dict[str, torch.Tensor]:
    """Let TRL run one step; return its tensors, with the updates stacked along the first axis."""
    torch.manual_seed(SEED)
    trainer = tiny_trainer(stop_token_id)
    tensors, updates = {}, []
    forward, whiten = ppo_trainer.forward, ppo_trainer.masked_whiten
    backward = trainer.accelerator.backward

    def forward_kept(model, *args):
        output = forward(model, *args)
        of_reference = model is trainer.ref_model
        logits = output.logits if of_reference else output[0].logits
        # A copy, because TRL then divides them by the temperature in place.
        tensors["ref_logits" if of_reference else "new_logits"] = (
            logits[:, RESPONSE].detach().clone()
        )
        return output

    def whiten_kept(values, mask):
        tensors["raw_advantages"] = values.clone()
        return whiten(values, mask)

    def backward_kept(loss):
        names = sys._getframe(1).f_locals  # of PPOTrainer.train
        update = {name: torch.as_tensor(names[name]).detach().clone() for name in OF_AN_UPDATE}
        inputs = names["new_logprobs"], names["vpred"]
        gradients = torch.autograd.grad(loss, inputs, retain_graph=True)
        update |= dict(zip(("new_logprobs_grad", "vpred_grad"), gradients, strict=True))
        updates.append(update | {"new_logits": tensors.pop("new_logits")})
        backward(loss)

    def log_kept(_metrics):
        names = sys._getframe(1).f_locals  # of PPOTrainer.train
        tensors.update({name: names[name].detach().clone() for name in OF_THE_STEP})

    trainer.accelerator.backward, trainer.log = backward_kept, log_kept
    with mock.patch.multiple(ppo_trainer, forward=forward_kept, masked_whiten=whiten_kept):
        trainer.train()
    return tensors | {key: torch.stack([update[key] for update in updates]) for key in updates[0]}


def tiny_trainer(stop_token_id: int | None) -> PPOTrainer:
    """Create TRL's trainer for one step; policy, reference, value and reward model all differ."""
    words = {"<pad>": PAD, "<eos>": EOS} | {f"w{n}": n for n in range(2, VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, "w2")), pad_token="<pad>", eos_token="<eos>"
    )
    shape = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, n_positions=PROMPT_TOKENS + RESPONSE_TOKENS,
        vocab_size=VOCABULARY, pad_token_id=PAD, bos_token_id=EOS, eos_token_id=EOS,
        initializer_range=0.3, num_labels=1,
    )  # fmt: skip
    policy, reference = (GPT2LMHeadModel(shape).double() for _ in range(2))
    value, reward = (GPT2ForSequenceClassification(shape).double() for _ in range(2))
    prompts = torch.randint(2, VOCABULARY, (BATCH, PROMPT_TOKENS)).tolist()
    data = Dataset.from_dict({"input_ids": prompts})
    config = PPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=BATCH // SETTINGS["num_mini_batches"],
        gradient_accumulation_steps=SETTINGS["num_mini_batches"],
        total_episodes=BATCH,
        response_length=RESPONSE_TOKENS,
        local_rollout_forward_batch_size=BATCH,
        report_to="none",
        num_sample_generations=0,
        save_strategy="no",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        seed=SEED,
        **SETTINGS,
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=data,
        eval_dataset=data,
    )
    trainer.stop_token_id = stop_token_id
    return trainer


if __name__ == "__main__":
    main()
