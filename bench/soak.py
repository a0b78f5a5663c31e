"""One hour of thirty viewers, jobs one after another, comparisons and votes: nothing may grow.

    python -m bench.soak [--minutes 60] [--viewers 30]

Starts the app and trains short jobs, one after another: a reward model, PPO against it, DPO, and
again. Meanwhile viewers watch the newest run as in `bench.viewers`, voters answer pairs, and a
visitor compares the newest model with the base. Every few seconds we count what the app holds:
its memory, and its threads, open files and processes, trainings left out. What it holds at the end
is compared with what it held after the first sixth of the time. At the end, every acknowledged
vote must be in the database, and no process may be left.
"""

import argparse
import math
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench.class_load import stored_votes
from bench.serving import NO_TLS, SERVER_FUNCTIONS, PageProcess, message, wait_until
from bench.viewers import Viewer
from rlhf_demo.runs.run import Status

SAMPLE_SECONDS = 5
FEWEST_MINUTES = 3
"""With fewer, a window has too few samples."""
WARM_UP = 1 / 6
"""Share of the time in which the app still loads models and fills its caches."""
WINDOW = 1 / 12
"""Share of the time whose median is compared: the first after the warm-up with the last."""
MOST_GROWTH = 0.10
VOTERS, READING = 3, (1.0, 4.0)
COMPARE_SECONDS = 15
JOB_SECONDS = 900
OVER = (Status.FINISHED, Status.FAILED, Status.STOPPED)
PROMPTS = "The film was", "I have seen", "The actors", "What a story", "Nobody in this film"


class Held(NamedTuple):
    """What the app and the processes that it starts hold at a moment, trainings left out."""

    megabytes: float
    threads: int
    files: int
    processes: int


class Watch:
    """Samples what the app holds, in a thread of its own, until it is ended."""

    def __init__(self, page: PageProcess) -> None:
        self.page, self.samples, self.ended = page, list[tuple[float, Held]](), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        begin = time.monotonic()
        while not self.ended.wait(SAMPLE_SECONDS):
            self.samples.append((time.monotonic() - begin, held(self.page)))

    def end(self) -> None:
        """Take no more samples."""
        self.ended.set()
        self._thread.join()

    def around(self, begin: float, end: float) -> Held:
        """Return the median of each figure between two times, in seconds from the start."""
        rows = [what for when, what in self.samples if begin <= when < end]
        return Held(*(statistics.median(column) for column in zip(*rows, strict=True)))


def held(page: PageProcess) -> Held:
    """Count what the app holds now."""
    totals = Held(0, 0, 0, 0)
    for process in page.processes():
        with suppress(psutil.NoSuchProcess):
            own = process.memory_info().rss / 10**6, process.num_threads(), process.num_fds(), 1
            totals = Held(*(a + b for a, b in zip(totals, own, strict=True)))
    return totals


class Visitors:
    """Everyone who uses the page, each in a thread, until a moment.

    Attributes:
        votes: assignment -> choice, of all acknowledged votes.
        jobs: run -> status, of all jobs that ended.
        compared: number of comparisons.
        troubles: sentences of requests that failed, with how often each came.
    """

    def __init__(self, page: PageProcess, until: float) -> None:
        self.page, self.until = page, until
        self.where = {name: parts[0] for name, parts in page.components().items()}
        self.votes: dict[int, str] = {}
        self.jobs: dict[str, str] = {}
        self.compared = 0
        self.troubles: Counter[str] = Counter()
        self._policies = ["gpt2-mini-ppo"]

    def live(self, viewers: int) -> None:
        """Watch, train, vote and compare until the time is over."""
        functions = self.page.components()
        parts = {name: functions[name][-1] for name in Viewer.functions}
        watching = [Viewer(self.page, parts, "", random.Random(each)) for each in range(viewers)]
        doing: list[Callable[[], Any]] = [
            *(lambda one=one: one.watch(self.until - time.monotonic()) for one in watching),
            *(lambda number=number: self._vote(random.Random(number)) for number in range(VOTERS)),
            self._train, self._compare,
        ]  # fmt: skip
        threads = [threading.Thread(target=each) for each in doing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in watching:
            if one.failed:
                self.troubles[f"a viewer ended: {one.failed}"] += 1

    def _train(self) -> None:
        """Train short jobs, one after another."""
        number, reward = 0, "reward-mini"
        while time.monotonic() < self.until:
            title, options = f"soak {number}", {"seed": number}
            if number % 3 == 0:
                reward = self._job("start_reward", "gpt2-mini", "shipped", options, title)
            elif number % 3 == 1:
                options["total_steps"] = 10
                self._policies.append(self._job("start_ppo", "", reward, "quick", options, title))
            else:
                self._job("start_dpo", "gpt2-mini", "shipped", reward, options, title)
            number += 1

    def _job(self, endpoint: str, *arguments: Any) -> str:
        run = self.page.call(endpoint, *arguments, "the soak's")["run"]
        wait_until(lambda: self.page.status(run) in OVER, JOB_SECONDS, every=0.5)
        self.jobs[run] = self.page.status(run)
        return run

    def _compare(self) -> None:
        rng = random.Random(0)
        while time.monotonic() < self.until:
            prompt, seed = rng.choice(PROMPTS), rng.randrange(10**6)
            arguments = (prompt, "reward-mini", 32, 0.7, 0, 1.0, seed)
            try:
                self.page.call("side_by_side", "gpt2-mini", self._policies[-1], *arguments)
                self.compared += 1
            except (RuntimeError, httpx.HTTPError) as error:
                self.troubles[f"side_by_side: {error}"[:200]] += 1
            time.sleep(COMPARE_SECONDS)

    def _vote(self, rng: random.Random) -> None:
        client = httpx.Client(base_url=self.page.url, timeout=60, **NO_TLS)

        def ask(function: str, **request: Any) -> dict[str, Any]:
            body = message(self.where[function], function, request)
            return client.post(SERVER_FUNCTIONS, json=body).json()

        voter = ask("enter")["voter"]
        asked = {"voter": voter, "question": "Which is better English?", "model": "gpt2-mini"}
        while time.monotonic() < self.until:
            given = ask("next_pair", **asked)
            if "error" in given:
                self.troubles[f"next_pair: {given['error']}"] += 1
            time.sleep(rng.uniform(*READING))
            if assignment := given.get("assignment"):
                choice = rng.choice(("left", "right", "tie"))
                answer = ask("vote", voter=voter, assignment=assignment["id"], choice=choice)
                if "error" in answer:
                    self.troubles[f"vote: {answer['error']}"] += 1
                else:
                    self.votes[assignment["id"]] = choice


def report(watch: Watch, seconds: float) -> bool:
    """Print what the app held over time; say whether nothing grew by more than MOST_GROWTH."""
    parts = 12
    for part in range(parts):
        shown = watch.around(part / parts * seconds, (part + 1) / parts * seconds)
        figures = (f"{figure:,.0f} {name}" for name, figure in shown._asdict().items())
        print(f"from minute {part / parts * seconds / 60:.0f}: {', '.join(figures)}")
    early = watch.around(WARM_UP * seconds, (WARM_UP + WINDOW) * seconds)
    late = watch.around((1 - WINDOW) * seconds, math.inf)
    growth = {name: getattr(late, name) / before - 1 for name, before in early._asdict().items()}
    for name, share in growth.items():
        print(
            f"{'ok  ' if share <= MOST_GROWTH else 'OVER'} {name}: {share:+.1%} since the warm-up"
        )
    return max(growth.values()) <= MOST_GROWTH


def left_over(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those of the app's processes that outlive it by ten seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return alive


def main() -> int:
    """Run and print; return 1 if something grew, was lost or was left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--viewers", type=int, default=30)
    given = parser.parse_args()
    if given.minutes < FEWEST_MINUTES:
        parser.error(f"--minutes is {given.minutes:g}: give at least {FEWEST_MINUTES}")
    folder, seconds = Path(tempfile.mkdtemp()) / "runs", 60 * given.minutes
    with PageProcess(folder) as page:
        watch = Watch(page)
        visitors = Visitors(page, time.monotonic() + seconds)
        visitors.live(given.viewers)
        watch.end()
        processes = psutil.Process(page.pid).children(recursive=True)
    alive = left_over(processes)
    stored = stored_votes(folder / "votes.db")
    lost = [number for number, choice in visitors.votes.items() if stored.get(number) != choice]
    ended = Counter(visitors.jobs.values())
    print(f"{given.minutes:g} minutes, {given.viewers} viewers, load {os.getloadavg()[0]:.1f}")
    print(f"jobs: {dict(ended)}; {visitors.compared} comparisons; {len(visitors.votes)} votes")
    for what, times in visitors.troubles.items():
        print(f"    {times} times: {what}")
    flat = report(watch, seconds)
    print(f"{'OVER' if lost else 'ok  '} votes lost: {len(lost)}")
    print(f"{'OVER' if alive else 'ok  '} processes left: {[one.cmdline() for one in alive]}")
    fine = flat and not lost and not alive and not visitors.troubles
    return 0 if fine and set(ended) == {Status.FINISHED} else 1


if __name__ == "__main__":
    raise SystemExit(main())
