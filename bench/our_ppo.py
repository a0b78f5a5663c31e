"""Our engine on the work that trl_ppo.py describes; ppo_vs_trl.py starts it as a process.

The real trainer does the work: `PPOTrainer.run_step` with 64 prompts of 8 tokens, 32 sampled tokens
each, 4 PPO epochs in minibatches of 16, temperature 1, a reference and a reward model of the
policy's own size. The reward model reads text, as in all our runs, so the time includes tokenising.
With one change: no token ends a response. The last line printed is JSON, with the names of
trl_ppo.py; the first step is a warm-up and does not count.
"""

import argparse
import functools
import itertools
import json
import resource
import tempfile
import time
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from rlhf_demo.config.options import DEVICES, DTYPES
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.hub.locate import locate
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.loading import speed_up
from rlhf_demo.models.reward_model import RewardModel, new_reward_model
from rlhf_demo.models.sampling import sample
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.runs.run import Run
from rlhf_demo.train import ppo

PROMPT_TOKENS, RESPONSE_TOKENS, BATCH, MINIBATCHES, PPO_EPOCHS = 8, 32, 64, 4, 4


def main() -> None:
    """Run a warm-up step and the timed steps, and print their times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policy", required=True, help="folder of a causal LM with its tokenizer")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one warm-up step")
    parser.add_argument("--lora-rank", type=int, default=0, help="0 trains all weights")
    parser.add_argument("--dtype", choices=DTYPES, default="auto")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        tokenizer = load_tokenizer(locate(args.policy))
        prompts.write_text(prompts_of_length(PROMPT_TOKENS, tokenizer), encoding="utf-8")
        config = PPOConfig(
            policy=args.policy,
            prompts=str(prompts),
            total_steps=args.steps + 1,
            batch_size=BATCH,
            minibatch_size=BATCH // MINIBATCHES,
            ppo_epochs=PPO_EPOCHS,
            max_new_tokens=RESPONSE_TOKENS,
            temperature=1.0,
            learning_rate=1e-5,
            lora_rank=args.lora_rank,
            dtype=args.dtype,
            device=args.device,
        )
        run = Run.create(Path(folder) / "run", "ppo", config.to_dict())
        print(json.dumps(measure(config, run)))


def prompts_of_length(tokens: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """Cut the shipped prompts' text into pieces that are `tokens` long when tokenised; JSONL."""
    added = len(tokenizer("")["input_ids"])  # 1 if the tokenizer begins every text with BOS
    ids = tokenizer(" ".join(load_prompts(SHIPPED, "train")), verbose=False)["input_ids"][added:]
    piece = tokens - added
    texts = [tokenizer.decode(ids[start : start + piece]) for start in range(0, len(ids), piece)]
    fitting = [text for text in texts if len(tokenizer(text)["input_ids"]) == tokens]
    return "".join(json.dumps({"prompt": text}) + "\n" for text in fitting)


def measure(config: PPOConfig, run: Run) -> dict[str, float]:
    """Run the steps and return median seconds, episodes per second and peak memory."""
    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    # A head of random weights on the policy's network: real work with meaningless scores.
    model, tokenizer = new_reward_model(config.policy, lora_rank=0, device=device)
    scorer = RewardModel(speed_up(model.requires_grad_(False)), tokenizer, 0, dtype)
    ppo.sample = functools.partial(sample, eos_token_id=-1)  # sampling never stops early
    trainer = ppo.PPOTrainer(config, run, scorer)
    step_ends = []
    for _ in range(config.total_steps):
        row = trainer.run_step()
        step_ends.append(time.perf_counter())
        if row["response/length"] != RESPONSE_TOKENS:
            raise SystemExit(f"responses hold {row['response/length']} tokens: this is other work")

    seconds = sorted(later - earlier for earlier, later in itertools.pairwise(step_ends))
    median = seconds[len(seconds) // 2]
    result = {
        "step_seconds": round(median, 3),
        "episodes_per_second": round(BATCH / median, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "dtype": str(dtype).removeprefix("torch."),
    } | {name: round(value, 3) for name, value in row.items() if name.startswith("time/")}
    if device.type == "cuda":
        result["peak_cuda_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return result


if __name__ == "__main__":
    main()
