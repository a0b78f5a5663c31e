"""What thirty people who watch a running job wait, and what they cost the training.

    python -m bench.viewers [--viewers 30] [--seconds 60]

Starts the app and a PPO run with the shipped settings. Each viewer asks for the board's new rows
each second, for the texts of a step when there are new ones, and for the strip every two seconds,
as the page does. The training is timed in turn without and with them, twice, so that a slow moment
of the machine does not count for one side only.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from bench.serving import SERVER_FUNCTIONS, PageProcess, message, wait_until
from rlhf_demo.config import PPOConfig

WARM_UP_STEPS = 3
"""Left out: the first steps are slower."""
ROUNDS = 2
EPISODES = PPOConfig().batch_size

Ask = Callable[..., Awaitable[dict[str, Any]]]
"""Calls a server function: its name, the request, where to note the seconds."""


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


def measure(page: PageProcess, run: str, viewers: int, seconds: float) -> None:
    """Time the training without and with viewers, and the viewers' answers."""
    alone, watched, board, strip, own, served = [], [], [], [], 0.0, 0.0
    for _ in range(ROUNDS):
        alone += steps_during(page, run, lambda: time.sleep(seconds))
        own, served = own - time.process_time(), served - page.cpu_seconds()
        watched += steps_during(
            page, run, lambda: asyncio.run(watch(page, run, viewers, seconds, board, strip))
        )
        own, served = own + time.process_time(), served + page.cpu_seconds()
    print(f"{viewers} viewers, {len(board)} updates of the board, {len(strip)} of the strip")
    for name, taken in (("board", board), ("strip", strip)):
        milliseconds = sorted(1000 * one for one in taken)
        middle, late = (milliseconds[int(share * len(taken))] for share in (0.5, 0.95))
        print(f"{name}: median {middle:.0f} ms, 95% under {late:.0f} ms")
    for name, steps in (("without", alone), ("with", watched)):
        pace = statistics.mean(steps)
        print(
            f"{name} viewers: {pace:.2f} s a step ({len(steps)} steps), {64 / pace:.1f} episodes/s"
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


async def watch(
    page: PageProcess,
    run: str,
    viewers: int,
    seconds: float,
    board: list[float],
    strip: list[float],
) -> None:
    """Let so many viewers look on; add the seconds that each answer took to the two lists."""
    functions = page.components()
    limits = httpx.Limits(max_connections=None)  # a browser each, not one that waits for itself
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def ask(function: str, request: object, taken: list | None = None) -> dict:
            part = functions[function][-1]
            begin = time.perf_counter()
            answer = await client.post(
                page.url + SERVER_FUNCTIONS, json=message(part, function, request)
            )
            if taken is not None:
                taken.append(time.perf_counter() - begin)
            return answer.raise_for_status().json()

        async with asyncio.TaskGroup() as group:
            for number in range(viewers):
                late = random.Random(number).random()  # nobody opens a page on the same beat
                group.create_task(look(ask, run, seconds, late, board))
                group.create_task(glance(ask, seconds, 2 * late, strip))


async def look(ask: Ask, run: str, seconds: float, late: float, taken: list[float]) -> None:
    """Ask for new rows each second and for the newest texts, as the board does."""
    since, created, shown = -1, None, None
    async for _ in beats(1, late, seconds):
        request = {"kind": "ppo", "run": run, "since": since, "created": created, "secret": ""}
        answer = await ask("board_rows", request, taken)
        created = answer["created"]
        since = (answer["columns"].get("step") or [since])[-1]
        if answer["sample_steps"] and answer["sample_steps"][-1] != shown:
            shown = answer["sample_steps"][-1]
            await ask("board_samples", {"run": run, "step": shown})


async def glance(ask: Ask, seconds: float, late: float, taken: list[float]) -> None:
    """Ask for the strip every two seconds."""
    async for _ in beats(2, late, seconds):
        await ask("strip_state", 0, taken)


async def beats(every: float, late: float, seconds: float) -> AsyncIterator[None]:
    """Beat every so many seconds, never twice at once, like the page's timer."""
    begin = time.monotonic()
    due = begin + late
    while due < begin + seconds:
        await asyncio.sleep(max(0, due - time.monotonic()))
        yield
        while due <= time.monotonic():
            due += every


if __name__ == "__main__":
    main()
