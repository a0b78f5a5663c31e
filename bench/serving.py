"""The page as its users run it: `python app.py` in a separate process, on a free port."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from rlhf_demo.files import read_json
from rlhf_demo.jobs.local_executor import LOCAL
from rlhf_demo.runs.run import Run

REPOSITORY = Path(__file__).parent.parent
BROWSERS = [Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium")]
"""The first one has no window to draw, and takes a third less of the processor."""
CHROMIUM = next((browser for browser in BROWSERS if browser.exists()), BROWSERS[-1])
NO_TLS = {"verify": False}
"""How the page is asked: a client that could use TLS takes 34 ms of a core for its certificates."""
SERVER_FUNCTIONS = "/gradio_api/component_server/"
START_SECONDS = 90
"""How long a start may take while the machine also trains and tests."""


def wait_until(condition: Callable[[], Any], seconds: float = 60, every: float = 0.05) -> Any:
    """Evaluate a condition again and again until it is true, and return its value.

    Raises:
        TimeoutError: it is still false after this time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(every)
    return answer


class PageProcess:
    """One folder of runs and the app that serves it; a context manager that starts and ends it.

    Attributes:
        runs: the folder.
        script: the script that starts the app.
        url: the page's address, without a slash at the end; the same after a restart.
    """

    def __init__(
        self, runs: Path, script: Path = REPOSITORY / "app.py", **environment: str
    ) -> None:
        self.runs, self.script, self.environment = runs, script, environment
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = runs.parent / "app.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PageProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.end_trainings()

    # -- the process -------------------------------------------------------------------------------

    def start(self) -> float:
        """Start the app; return the seconds until the page answered.

        Raises:
            RuntimeError, TimeoutError: it ended, or does not answer.
        """
        begin = time.monotonic()
        environment = os.environ | {
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(self.port),
            "RLHF_DEMO_RUNS": str(self.runs),
            **self.environment,
        }
        with open(self.log, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(self.script)],
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(self._answers, START_SECONDS, every=0.02)
        except TimeoutError:
            self.kill()
            raise
        return time.monotonic() - begin

    def stop(self) -> None:
        """End the app as Ctrl-C does; trainings continue.

        Raises:
            RuntimeError: it had already ended.
        """
        process, self._process = self._process, None
        if process.poll() is not None:
            raise RuntimeError(f"app.py ended by itself with exit code {process.returncode}")
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the app as a power cut does; trainings continue."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process number of the app."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time of the app's process so far, on all cores together."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def megabytes(self) -> float:
        """Return the memory of the app's process and of its file readers, in megabytes."""
        total = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 10**6

    def processes(self) -> Iterator[psutil.Process]:
        """Yield the app's process and those of its file readers; trainings have own limits."""
        app = psutil.Process(self._process.pid)
        for process in [app, *app.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                if "--run-dir" not in process.cmdline():
                    yield process

    def end_trainings(self) -> None:
        """Kill the trainings that the app has started."""
        for record in self.runs.glob("*/job.json"):
            handle = read_json(record).get("handle")
            if handle is not None:
                LOCAL.stop(handle, record.parent, hard=True)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            output = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"app.py ended with exit code {self._process.returncode}: {output}")
        try:
            return httpx.get(self.url, timeout=5, **NO_TLS).status_code == 200
        except httpx.TransportError:
            return False

    # -- requests of programs ----------------------------------------------------------------------

    def call(self, endpoint: str, *arguments: Any) -> Any:
        """Call a public endpoint, e.g. /runs, and return its answer.

        Raises:
            RuntimeError: the endpoint answered with an error.
        """
        path = f"{self.url}/gradio_api/call/{endpoint.strip('/')}"
        event = httpx.post(
            path, json={"data": list(arguments)}, timeout=30, **NO_TLS
        ).raise_for_status()
        events = httpx.get(f"{path}/{event.json()['event_id']}", timeout=120, **NO_TLS).text
        name, _, data = events.strip().split("\n\n")[-1].partition("\n")
        if name != "event: complete":
            raise RuntimeError(f"{endpoint}: {data}")
        return json.loads(data.removeprefix("data: "))[0]

    def post(self, component: int, function: str, request: Any) -> httpx.Response:
        """Call a server function of one of the page's components, as its JavaScript does."""
        return httpx.post(
            f"{self.url}{SERVER_FUNCTIONS}",
            json=message(component, function, request),
            timeout=30,
            **NO_TLS,
        )

    def components(self) -> dict[str, list[int]]:
        """Return the page's server functions, and the components that have each."""
        functions: dict[str, list[int]] = {}
        for component in httpx.get(f"{self.url}/config", timeout=30, **NO_TLS).json()["components"]:
            for function in component["props"].get("server_fns") or ():
                functions.setdefault(function, []).append(component["id"])
        return functions

    def start_ppo(self, title: str, secret: str, **options: Any) -> str:
        """Queue a PPO run against the shipped reward model; return its id."""
        answer = self.call("start_ppo", "", "reward-mini", "quick", options, title, secret)
        return answer["run"]

    def rows(self, run: str) -> list[dict[str, Any]]:
        """Return the metrics that a run has written so far."""
        return Run(self.runs / run).read("metrics")

    def status(self, run: str) -> str:
        """Return a run's status."""
        return Run(self.runs / run).status["status"]


def message(component: int, function: str, request: Any) -> dict[str, Any]:
    """Return the message with which the page's JavaScript calls a server function."""
    return {
        "component_id": component,
        "fn_name": function,
        "data": request,
        "session_hash": "a-program",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
