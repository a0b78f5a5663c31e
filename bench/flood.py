"""One hour of attacks on a page while an honest class of thirty uses it and loses nothing.

    python -m bench.flood [--minutes 4] [--phones 30]

The app runs in class mode as the README describes. Thirty phones at one school's address vote, and
the class trains its reward model and PPO. Meanwhile attackers, from their own addresses, upload
bombs, guess the password, send what another website would send, ask for a hundred scores at once,
and fill the queue and the disk with trainings, and the class with students. The attacks of an hour
come within --minutes.
"""

import argparse
import math
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

from bench.class_load import Asker, Phone, live, report_votes
from bench.hostile_requests import request_scores
from bench.serving import SERVER_FUNCTIONS, PageProcess, message, wait_until
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import megabytes
from tests.hostile_files import FILES

PASSWORD = "chalk and cheese"
STRANGERS = 100
"""Clients that ask for scores at once."""
PPO_STEPS = 20
MOST_SECONDS = 180
"""The most that a class waits during the attacks: nine times the aim without them."""
MOST_MEGABYTES = 2_000
"""Memory of the app and of its file readers; without attacks the app has 600, two readers 900."""
MOST_DISK = PUBLIC.most_megabytes_all + 2_000
"""Megabytes of all visitors' runs, of uploads, votes and the class's own runs."""
MOST_VISIT_SECONDS = 5.0


class Hostile:
    """All attackers except those who ask for scores.

    Attributes:
        answers: attack -> answer -> how often it came.
    """

    def __init__(self, url: str, where: dict[str, int], code: str, until: float) -> None:
        self.url, self.where, self.code, self.until = url, where, code, until
        self.client = httpx.Client(base_url=url, timeout=60)
        self.answers: dict[str, Counter[str]] = {}
        self.rng = random.Random(0)
        # Made here, because making them takes longer than reading them may.
        self.bombs = [(file.name, file.make()) for file in self.rng.sample([*FILES.values()], 12)]
        handlers = self.client.get("/config").json()["dependencies"]
        self.reader = next(row["id"] for row in handlers if row["api_name"] == "take_upload")

    def attack(self) -> dict[str, Counter[str]]:
        """Attack in all ways at once until the end; return the answers."""
        attacks = (
            self.upload, self.guess, self.come_from_elsewhere, self.fill_the_queue,
            self.fill_the_disk, self.join,
        )  # fmt: skip
        threads = [threading.Thread(target=self._again, args=(attack,)) for attack in attacks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.answers

    def _again(self, attack: Callable[[], str]) -> None:
        answers = self.answers.setdefault(attack.__name__, Counter())
        while time.monotonic() < self.until:
            try:
                answers[attack()[:110]] += 1
            except httpx.HTTPError as error:
                answers[type(error).__name__] += 1
            time.sleep(0.05)

    def _address(self, most: int) -> dict[str, str]:
        return {"X-Forwarded-For": f"10.1.0.{self.rng.randrange(most)}"}

    def _ask(self, function: str, most: int, **request: Any) -> str:
        body = message(self.where[function], function, request)
        return self._answer(body, self._address(most))

    def _answer(self, body: dict[str, Any], headers: dict[str, str]) -> str:
        answer = self.client.post(SERVER_FUNCTIONS, json=body, headers=headers)
        content = answer.json()
        return content.get("error") or f"{answer.status_code}: {sorted(content)}"

    # -- attacks -----------------------------------------------------------------------------------

    def upload(self) -> str:
        """Upload a file that is made to freeze or fill its reader, and ask for a preview."""
        headers = self._address(50)
        files = {"files": self.rng.choice(self.bombs)}
        sent = self.client.post("/gradio_api/upload", files=files, headers=headers)
        if sent.status_code != httpx.codes.OK:
            return sent.json()["error"]
        file = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
        body = {"data": [file, "a stranger"], "session_hash": "bomb", "fn_index": self.reader}
        answer = self.client.post("/gradio_api/run/predict", json=body, headers=headers).json()
        return answer.get("error") or answer["data"][1].get("error") or "shown"

    def guess(self) -> str:
        """Guess the password, from fifty addresses."""
        return self._ask("check_password", 50, password=f"guess{self.rng.random()}")

    def come_from_elsewhere(self) -> str:
        """Delete and start runs, as a website that a visitor opens could."""
        function, request = self.rng.choice(
            (("delete_run", {"run": "reward", "secret": "x"}), ("start_loop", {"secret": "x"}))
        )
        body = message(self.where[function], function, request)
        foreign = self.rng.choice(
            (
                {"Origin": "https://evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Host": "rebound.example"},
            )
        )
        return self._answer(body, foreign)

    def fill_the_queue(self) -> str:
        """Start trainings, each time with another secret."""
        return self._ask("start_loop", 20, secret=f"secret {self.rng.random()}")

    def fill_the_disk(self) -> str:
        """Start a run that saves as much as it can."""
        options = {
            "total_steps": 200, "checkpoint_every": 1, "lora_rank": 512, "batch_size": 2,
            "minibatch_size": 2, "max_new_tokens": 1,
        }  # fmt: skip
        client = Client(self.url, verbose=False, headers=self._address(20))
        try:
            client.predict("", "longer", "quick", options, "full", api_name="/start_ppo")
        except AppError as error:
            return str(error)
        finally:
            client.close()
        return "200: started"

    def join(self) -> str:
        """Join the class again and again, with a leaked code."""
        return self._ask("join", 5, code=self.code, nickname=f"Bot {self.rng.random():.9f}")


def attacks(url: str, where: dict[str, int], code: str, seconds: float) -> dict[str, Counter[str]]:
    """Attack for this many seconds."""
    return Hostile(url, where, code, time.monotonic() + seconds).attack()


class Watch:
    """Samples the memory of the app and of the processes that it starts, except trainings."""

    def __init__(self, page: PageProcess) -> None:
        self.page, self.most, self._ended = page, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(0.5):
            self.most = max(self.most, self.page.megabytes())

    def end(self) -> float:
        """Return the largest number of megabytes."""
        self._ended.set()
        self._thread.join()
        return self.most


def hold_class(
    ask: Asker, state: dict[str, str], patience: float
) -> dict[str, tuple[float, float, str]]:
    """Act as the instructor; return how long each result took, and how long it may take."""
    over = time.monotonic() + patience

    def seconds_until(field: Callable[[dict[str, Any]], Any]) -> tuple[float, float, str]:
        begin = time.monotonic()
        try:
            wait_until(lambda: field(ask("class_state", **state)), over - begin, every=1.0)
        except TimeoutError:
            return math.inf, MOST_SECONDS, "s"
        return time.monotonic() - begin, MOST_SECONDS, "s"

    seconds_until(lambda seen: seen["preferences"] >= 10)
    figures = {"reward model, from the tenth preference": seconds_until(lambda s: s["reward"])}
    if "error" not in ask("start_ppo", steps=PPO_STEPS, **state):
        figures["first step of PPO, from the click"] = seconds_until(lambda s: s["ppo"]["step"])
    figures[f"{PPO_STEPS} steps of PPO and the model"] = seconds_until(
        lambda seen: seen["ppo"] and seen["ppo"]["status"] == "finished"
    )
    return figures


def open_class(ask: Asker, phones: int) -> tuple[dict[str, str], list[Phone], str]:
    """Open the class with the password and let the students join."""
    instructor = ask("check_password", password=PASSWORD)
    made = ask(
        "open_class", question="Which is better English?", overlap=3, each=100, clean_words=True,
        password=PASSWORD,
    )  # fmt: skip
    joined = [ask("join", code=made["code"], nickname=f"Phone {n}") for n in range(phones)]
    secret = instructor["token"]
    state = {"token": made["token"], "secret": secret}
    return state, [Phone(ask, student["secret"]) for student in joined], made["code"]


def within_bounds(figures: dict[str, tuple[float, float, str]]) -> bool:
    """Print each figure with its bound; say whether all are within their bounds."""
    for what, (figure, bound, unit) in figures.items():
        verdict = "ok  " if figure <= bound else "OVER"
        print(f"{verdict} {what}: {figure:,.1f} {unit}, at most {bound:,.0f}")
    return all(figure <= bound for figure, bound, _ in figures.values())


def admitted(answers: dict[str, Counter[str]]) -> int:
    """Return the number of guesses, and of requests of other websites, that were not refused."""
    return sum(
        times
        for attack in ("guess", "come_from_elsewhere")
        for answer, times in answers[attack].items()
        if answer.startswith("200")
    )


def main() -> int:
    """Measure and print; return 1 if a figure is out of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--phones", type=int, default=30)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "runs"
    mode = {"RLHF_DEMO_PASSWORD": PASSWORD, "RLHF_DEMO_PROXIES": "1"}
    with PageProcess(folder, GRADIO_SERVER_NAME="0.0.0.0", **mode) as page:
        ask = Asker(page)
        state, phones, code = open_class(ask, given.phones)
        watch, seconds, where = Watch(page), 60 * given.minutes, ask.where
        # In reality, attackers use other machines: their own work must not slow the class down.
        with ProcessPoolExecutor(2, initializer=os.nice, initargs=(15,)) as others:
            attacked = others.submit(attacks, page.url, where, code, seconds)
            scored = others.submit(
                request_scores, page.url, where["score_text"], STRANGERS, seconds
            )
            threads = live(phones, seconds)
            figures = hold_class(ask, state, seconds + MOST_SECONDS)
            for thread in threads:
                thread.join()
            answers = attacked.result() | {"score": Counter(what for what, _ in scored.result())}
        begin = time.monotonic()
        httpx.get(page.url, timeout=60).raise_for_status()
        figures |= {
            "the page afterwards": (time.monotonic() - begin, MOST_VISIT_SECONDS, "s"),
            "memory": (watch.end(), MOST_MEGABYTES, "MB"),
            "disk": (megabytes(folder), MOST_DISK, "MB"),
            "let in": (admitted(answers), 0, "strangers"),
        }
        print(f"{given.minutes:g} minutes, load average {os.getloadavg()[0]:.1f}")
        for attack, counts in answers.items():
            print(f"{attack}: {counts.total()} requests")
            for answer, times in counts.most_common(4):
                print(f"    {times} times: {answer[:150]}")
        fine = within_bounds(figures)
        return 0 if report_votes(ask, phones, folder / "votes.db") and fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
