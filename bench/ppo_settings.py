"""Train PPO under several settings, three seeds each, and print wins against KL and diversity.

    python -m bench.ppo_settings --out DIR kl_target=1 kl_target=3,learning_rate=1e-4 ...

Each argument is one setting: option=value pairs joined by commas, changing train-ppo's defaults.
Every run is in DIR/SETTING-seedN; DIR/results.jsonl has one row for each run. The judges are
star-rater and word-judge, on the first 256 held-out prompts: those are for choosing settings, the
test prompts are not. All ratios are to the base's samples on the same prompts and random numbers;
the ratio of distinct-2 uses equally many pairs of tokens. KL is the exact KL.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import torch

from rlhf_demo.config.evaluation import CompareConfig
from rlhf_demo.config.options import declarations
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.evaluation.compare import compare_models
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import train_ppo

warnings.filterwarnings("ignore", category=FutureWarning)
KINDS = {declared.name: kind for declared, kind, _ in declarations(PPOConfig)}


def parse_setting(text: str) -> dict:
    """Turn 'kl_target=3,learning_rate=1e-4' into options."""
    pairs = (part.split("=") for part in text.split(",") if part and part != "default")
    return {name: KINDS[name](value) for name, value in pairs}


def measure(setting: str, seed: int, out: Path) -> dict:
    """Train one run and compare its model with the base."""
    config = PPOConfig(**parse_setting(setting) | {"seed": seed})
    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    run = Run.create(out / f"{setting}-seed{seed}", "ppo", config.to_dict())
    started = time.perf_counter()
    train_ppo(config, run, scorer=load_scorer(config.reward, device=device, dtype=dtype))
    seconds = time.perf_counter() - started
    judge = load_scorer("star-rater", device=device, dtype=dtype)
    compared = CompareConfig(base=config.policy, seed=1000 + seed, split="heldout")
    report = compare_models(config.policy, str(run.folder), compared, judge)
    (base, ppo), (stars, words) = report["models"], report["judges"]
    last = run.read("metrics")[-5:]
    (run.folder / "compare.json").write_text(json.dumps(report, indent=1))
    return {
        "setting": setting,
        "seed": seed,
        "steps": run.read("metrics")[-1]["step"],
        "seconds": round(seconds, 1),
        "win_rate": round(stars["win_rate"], 3),
        "win_rate_low": round(stars["win_rate_low"], 3),
        "win_rate_words": round(words["win_rate"], 3),
        "kl_last_5": round(sum(row["objective/kl"] for row in last) / len(last), 2),
        "kl_heldout": round(ppo["kl"], 2),
        "kl_heldout_se": round(ppo["kl_se"], 2),
        "distinct_2_ratio": round(ppo["distinct_2"] / base["distinct_2"], 3),
        "length_ratio": round(ppo["length"] / base["length"], 3),
        "perplexity_ratio": round(ppo["perplexity"] / base["perplexity"], 3),
        "score": round(last[-1]["objective/score"], 2),
        "eos_rate": round(ppo["eos_rate"], 3),
    }


def main() -> None:
    """Run every setting with every seed; print and save each row as soon as its run ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for seed in range(args.seeds):
        for setting in args.settings:
            row = measure(setting, seed, args.out)
            with open(args.out / "results.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
