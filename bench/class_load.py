"""Thirty phones vote for two minutes while PPO trains, and the app is killed in the middle.

    python -m bench.class_load [--phones 30] [--seconds 120]

Each phone does what the student page does: it asks for the state of the class every two seconds,
prefetches the next pair, answers after one to five seconds of reading, and sends an answer again if
the server does not respond. At the end, every acknowledged answer is compared with the database.
"""

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.serving import SERVER_FUNCTIONS, PageProcess, message, wait_until

READING = (1.0, 5.0)
"""Bounds of the seconds between a pair and its answer, drawn uniformly."""
STATE_SECONDS = 2.0
CHOICES = ("left", "right", "left", "right", "tie", "both_bad")
MOST_MILLISECONDS = 500
PPO_STEPS = 200
"""More than can be trained in the time."""


@dataclass
class Phone:
    """One student, with the acknowledged votes."""

    ask: "Asker"
    secret: str
    votes: dict[int, str] = field(default_factory=dict)  # assignment -> choice, acknowledged
    sent_again: int = 0
    refused: list[str] = field(default_factory=list)

    def live(self, until: float) -> None:
        """Vote until the given time."""
        random.seed(self.secret)
        polled_at, assignment, ahead = 0.0, None, None
        while time.monotonic() < until:
            if time.monotonic() - polled_at > STATE_SECONDS:
                polled_at = time.monotonic()
                self._try("student_state")
            if assignment is None:
                assignment = (self._try("next_pair") or {}).get("assignment")
                if assignment is None:
                    time.sleep(1.5)
                    continue
            ahead = (self._try("next_pair", after=assignment["id"]) or {}).get("assignment")
            time.sleep(random.uniform(*READING))
            self._vote(assignment["id"], random.choice(CHOICES))
            assignment = ahead

    def _vote(self, assignment: int, choice: str) -> None:
        while True:  # as the page does: until the server has answered
            answer = self._try("vote", assignment=assignment, choice=choice)
            if answer is None:
                self.sent_again += 1
                time.sleep(2.0)
            elif "error" in answer:
                self.refused.append(answer["error"])
                return
            else:
                self.votes[assignment] = choice
                return

    def _try(self, function: str, **request: Any) -> dict[str, Any] | None:
        try:
            return self.ask(function, secret=self.secret, **request)
        except httpx.HTTPError:
            return None


class Asker:
    """Calls server functions and records how long each answer took, in seconds."""

    def __init__(self, page: PageProcess) -> None:
        self.page, self.seconds = page, {}
        self.where = {name: parts[0] for name, parts in page.components().items()}
        # The Feedback tab has next_pair, vote and undo too; the students' functions share a part.
        student = self.where["student_state"]
        self.where |= dict.fromkeys(("next_pair", "vote", "undo", "join"), student)
        self.client = httpx.Client(
            base_url=page.url, timeout=30, limits=httpx.Limits(max_connections=200)
        )

    def __call__(self, function: str, **request: Any) -> dict[str, Any]:
        """Call a function and return its answer."""
        begin = time.perf_counter()
        body = message(self.where[function], function, request)
        answer = self.client.post(SERVER_FUNCTIONS, json=body).raise_for_status().json()
        self.seconds.setdefault(function, []).append(time.perf_counter() - begin)
        return answer


def stored_votes(database: Path) -> dict[int, str]:
    """Return the answers in the database as they were on the screen: assignment -> choice."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "select id, choice, swapped from showings where choice is not null"
        ).fetchall()
    sides = {
        ("first", 0): "left",
        ("second", 0): "right",
        ("first", 1): "right",
        ("second", 1): "left",
    }
    return {number: sides.get((choice, swapped), choice) for number, choice, swapped in rows}


def open_class(ask: Asker, phones: int) -> tuple[dict[str, Any], list[Phone]]:
    """Open a class and let all students join."""
    made = ask(
        "open_class", question="Which is better English?", overlap=3, each=60, clean_words=True
    )
    joined = [ask("join", code=made["code"], nickname=f"Phone {n}") for n in range(phones)]
    return made, [Phone(ask, student["secret"]) for student in joined]


def live(phones: list[Phone], seconds: float) -> list[threading.Thread]:
    """Start all phones, which vote for this many seconds; return their threads."""
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=phone.live, args=(until,)) for phone in phones]
    for thread in threads:
        thread.start()
    return threads


def begin_ppo(ask: Asker, phones: list[Phone], state: dict[str, str]) -> str:
    """Vote until there is a reward model, and start PPO on it; return the run after a step."""
    for thread in live(phones, 15):
        thread.join()
    wait_until(lambda: ask("class_state", **state)["reward"], 300, every=1.0)
    run = ask("start_ppo", steps=PPO_STEPS, **state)["run"]
    wait_until(lambda: ask("class_state", **state)["ppo"]["step"], 300, every=1.0)
    return run


def report_votes(ask: Asker, phones: list[Phone], database: Path) -> bool:
    """Print the number of votes and the times of the answers; say whether all are in order."""
    acknowledged = {number: choice for phone in phones for number, choice in phone.votes.items()}
    stored = stored_votes(database)
    lost = {number for number, choice in acknowledged.items() if stored.get(number) != choice}
    extra = stored.keys() - acknowledged.keys()
    refused = [sentence for phone in phones for sentence in phone.refused]
    by_phone = [len(phone.votes) for phone in phones]
    print(
        f"votes acknowledged {len(acknowledged)} ({min(by_phone)} to {max(by_phone)} a phone), "
        f"lost {len(lost)}, doubled or never acknowledged {len(extra)}, "
        f"sent again {sum(phone.sent_again for phone in phones)}, refused {len(refused)}"
    )
    for sentence in sorted(set(refused)):
        print(f"  refused {refused.count(sentence)} times: {sentence}")
    late = False
    for function in ("vote", "next_pair", "student_state"):
        times = sorted(1000 * seconds for seconds in ask.seconds[function])
        most = times[int(0.95 * len(times))]
        late |= most > MOST_MILLISECONDS
        print(
            f"{function:14} {len(times):5} answers, median {statistics.median(times):.0f} ms, "
            f"95% under {most:.0f} ms, slowest {times[-1]:.0f} ms"
        )
    return not (lost or extra or late)


def main() -> int:
    """Measure and print; return 1 if a vote was lost or doubled, or answers were slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "runs"
    with PageProcess(folder) as page:
        ask = Asker(page)
        made, phones = open_class(ask, given.phones)
        state = {"token": made["token"], "secret": "the instructor's"}
        run = begin_ppo(ask, phones, state)
        first = ask("class_state", **state)["ppo"]["step"]
        ask.seconds.clear()
        threads = live(phones, given.seconds)
        time.sleep(given.seconds / 2)
        page.kill()
        away = page.start()
        for thread in threads:
            thread.join()
        last = ask("class_state", **state)["ppo"]["step"]
        ask("stop_ppo", **state)
        print(
            f"{given.phones} phones for {given.seconds:g} s; load average {os.getloadavg()[0]:.1f} "
            f"on {os.cpu_count()} cores; app killed, back after {away:.1f} s; "
            f"{run} went from step {first} to {last}"
        )
        return 0 if report_votes(ask, phones, folder / "votes.db") else 1


if __name__ == "__main__":
    raise SystemExit(main())
