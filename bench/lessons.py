"""The time of each lesson's look and of its answer, with the models in memory and one thread.

    python -m bench.lessons [LESSON ...]

The first look of a process also computes what the lesson keeps with the models. "Own text" is a
look at something that a visitor has chosen. All but the first are medians of five.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.lessons.request import Models
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.server.learn import PPO, REWARD, module

REPEATS = 5
OWN: dict[str, dict[str, Any]] = {
    "vectors": {"word": "good"},
    "heads_off": {"heads": [21]},
    "ppo_step": {"sample": 1},
}
"""What a visitor chooses where it is not a text."""
TEXT = {"text": "The story was long, but I liked the music."}


def main() -> None:
    """Print a row for each lesson, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", choices=[*LESSONS, []], metavar="LESSON")
    names = parser.parse_args().lessons or list(LESSONS)
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    base, ppo = (load_policy(name, device=cpu) for name in ("gpt2-mini", PPO))
    models = Models(base, ppo, load_reward_model(REWARD, device=cpu))
    print("| lesson | first look | later look | own text | answer |\n|---|---|---|---|---|")
    for name in names:
        lesson, own = module(name), OWN.get(name, TEXT)
        first = milliseconds(lesson.look, models, {})
        later = median(lesson.look, models, {})
        chosen = median(lesson.look, models, own)
        answer = median(lesson.outcome, models)
        print(f"| `{name}` | {first:.0f} | {later:.0f} | {chosen:.0f} | {answer:.0f} |")


def median(function: Callable[..., Any], *given: Any) -> float:
    """Return the median time of several calls."""
    return statistics.median(milliseconds(function, *given) for _ in range(REPEATS))


def milliseconds(function: Callable[..., Any], *given: Any) -> float:
    """Return the processor time of a call. With one thread, it is what a call takes when idle."""
    started = time.process_time()
    function(*given)
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
