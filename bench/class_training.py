"""From the tenth preference of a class to the new reward model's figure on the screen.

    python -m bench.class_training [--times 4]

Ten phones vote. After every ten preferences, this measures the time until the instructor's screen
would show the reward model that was trained on them.
"""

import argparse
import os
import tempfile
import time
from itertools import cycle
from pathlib import Path

from bench.class_load import Asker, open_class
from bench.serving import PageProcess, wait_until

PHONES = 10
AT_ONCE = 10
"""Preferences between two trainings."""


def main() -> int:
    """Measure, print a line each time, and return 1 if it took 20 seconds or more."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=4)
    times = parser.parse_args().times
    slowest = 0.0
    with PageProcess(Path(tempfile.mkdtemp()) / "runs") as page:
        ask = Asker(page)
        made, phones = open_class(ask, PHONES)
        state = {"token": made["token"], "secret": "the instructor's"}
        next_phones = cycle(phones)
        for number in range(1, times + 1):
            # Some pairs are attention checks, which are not trained on: only preferences count.
            while ask("class_state", **state)["preferences"] < AT_ONCE * number:
                phone = next(next_phones)
                assignment = wait_until(
                    lambda p=phone: ask("next_pair", secret=p.secret)["assignment"]
                )
                ask("vote", secret=phone.secret, assignment=assignment["id"], choice="left")
            begin = time.perf_counter()
            wait_until(lambda n=number: len(ask("class_state", **state)["history"]) >= n, 120, 0.2)
            took = time.perf_counter() - begin
            slowest = max(slowest, took)
            history = ask("class_state", **state)["history"]
            print(
                f"{AT_ONCE * number} preferences: {took:.1f} s to the figure, {history[-1]}; "
                f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            )
    return 0 if slowest < 20 else 1


if __name__ == "__main__":
    raise SystemExit(main())
