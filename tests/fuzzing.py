"""What a fuzz test sends: hostile values, whole and in the place of one part of a valid request.

Targets are found in the page's /config, and what a server function reads is found in its source,
so a new function is attacked the day it is written.
"""

import ast
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.serving import NO_TLS, REPOSITORY, SERVER_FUNCTIONS, PageProcess, wait_until
from rlhf_demo.web.refusals import WRONG_SHAPE

PASSWORD = "a fuzzed password"
PACKAGE = REPOSITORY / "rlhf_demo"


def nested(levels: int) -> list[Any]:
    """Return a list in a list in a list."""
    inside: list[Any] = []
    for _ in range(levels):
        inside = [inside]
    return inside


VALUES: tuple[Any, ...] = (
    None, True, -1, 0.5, 10**400, 2**63, float("nan"), float("inf"), "", " ", "\ud800", "a\0b",
    "x" * 50_000, nested(200), [], {}, [[]] * 1000, {"__class__": {"__init__": 1}},
    "../../votes.db", "/etc/passwd", "%2e%2e%2fvotes.db", "\u0663", "1e999", "os:system",
    "ppo-quick\n",
    "<img src=x onerror=alert(1)>", "${1+1}{{7*7}}", "file:///etc/passwd", "\u202eabc\u3164",
    ["a", 1, None],
)  # fmt: skip
"""Thirty; each comes in the place of some part of a valid request, and some as the whole of it."""
WHOLE = VALUES[::3]

SMALL = {"max_new_tokens": 4, "max new tokens": 4, "prompts": 8, "students": 2, "each": 4, "n": 2}
"""Valid values of what would make an honest request take long, by the name of a part or field."""


MOST_SECONDS = 60
"""How long a handler may take for one request, on a machine that does other things too."""


@dataclass
class Request:
    """One request.

    Attributes:
        target: what it is aimed at, in words.
        queued: the answer comes by the session's stream of events.
        honest: nothing is wrong with it: it shows that the values stand where they are read.
    """

    target: str
    path: str
    body: Any
    queued: bool = False
    honest: bool = False

    @property
    def text(self) -> str:
        """The body, shortened, as a failing test shows it."""
        return str(self.body)[:300]


# -- what a server function reads ------------------------------------------------------------------


def keys_read() -> dict[str, set[str]]:
    """Return what the server functions read of their requests, by the function's name.

    Words that stand in the source beside the request count: request["run"],
    request.get("run"), helper(request, "run"); and so does what the called helpers read.
    """
    read: dict[str, set[str]] = {}
    passed_on: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and _request_of(function):
                words, helpers = _reads(function, _request_of(function))
                read.setdefault(function.name, set()).update(words)
                passed_on.setdefault(function.name, set()).update(helpers)
    for _ in range(3):  # helpers of helpers
        for name, helpers in passed_on.items():
            read[name] |= set().union(*(read.get(helper, set()) for helper in helpers))
    return read


def _request_of(function: ast.FunctionDef) -> str | None:
    named = [one.arg for one in function.args.args if one.arg != "self"]
    return "request" if "request" in named else None


def _reads(function: ast.FunctionDef, request: str) -> tuple[set[str], set[str]]:
    words, helpers = set(), set()

    def is_request(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == request

    def strings(nodes: list[ast.expr]) -> set[str]:
        constants = (one.value for one in nodes if isinstance(one, ast.Constant))
        return {one for one in constants if isinstance(one, str)}

    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and is_request(node.value):
            words |= strings([node.slice])
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and is_request(called.value):
                words |= strings(node.args[:1])
            elif any(is_request(one) for one in node.args):
                words |= strings(node.args)
                helpers.add(called.attr if isinstance(called, ast.Attribute) else called.id)
    return words, helpers


# -- what there is to attack -----------------------------------------------------------------------


class Target:
    """A running page, an honest visitor of it, and every way in; close its `client`."""

    def __init__(self, page: PageProcess, password: str | None) -> None:
        self.page, self.client = (
            page,
            httpx.Client(base_url=page.url, timeout=MOST_SECONDS, **NO_TLS),
        )
        self.config = self.client.get("/config").json()
        self.parts = {one["id"]: one for one in self.config["components"]}
        self.functions = [
            (number, name)
            for number, one in self.parts.items()
            for name in one["props"].get("server_fns") or ()
        ]
        self.ballot = next(number for number, name in self.functions if name == "enter")
        self.valid = self._honest(password)
        self.open_page("honest")
        self.upload = self._uploaded()

    def ask(self, name: str, number: int | None = None, **request: Any) -> dict[str, Any]:
        """Call a server function as an honest visitor; of two parts with it, the last one's."""
        if number is None:
            number = [one for one, found in self.functions if found == name][-1]
        body = {"component_id": number, "fn_name": name, "data": request, "session_hash": "honest"}
        return self.client.post(SERVER_FUNCTIONS, json=body).raise_for_status().json()

    def vote(self) -> int:
        """Arrive as a visitor and vote; return how many votes there are then."""
        return self.ask("vote", self.ballot, **self._ballot_paper())["votes"]

    def _ballot_paper(self) -> dict[str, Any]:
        voter = self.ask("enter", self.ballot, voter="")["voter"]
        asked = {"question": "Which is better English?", "model": "gpt2-mini", "voter": voter}
        assignment = wait_until(lambda: self.ask("next_pair", self.ballot, **asked)["assignment"])
        return {"voter": voter, "assignment": assignment["id"], "choice": "left"}

    def _honest(self, password: str | None) -> dict[str, Any]:
        """Open a class, join it, vote and start a run: the values that honest requests hold."""
        instructor = {"password": password, "secret": "a visitor"}
        if password is not None:
            instructor |= self.ask("check_password", **instructor)
        question = {"question": "Which is better English?", "overlap": 3, "clean_words": True}
        made = self.ask("open_class", each=20, **question, **instructor)
        student = self.ask("join", code=made["code"], nickname="Ann")
        return (
            instructor | question | made | self._ballot_paper()
            | {
                "secret": student["secret"], "nickname": "Ben", "run": "ppo-quick",
                "runs": ["ppo-quick", "ppo-fast"], "without": [], "model": "gpt2-mini",
                "kind": "ppo", "format": "jsonl", "since": -1, "step": 1,
                "text": "The film was good.",
                "scorer": "reward-mini", "address": f"{self.page.url}/?class=1", "taste": "longer",
                "noise": 0.1, "careless": 0.0, "steps": 2, "left": "gpt2-mini",
                "right": "gpt2-mini-ppo", "prompt": "", "policy": "gpt2-mini",
                "reward": "reward-mini", "preset": "quick", "data": "shipped", "options": {},
                "lesson": "attention", "answer": 0,
                "with_values": True,
            }
            | SMALL
        )  # fmt: skip

    def open_page(self, session: str) -> None:
        """Do what a browser does first in its session: fill the lists to choose from."""
        for one in self.config["dependencies"]:
            if [0, "load"] in one["targets"]:
                data = [self._field(number) for number in one["inputs"]]
                body = {"data": data, "fn_index": one["id"], "session_hash": session}
                told = self.client.post("/gradio_api/run/predict", json=body).json()
                for number, update in zip(one["outputs"], told["data"]):
                    if isinstance(update, dict) and "value" in update:
                        self.parts[number]["props"]["value"] = update["value"]

    def _uploaded(self) -> dict[str, Any]:
        row = {"prompt": "The film", "chosen": " was good.", "rejected": " was bad."}
        files = {"files": ("pairs.jsonl", json.dumps(row).encode() + b"\n")}
        paths = self.client.post("/gradio_api/upload", files=files).raise_for_status().json()
        return {"path": paths[0], "orig_name": "pairs.jsonl", "meta": {"_type": "gradio.FileData"}}

    # -- hostile requests --------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        """Return all of them; what deletes comes last, so that the others find something."""
        read = keys_read()
        every = [one for number, name in self.functions for one in self._of(number, name, read)]
        seen = set()
        for one in self.config["dependencies"]:
            # Several buttons may lead to one handler: Gradio numbers its name then.
            same = re.sub(r"_\d+$", "", one["api_name"]), *one["inputs"]
            if same not in seen:
                every += self._of_handler(one)
            seen.add(same)
        return sorted(every, key=lambda one: "delete" in one.target) + list(envelopes())

    def _of(self, number: int, name: str, read: dict[str, set[str]]) -> Iterator[Request]:
        keys = sorted(read.get(name, ()))
        honest = {key: self.valid.get(key, 1) for key in keys}
        if "token" in keys and "voter" in keys:
            honest["voter"] = 1  # the instructor calls a student by number
        for data in itertools.chain([honest], WHOLE, hostile(honest, keys)):
            body = {"component_id": number, "fn_name": name, "data": data}
            target = f"server function {name}"
            yield Request(target, SERVER_FUNCTIONS, body, honest=data is honest)

    def _of_handler(self, found: dict[str, Any]) -> Iterator[Request]:
        inputs = [self._field(number) for number in found["inputs"]]
        honest = {"event_data": {"run": "ppo-quick"}, **dict(enumerate(inputs))}
        for data in itertools.chain([honest], WHOLE, hostile(honest, list(honest))):
            body = {"fn_index": found["id"], "data": data}
            if isinstance(data, dict) and "event_data" in data:
                body["data"] = [data[place] for place in range(len(inputs))]
                body["event_data"] = data["event_data"]
            path = "/gradio_api/queue/join" if found["queue"] else "/gradio_api/run/predict"
            target = f"handler {found['api_name']}"
            yield Request(target, path, body, bool(found["queue"]), honest=data is honest)

    def _field(self, number: int) -> Any:
        part = self.parts.get(number, {"type": "", "props": {}})
        if part["type"] == "uploadbutton":
            return self.upload
        label = str(part["props"].get("label"))
        return SMALL.get(label.lower(), part["props"].get("value", ""))


def hostile(honest: dict[Any, Any], places: list[Any]) -> Iterator[dict[Any, Any]]:
    """Return honest requests with a hostile value in one place.

    Every place meets at least four of the values, and every value some place.
    """
    if not places:
        return
    rounds = max(1, -(-4 * len(places) // len(VALUES)))
    for turn, value in enumerate(VALUES * rounds):
        # The second round begins one place later, or the places would meet the same values.
        yield honest | {places[(turn + turn // len(VALUES)) % len(places)]: value}


def envelopes() -> Iterator[Request]:
    """Return requests that name no function, or are no JSON."""
    calls = {"component_id": 1, "fn_name": "strip_state", "data": 0, "session_hash": "x"}
    for key, value in itertools.product(calls, VALUES):
        yield Request("server functions", SERVER_FUNCTIONS, calls | {key: value})
    for name in ("__init__", "get_config", "__class__"):
        yield Request("server functions", SERVER_FUNCTIONS, calls | {"fn_name": name})
    for path in ("/gradio_api/run/predict", "/gradio_api/queue/join"):
        for key, value in itertools.product(("fn_index", "trigger_id", "session_hash"), VALUES):
            yield Request(path, path, {"data": [], "fn_index": 0, key: value})
    for path in (SERVER_FUNCTIONS, "/gradio_api/run/predict", "/gradio_api/queue/join"):
        for raw in (b"", b"{", b"\xff\xfe", b"[" * 50_000, b"null"):
            yield Request(path, path, raw)


# -- asking ----------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What came back; for a queued handler its whole stream."""

    status: int
    text: str
    type: str


@dataclass
class Attack:
    """Sends requests from a few threads and keeps what was wrong with the answers.

    Attributes:
        forbidden: folders that no answer may name.
        wrong: target -> what was wrong, with the request.
    """

    target: Target
    forbidden: tuple[str, ...]
    wrong: dict[str, list[str]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def send(self, requests: list[Request], threads: int = 6) -> None:
        """Send them all."""
        waiting = iter(list(enumerate(requests)))

        def work(session: str) -> None:
            self.target.open_page(session)
            with httpx.Client(
                base_url=self.target.page.url, timeout=MOST_SECONDS, **NO_TLS
            ) as client:
                while True:
                    with self._turn:
                        number, request = next(waiting, (0, None))
                    if request is None:
                        return
                    self._judge(request, _ask(client, request, number, session))

        sessions = [f"fuzz{number}" for number in range(threads)]
        working = [threading.Thread(target=work, args=(one,)) for one in sessions]
        for one in working:
            one.start()
        for one in working:
            one.join()

    def _judge(self, request: Request, answer: Answer) -> None:
        found = []
        if answer.status >= 500:
            found.append(f"status {answer.status}")
        if "Traceback" in answer.text:
            found.append("a traceback")
        found += [f"the folder {one}" for one in self.forbidden if one in answer.text]
        if not _is_json(answer):
            found.append(f"an answer of the type {answer.type}")
        if request.honest and WRONG_SHAPE in answer.text:
            found.append("an honest request refused")
        with self._turn:
            for one in found:
                line = f"{one}: {request.text} -> {answer.text[:300]}"
                self.wrong.setdefault(request.target, []).append(line)

    def report(self) -> str:
        """Return the first two failures of each target, for a test that fails."""
        lines = []
        for target, found in sorted(self.wrong.items()):
            lines += [f"{target}: {len(found)} times", *(f"    {one}" for one in found[:2])]
        return "\n".join(lines)


def _ask(client: httpx.Client, request: Request, number: int, session: str) -> Answer:
    body = request.body
    if isinstance(body, dict):
        body = json.dumps({"session_hash": session} | body)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    try:
        answer = client.post(request.path, content=body, headers=headers)
        if request.queued and answer.status_code == 200:
            return _listen(client, answer.json()["event_id"], session)
    except httpx.TransportError as error:
        return Answer(599, f"no answer: {error!r}", "")
    return Answer(answer.status_code, answer.text, answer.headers.get("content-type", ""))


def _listen(client: httpx.Client, event: str, session: str) -> Answer:
    """Read a session's stream until an event has its answer."""
    begin, lines = time.perf_counter(), []
    query = {"session_hash": session}
    with client.stream("GET", "/gradio_api/queue/data", params=query) as stream:
        for line in stream.iter_lines():
            lines.append(line)
            told = json.loads(line.removeprefix("data: ") or "{}")
            if told.get("msg") == "process_completed" and told["event_id"] == event:
                break
            if time.perf_counter() - begin > MOST_SECONDS:
                lines.append(f"no answer in {MOST_SECONDS} s")
                break
        return Answer(stream.status_code, "\n".join(lines), stream.headers["content-type"])


def _is_json(answer: Answer) -> bool:
    lines = answer.text.splitlines() if "event-stream" in answer.type else [answer.text]
    try:
        for line in lines:
            if line := line.removeprefix("data: "):
                json.loads(line, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def forbidden(page: PageProcess) -> tuple[str, ...]:
    """Return the folders that no answer may name."""
    libraries = str(Path(httpx.__file__).parents[1])
    return tuple({str(REPOSITORY), str(page.runs), str(Path.home()), libraries})
