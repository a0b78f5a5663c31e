"""What thirty people who watch a running job wait, and what they cost the training.

    python -m bench.viewers [--viewers 30] [--seconds 60]

Starts the app and a PPO run with the shipped settings. Each viewer asks for the board's new rows
and texts whenever the last answer said to, and for the strip every eight seconds, as the page does.
The training is timed in turn without and with them, twice, so that a slow moment of the machine
does not count for one side only. In life the viewers' own side runs on other machines: here it is
kept light, and what it took is printed.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.serving import SERVER_FUNCTIONS, PageProcess, message, wait_until
from rlhf_demo.config.ppo import PPOConfig

WARM_UP_STEPS = 3
"""Left out: the first steps are slower."""
ROUNDS = 2
EPISODES = PPOConfig().batch_size
STRIP_SECONDS = 8
ASKED = ("board", "strip")
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the four spans")
    arguments = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    with (
        tempfile.TemporaryDirectory() as folder,
        PageProcess(Path(folder) / "runs") as page,
    ):
        run = page.start_ppo("watched", "bench", total_steps=2000, kl_budget=1000, seed=1)
        wait_until(lambda: len(page.rows(run)) >= WARM_UP_STEPS, 300)
        measure(page, run, arguments.viewers, arguments.seconds)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")


class Viewer:
    """One who has the page open on a run: what they wait for each answer.

    Attributes:
        board, strip: seconds that each answer took.
        failed: why they gave up, if they did.
    """

    def __init__(
        self, page: PageProcess, parts: dict[str, int], run: str, late: random.Random
    ) -> None:
        self.parts, self.run, self.late = parts, run, late
        self.connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        self.board: list[float] = []
        self.strip: list[float] = []
        self.failed: Exception | None = None
        self._known = {"since": -1, "created": None, "texts_after": -1}

    def look_on(self, seconds: float) -> None:
        """Ask as the page does, for so long."""
        begin = time.monotonic()
        # Nobody opens a page on the same beat.
        due = [(begin + self.late.random(), self._ask_board)]
        due += [(begin + STRIP_SECONDS * self.late.random(), self._ask_strip)]
        try:
            while (next_one := min(due, key=itemgetter(0)))[0] < begin + seconds:
                time.sleep(max(0.0, next_one[0] - time.monotonic()))
                due.remove(next_one)
                wait = next_one[1]()
                due.append((time.monotonic() + wait, next_one[1]))
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.failed = error

    def _ask_board(self) -> float:
        request = {"kind": "ppo", "run": self.run, "secret": ""} | self._known
        answer = self._ask("board_rows", request, self.board)
        since = (answer["columns"].get("step") or [self._known["since"]])[-1]
        texts = answer["texts"]["step"] if answer["texts"] else self._known["texts_after"]
        self._known = {"since": since, "created": answer["created"], "texts_after": texts}
        return answer["ask_again"]

    def _ask_strip(self) -> float:
        self._ask("strip_state", 0, self.strip)
        return STRIP_SECONDS

    def _ask(self, function: str, request: object, taken: list[float]) -> dict[str, Any]:
        body = json.dumps(message(self.parts[function], function, request))
        begin = time.perf_counter()
        self.connection.request("POST", SERVER_FUNCTIONS, body, HEADERS)
        answer = self.connection.getresponse()
        text = answer.read()
        taken.append(time.perf_counter() - begin)
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{function} answered {answer.status}: {text[:300]!r}")
        found = json.loads(text)
        if "error" in found:
            raise RuntimeError(f"{function} answered: {found['error']}")
        return found


def measure(page: PageProcess, run: str, viewers: int, seconds: float) -> None:
    """Time the training without and with viewers, and the viewers' answers."""
    alone, watched, seen, own, served = [], [], [], 0.0, 0.0
    for _ in range(ROUNDS):
        alone += steps_during(page, run, lambda: time.sleep(seconds))
        own, served = own - time.process_time(), served - page.cpu_seconds()
        watched += steps_during(page, run, lambda: seen.extend(watch(page, run, viewers, seconds)))
        own, served = own + time.process_time(), served + page.cpu_seconds()
    board, strip = ([took for one in seen for took in getattr(one, name)] for name in ASKED)
    print(f"{viewers} viewers, {len(board)} updates of the board, {len(strip)} of the strip")
    for name, taken in zip(ASKED, (board, strip), strict=True):
        milliseconds = sorted(1000 * one for one in taken)
        middle, late = (milliseconds[int(share * len(taken))] for share in (0.5, 0.95))
        print(f"{name}: median {middle:.0f} ms, 95% under {late:.0f} ms")
    for name, steps in (("without", alone), ("with", watched)):
        pace = statistics.mean(steps)
        print(
            f"{name} viewers: {pace:.2f} s a step ({len(steps)} steps), "
            f"{EPISODES / pace:.1f} episodes/s"
        )
    slower = 100 * (statistics.mean(watched) / statistics.mean(alone) - 1)
    print(f"the training is {slower:+.1f}% slower with viewers")
    cores = ROUNDS * seconds / 100
    print(f"meanwhile the app took {served / cores:.0f}% of a core, and the viewers' own side,")
    print(f"which in life is on other machines, {own / cores:.0f}%")


def steps_during(page: PageProcess, run: str, span: Callable[[], None]) -> list[float]:
    """Return the seconds of each step that began and ended while something went on."""
    begun_before = len(page.rows(run)) + 1  # with the one that is half done
    span()
    return [row["time/step_seconds"] for row in page.rows(run)[begun_before:]]


def watch(page: PageProcess, run: str, viewers: int, seconds: float) -> list[Viewer]:
    """Let so many viewers look on, and return them with what they noted."""
    functions = page.components()
    parts = {name: functions[name][-1] for name in ("board_rows", "strip_state")}
    everybody = [Viewer(page, parts, run, random.Random(number)) for number in range(viewers)]
    threads = [threading.Thread(target=one.look_on, args=(seconds,)) for one in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed := [one for one in everybody if one.failed]:
        raise RuntimeError(f"{len(failed)} viewers had to give up: {failed[0].failed}")
    return everybody


if __name__ == "__main__":
    main()
