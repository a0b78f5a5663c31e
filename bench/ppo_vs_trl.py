"""Time our PPO against TRL 1.12's, the last release that has one, on the same work and machine.

    python bench/ppo_vs_trl.py [--json FILE]

The engines run alternately, in separate processes, three times; medians are reported. The work is
that of trl_ppo.py: 64 episodes a step, 8 prompt tokens and 32 sampled tokens each, 4 PPO epochs of
4 minibatches, all weights trained, one reference, one reward model of the policy's size,
torch.compile off. TRL runs in float32 and in bfloat16, and the faster counts; ours uses its default
number format.

TRL 1.12 and our TRL cannot share an environment, so the first call creates bench/.trl (1.5 GB, some
minutes).

This file uses only the standard library, because a process's ru_maxrss starts at its parent's.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PEER = BENCH / ".trl"
# torch and trl are the peer; the others are the versions at the measurement.
PEER_PACKAGES = [
    "torch==2.13.0",
    "trl==1.12.0",
    "transformers==5.23.0",
    "accelerate==1.15.0",
    "datasets==5.2.0",
]
SHIPPED = ROOT / "checkpoints" / "gpt2-mini"
NAMES = {"ours": "ours", "trl_float32": "TRL, float32", "trl_bfloat16": "TRL, bfloat16"}


def main() -> None:
    """Run the benchmarks, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    parser.add_argument("--policy", type=Path, default=SHIPPED, help="folder of a GPT-2")
    parser.add_argument(
        "--steps", type=int, default=5, help="timed steps a process, after a warm-up"
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes of each engine")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", choices=("ours", "trl"), help="run one engine alone")
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="of ours"
    )
    parser.add_argument("--lora-rank", type=int, default=0, help="of ours; TRL trains all weights")
    parser.add_argument("--peer-python", type=Path, help="one that has TRL 1.12, not bench/.trl")
    args = parser.parse_args()

    commands = {}
    if args.only != "trl":
        ours = [sys.executable, "-W", "ignore", "-m", "bench.our_ppo", "--dtype", args.dtype]
        commands["ours"] = [*ours, "--lora-rank", str(args.lora_rank)]
    if args.only != "ours":
        peer = [str(args.peer_python or peer_python()), str(BENCH / "trl_ppo.py")]
        commands |= {"trl_float32": peer, "trl_bfloat16": [*peer, "--bf16"]}
    work = ["--policy", str(args.policy.resolve()), "--steps", str(args.steps)]
    work += ["--device", args.device]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for number in range(1, args.rounds + 1):
        for name, command in commands.items():
            say(f"round {number} of {args.rounds}: {NAMES[name]}")
            runs[name].append(last_json_line([*command, *work]))

    report = summarise(runs) | {"machine": machine(), "options": options(args), "runs": runs}
    print_table(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def peer_python() -> Path:
    """Return the peer's Python; create its environment if it is missing."""
    python, done, wanted = PEER / "bin" / "python", PEER / "installed", "\n".join(PEER_PACKAGES)
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        say(f"installing {', '.join(PEER_PACKAGES)} into {PEER}")
        venv.create(PEER, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
        done.write_text(wanted, encoding="utf-8")
    return python


def say(line: str) -> None:
    """Print progress to stderr; only the table goes to stdout."""
    print(line, "...", file=sys.stderr, flush=True)


def options(args: argparse.Namespace) -> dict[str, object]:
    """Return the options as JSON-ready values."""
    return {name: str(x) if isinstance(x, Path) else x for name, x in vars(args).items()}


def last_json_line(command: list[str]) -> dict[str, float]:
    """Run a benchmark process to its end and return the JSON of its last line."""
    # The benchmarks need nothing from the Hub, so they must not ask it either.
    env = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        line = " ".join(map(str, command))
        raise SystemExit(f"{line} ended with code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def summarise(runs: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    """Return medians over the rounds, the faster TRL as `trl`, and ratios if both engines ran."""
    report: dict[str, object] = {}
    for name, results in runs.items():
        numbers = [key for key, value in results[0].items() if not isinstance(value, str)]
        report[name] = {
            key: statistics.median(result[key] for result in results) for key in numbers
        }
    formats = [name for name in report if name.startswith("trl_")]
    if formats:
        faster = max(formats, key=lambda name: report[name]["episodes_per_second"])
        report["trl"] = report[faster] | {"dtype": faster.removeprefix("trl_")}
    if "ours" in report:
        report["ours"]["dtype"] = runs["ours"][0]["dtype"]
    if "ours" in report and "trl" in report:
        memory = "peak_cuda_mib" if "peak_cuda_mib" in report["ours"] else "peak_mib"
        ours, trl = report["ours"], report["trl"]
        ratios = {
            "speed_ratio": round(ours["episodes_per_second"] / trl["episodes_per_second"], 2),
            "memory_ratio": round(ours[memory] / trl[memory], 3),
        }
        report = ratios | report
    return report


def machine() -> str:
    """Return the processor, its cores, and the system."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}"


def print_table(report: dict[str, object]) -> None:
    """Print one line per engine, and the ratios."""
    print(report["machine"])
    print(f"{'':16}{'s per step':>12}{'episodes/s':>12}{'peak MiB':>10}")
    for key, name in NAMES.items():
        if key in report:
            row = report[key]
            label = f"{name}, {row['dtype']}" if key == "ours" else name
            peak = row.get("peak_cuda_mib", row["peak_mib"])
            print(
                f"{label:16}{row['step_seconds']:12.2f}{row['episodes_per_second']:12.2f}{peak:10.0f}"
            )
    if "speed_ratio" in report:
        ratios = f"speed_ratio {report['speed_ratio']}, memory_ratio {report['memory_ratio']}"
        print(f"{ratios} (against the faster TRL)")


if __name__ == "__main__":
    main()
