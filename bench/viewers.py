"""How long thirty viewers of a running job wait, and how much they slow the training down.

    python -m bench.viewers [--viewers 30] [--seconds 60] [--learn]

Starts the app and a PPO run with the shipped settings. Like the page, each viewer asks for the
board's new rows and texts when the last answer said so, and for the strip every eight seconds. With
--learn they are students in the Learn tab instead: every twenty seconds, each of them answers the
next lesson, looks at it, and tries a text of their own that nobody has tried. The
training is timed alternately without and with viewers, twice, so that a slow moment of the machine
does not affect only one side. In reality, viewers use other machines: their own work is kept small
here, and its cost is printed.
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
from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.config.ppo import PPOConfig

WARM_UP_STEPS = 3
"""Steps that do not count: the first steps are slower."""
ROUNDS = 2
EPISODES = PPOConfig().batch_size
STRIP_SECONDS = 8
LESSON_SECONDS = 20
BUSY_SECONDS = 1
KEPT_ALIVE = 4
"""Seconds; the server closes a connection that is idle for five."""
OF_TEXT = [name for name in ("next_token", "attention", "layers", "heads_off") if name in LESSONS]
"""Lessons that look at a text of the student's own."""
WORDS = "actress actor film story music ending camera good bad very never plot loved hated".split()
ASKED = ("board", "strip")
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the four spans")
    parser.add_argument("--learn", action="store_true", help="students in the Learn tab")
    arguments = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    with (
        tempfile.TemporaryDirectory() as folder,
        PageProcess(Path(folder) / "runs") as page,
    ):
        run = page.start_ppo("watched", "bench", total_steps=2000, kl_budget=1000, seed=1)
        wait_until(lambda: len(page.rows(run)) >= WARM_UP_STEPS, 300)
        kind = Student if arguments.learn else Viewer
        measure(page, run, kind, arguments.viewers, arguments.seconds)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")


class Viewer:
    """A viewer with the page open on a run, who records how long each answer takes.

    Attributes:
        board, strip: seconds of each answer.
        failed: the error that ended the viewer, if any.
    """

    functions = ("board_rows", "strip_state")

    def __init__(
        self, page: PageProcess, parts: dict[str, int], run: str, late: random.Random
    ) -> None:
        self.parts, self.run, self.late = parts, run, late
        self.connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        self.board: list[float] = []
        self.strip: list[float] = []
        self.failed: Exception | None = None
        self._asked = 0.0  # when it last asked
        self._known = {"since": -1, "created": None, "texts_after": -1}

    def watch(self, seconds: float) -> None:
        """Ask as the page does, for this many seconds."""
        begin = time.monotonic()
        # Viewers do not open the page at the same moment.
        due = [(begin + wait * self.late.random(), ask) for wait, ask in self.asks()]
        try:
            while (request := min(due, key=itemgetter(0)))[0] < begin + seconds:
                due_at, ask = request
                time.sleep(max(0.0, due_at - time.monotonic()))
                due.remove(request)
                wait = ask()
                due.append((time.monotonic() + wait, ask))
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.failed = error

    def asks(self) -> list[tuple[float, Callable[[], float]]]:
        """Return what the page asks for, with the seconds from one time to the next."""
        return [(1, self._ask_board), (STRIP_SECONDS, self._ask_strip)]

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
        """Return an answer; like the page, ask again while the server is busy."""
        body = json.dumps(message(self.parts[function], function, request))
        begin = time.perf_counter()
        while (content := self._answer(function, body)).get("busy"):
            time.sleep(BUSY_SECONDS)
        taken.append(time.perf_counter() - begin)
        if "error" in content:
            raise RuntimeError(f"{function} answered: {content['error']}")
        return content

    def _answer(self, function: str, body: str) -> dict[str, Any]:
        if time.monotonic() - self._asked > KEPT_ALIVE:
            self.connection.close()  # the server has closed it; the next request opens another
        self._asked = time.monotonic()
        self.connection.request("POST", SERVER_FUNCTIONS, body, HEADERS)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{function} answered {answer.status}: {text[:300]!r}")
        return json.loads(text)


class Student(Viewer):
    """A student who goes through the lessons.

    Attributes:
        board: seconds of each answer of a lesson.
    """

    functions = ("lesson_outcome", "lesson_look", "strip_state")

    def asks(self) -> list[tuple[float, Callable[[], float]]]:
        """Return what the Learn tab asks for."""
        return [(LESSON_SECONDS, self._ask_lesson), (STRIP_SECONDS, self._ask_strip)]

    def _ask_lesson(self) -> float:
        lesson = {"lesson": self.late.choice(OF_TEXT)}
        words = self.late.sample(WORDS, 5)
        for function, request in (
            ("lesson_outcome", lesson),
            ("lesson_look", lesson),
            ("lesson_look", lesson | {"text": f"The {' '.join(words)}"}),
        ):
            self._ask(function, request, self.board)
        return LESSON_SECONDS


def measure(page: PageProcess, run: str, kind: type[Viewer], viewers: int, seconds: float) -> None:
    """Time the training without and with viewers, and the viewers' answers."""
    alone, watched, viewing, own, served = [], [], [], 0.0, 0.0
    for _ in range(ROUNDS):
        alone += steps_during(page, run, lambda: time.sleep(seconds))
        own, served = own - time.process_time(), served - page.cpu_seconds()
        watched += steps_during(
            page, run, lambda: viewing.extend(watch(page, run, kind, viewers, seconds))
        )
        own, served = own + time.process_time(), served + page.cpu_seconds()
    board, strip = ([s for viewer in viewing for s in getattr(viewer, name)] for name in ASKED)
    asked = ("lesson", "strip") if kind is Student else ("board", "strip")
    print(f"{viewers} viewers, {len(board)} answers of the {asked[0]}, {len(strip)} of the strip")
    for name, taken in zip(asked, (board, strip), strict=True):
        milliseconds = sorted(1000 * each for each in taken)
        middle, late = (milliseconds[int(share * len(taken))] for share in (0.5, 0.95))
        print(f"{name}: median {middle:.0f} ms, 95% under {late:.0f} ms")
    for name, steps in (("without", alone), ("with", watched)):
        step_seconds = statistics.mean(steps)
        print(
            f"{name} viewers: {step_seconds:.2f} s a step ({len(steps)} steps), "
            f"{EPISODES / step_seconds:.1f} episodes/s"
        )
    slower = 100 * (statistics.mean(watched) / statistics.mean(alone) - 1)
    print(f"the training is {slower:+.1f}% slower with viewers")
    cores = ROUNDS * seconds / 100
    print(f"meanwhile the app took {served / cores:.0f}% of a core, and the viewers' own side,")
    print(f"which in reality is on other machines, {own / cores:.0f}%")


def steps_during(page: PageProcess, run: str, span: Callable[[], None]) -> list[float]:
    """Return the seconds of each step that began and ended during a span."""
    begun_before = len(page.rows(run)) + 1  # with the step that is half done
    span()
    return [row["time/step_seconds"] for row in page.rows(run)[begun_before:]]


def watch(
    page: PageProcess, run: str, kind: type[Viewer], viewers: int, seconds: float
) -> list[Viewer]:
    """Let viewers watch, and return them with their records."""
    functions = page.components()
    parts = {name: functions[name][-1] for name in kind.functions}
    everyone = [kind(page, parts, run, random.Random(number)) for number in range(viewers)]
    threads = [threading.Thread(target=viewer.watch, args=(seconds,)) for viewer in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed := [viewer for viewer in everyone if viewer.failed]:
        raise RuntimeError(f"{len(failed)} viewers failed: {failed[0].failed}")
    return everyone


if __name__ == "__main__":
    main()
