"""Thirty phones vote while strangers ask for the most expensive scores, all of them at once.

    python -m bench.hostile_requests [--strangers 100] [--phones 30] [--seconds 30]

The phones are those of class_load. Each stranger has its own address and its own text, which fills
the model's context, and asks for its score again as soon as an answer comes.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from bench.class_load import MOST_MILLISECONDS, Asker, live, open_class
from bench.serving import SERVER_FUNCTIONS, PageProcess, message, wait_until

WORDS = (
    "film story actor scene music plot hero ending laugh tears night city road train ship war "
    "peace love child mother father friend enemy"
).split()
WORDS_OF_A_TEXT = 253
"""Words of one token each: with the start token 254 tokens; the shipped model reads 255."""
PATIENCE = 600
"""Seconds after which a request times out."""

Answers = list[tuple[str, float]]
"""For each request its answer (`scored`, `busy`, another sentence) and its time in seconds."""


async def attack(url: str, component: int, strangers: int, seconds: float) -> Answers:
    """Ask for scores from many addresses at once, again and again."""
    until, answers = time.monotonic() + seconds, []

    async def ask_again(number: int) -> None:
        text = " ".join(random.Random(number).choices(WORDS, k=WORDS_OF_A_TEXT))
        body = message(component, "score_text", {"text": text, "scorer": "reward-mini"})
        address = {"X-Forwarded-For": f"10.0.{number // 256}.{number % 256}"}
        while time.monotonic() < until:
            begin = time.monotonic()
            try:
                answer = (await client.post(SERVER_FUNCTIONS, json=body, headers=address)).json()
            except httpx.TransportError as error:
                answer = {"error": type(error).__name__}
            what = "busy" if answer.get("busy") else answer.get("error", "scored")
            answers.append((what, time.monotonic() - begin))

    limits = httpx.Limits(max_connections=strangers)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client:
        await asyncio.gather(*(ask_again(number) for number in range(strangers)))
    return answers


def request_scores(*arguments: Any) -> Answers:
    """Run `attack` in a new event loop."""
    return asyncio.run(attack(*arguments))


def print_times(name: str, seconds: list[float]) -> float:
    """Print how long some answers took; return the 95th percentile in ms."""
    times = sorted(1000 * taken for taken in seconds)
    most = times[int(0.95 * len(times))]
    print(
        f"{name:24} {len(times):5} answers, median {statistics.median(times):.0f} ms, "
        f"95% under {most:.0f} ms, slowest {times[-1]:.0f} ms"
    )
    return most


def main() -> int:
    """Measure and print; return 1 if the 95th percentile of the votes' times is too high."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strangers", type=int, default=100)
    parser.add_argument("--phones", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "runs"
    with PageProcess(folder, RLHF_DEMO_PROXIES="1") as page:  # strangers name their address
        ask = Asker(page)
        ask.client.timeout = PATIENCE
        made, phones = open_class(ask, given.phones)
        wait_until(
            lambda: ask("class_state", token=made["token"])["seats_left"] > 300, 120, every=1.0
        )
        ask.seconds.clear()
        arguments = page.url, ask.where["score_text"], given.strangers, given.seconds
        # In reality, they use other machines: their own work must not slow the page or the phones.
        with ProcessPoolExecutor(1, initializer=os.nice, initargs=(10,)) as others:
            strangers = others.submit(request_scores, *arguments)
            time.sleep(0.5)
            for thread in live(phones, given.seconds):
                thread.join()
            answers = strangers.result()
    print(
        f"{given.strangers} strangers and {given.phones} phones for {given.seconds:g} s; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    for what, _ in Counter(what for what, _ in answers).most_common():
        print_times(
            f"strangers: {what[:60]}", [seconds for answer, seconds in answers if answer == what]
        )
    print_times("phones: next_pair", ask.seconds["next_pair"])
    print_times("phones: student_state", ask.seconds["student_state"])
    return int(print_times("phones: vote", ask.seconds["vote"]) > MOST_MILLISECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
