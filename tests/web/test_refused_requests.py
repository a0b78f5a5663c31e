"""The real page, asked by other websites, by programs that guess, and by one that asks too much."""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from bench.serving import NO_TLS, REPOSITORY, SERVER_FUNCTIONS, PageProcess, message
from rlhf_demo.runs.run import Run, Status

PASSWORD, GUESS = "chalk and slate", "slate and chalk"
EVIL = {"Origin": "https://evil.example"}


class Asking:
    """A page, and what programs and browsers send to it."""

    def __init__(self, page: PageProcess) -> None:
        self.page, self.http = (
            page,
            httpx.Client(base_url=page.url, timeout=60, trust_env=False, **NO_TLS),
        )
        self.parts = {name: ids[0] for name, ids in page.components().items()}

    def post(self, function, request, headers=None, **how):
        """Call a server function; `how` may hold another form of its words."""
        words = message(self.parts[function], function, request)
        how = how or {"json": words}
        return self.http.post(SERVER_FUNCTIONS, headers=headers or {}, **how)

    def call(self, function, address="198.51.100.1", **request):
        return self.post(function, request, {"X-Forwarded-For": address}).json()

    def command_line_run(self, name):
        """Make a run that nobody gave a secret for."""
        run = Run.create(self.page.runs / name, "ppo", {"total_steps": 4})
        run.set_status(Status.STOPPED)
        return run.folder


def serve(tmp_path_factory, **environment):
    with PageProcess(tmp_path_factory.mktemp("page") / "runs", **environment) as page:
        asking = Asking(page)
        yield asking
        asking.http.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The page on one's own machine."""
    yield from serve(tmp_path_factory)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The page with an instructor's password, behind one proxy."""
    yield from serve(tmp_path_factory, RLHF_DEMO_PASSWORD=PASSWORD, RLHF_DEMO_PROXIES="1")


# -- other websites --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        EVIL | {"Content-Type": "text/plain"},
        EVIL | {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Origin": "null"},
        {"Content-Type": "application/json", "Host": "rebound.example:7860"},
    ],
)
def test_another_website_neither_deletes_nor_starts_anything(home, headers):
    folder, token = home.command_line_run("my-ppo"), home.call("strip_state")["start"]
    before = len(home.call("runs_state")["runs"])
    for function in ("delete_run", "start_loop"):
        words = message(home.parts[function], function, {"run": "my-ppo", "start": token})
        answer = home.http.post(SERVER_FUNCTIONS, headers=headers, content=httpx.Request(
            "POST", home.page.url, json=words).read())  # fmt: skip
        assert answer.status_code in (403, 415)
    assert folder.exists() and len(home.call("runs_state")["runs"]) == before
    home.call("delete_run", run="my-ppo", start=token)


def test_another_website_reads_nothing(home):
    for path in ("/", "/config", "/gradio_api/info"):
        rebound = home.http.get(path, headers={"Host": "rebound.example:7860"})
        assert rebound.status_code == 403 and "gpt2-mini" not in rebound.text
        seen = home.http.get(path, headers=EVIL)  # a browser shows it to no script of evil.example
        assert not [name for name in seen.headers if name.startswith("access-control-")]
    asked = EVIL | {"Access-Control-Request-Method": "POST"}
    assert home.http.options("/gradio_api/queue/join", headers=asked).status_code == 405


def test_run_of_the_command_line_is_deleted_with_this_starts_token_only(home):
    folder = home.command_line_run("my-ppo")
    for proof in ({}, {"secret": "x"}, {"secret": "", "start": ""}, {"start": "None"}):
        assert "belongs to someone else" in home.call("delete_run", run="my-ppo", **proof)["error"]
    seen = home.call("runs_state", run="my-ppo", secret="x")["picked"]
    assert not seen["mine"] and folder.exists()
    token = home.call("strip_state")["start"]
    assert home.call("runs_state", run="my-ppo", secret="x", start=token)["picked"]["mine"]
    assert home.call("delete_run", run="my-ppo", secret="x", start=token)["deleted"]
    assert not folder.exists()


@pytest.mark.parametrize("query", ["", "?page=x", "?all_endpoints=1", "?serialize=False"])
def test_first_visitor_does_not_name_the_server_for_all_others(taught, query):
    """The page's panel "Use via API" shows this answer: programs would send secrets there."""
    path = f"/gradio_api/info{query}"
    lie = {"X-Forwarded-Host": "evil.example", "X-Gradio-Server": "https://evil.example"}
    taught.http.get(path, headers=lie)
    seen = taught.http.get(path)
    assert len(seen.json()["named_endpoints"]) >= 10
    assert "evil.example" not in seen.text and f'"{taught.page.url}' in seen.text.replace("\\", "")


def test_what_gradio_offers_and_the_page_does_not_need_is_closed(home):
    for path in ("/monitoring", "/monitoring/summary", "/gradio_api/openapi.json",
                 "/gradio_api/dev/reload", "/gradio_api/deep_link"):  # fmt: skip
        assert home.http.get(path).status_code == 404, path


def test_queued_function_is_run_by_the_queue_only(home):
    direct = home.http.post("/gradio_api/run/models", json={"data": []})
    assert direct.status_code == 404
    assert "gpt2-mini" in home.page.call("models")["policies"]


def test_every_list_that_the_server_fills_takes_its_ids_in_a_session_that_it_does_not_know(taught):
    """A page that is not looked at for long loses its session to others."""
    config = taught.http.get("/config").json()
    lists = {one["id"]: one["props"] for one in config["components"] if one["type"] == "dropdown"}
    free = {each["label"] for each in lists.values() if each["allow_custom_value"]}
    assert {each["label"] for each in lists.values() if not each["choices"]} <= free
    assert {"Policy", "Pairs", "Reward", "judge", "Base", "Model", "Left", "Score with"} <= free
    pairs = [number for number, each in lists.items() if each["label"] == "Pairs"]
    [preview] = [
        event["id"]
        for event in config["dependencies"]
        if any(part in pairs and on == "change" for part, on in event["targets"])
    ]
    for data, told in (("shipped", '"count":2497'), ("upload-0123456789ab", "not in the list")):
        body = {"fn_index": preview, "data": [data, ""], "session_hash": "unknown"}
        answer = taught.http.post("/gradio_api/run/predict", json=body)
        assert answer.status_code == 200 and told in answer.text


# -- what others on the machine and on the page may know -------------------------------------------


def test_page_tells_no_folder_of_the_server(home):
    folders = (str(REPOSITORY), str(home.page.runs), sys.prefix, str(Path.home()))
    for path in ("/", "/config", "/gradio_api/info"):
        text = home.http.get(path).text
        assert not [folder for folder in folders if f"{folder}/" in text], path
    assert "plotly.js v" in home.http.get("/plotly.min.js").text[:200]


def test_only_the_owner_reads_what_the_page_keeps(taught):
    taught.call("open_class", password=PASSWORD, question="Which?", each=4, overlap=1,
                clean_words=True, address="192.0.2.1")  # fmt: skip
    uploaded = taught.http.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")})
    assert uploaded.status_code == 200
    kept = [path for path in taught.page.runs.rglob("*") if path.is_file()]
    assert {"votes.db", "class.json", "instructor.key", "a.jsonl"} <= {path.name for path in kept}
    assert [path for path in [taught.page.runs, *kept] if path.stat().st_mode & 0o077] == []


# -- the password ----------------------------------------------------------------------------------


def test_thousand_guesses_from_fifty_addresses_get_at_most_thirty_answers(taught):
    tried = ("check_password", "open_class", "take_over")
    wanted = {"question": "Which?", "each": 4, "overlap": 1, "clean_words": True, "code": "ABCDEF"}

    def guess(number):
        address = f"203.0.113.{number % 50}"
        request = wanted | {"password": f"{GUESS} {number}"}
        return taught.call(tried[number % 3], address, **request)["error"]

    begin = time.monotonic()
    with ThreadPoolExecutor(8) as guessers:
        answers = list(guessers.map(guess, range(1000)))
    right_or_wrong = [one for one in answers if "not the instructor's password" in one]
    refused = [one for one in answers if re.match("too many (wrong )?passwords come", one)]
    assert len(right_or_wrong) + len(refused) == 1000
    # Twenty at once, then one in five seconds: 30 in the first fifty seconds.
    assert len(right_or_wrong) <= 21 + (time.monotonic() - begin) / 5


def test_address_that_the_client_invents_does_not_count(taught):
    def guess(invented):
        return taught.call("check_password", f"{invented}, 192.0.2.9", password=GUESS)["error"]

    answers = [guess(f"10.0.0.{number}") for number in range(30)]
    assert sum("not the instructor's password" in one for one in answers) <= 11


def test_nothing_else_tells_the_password_from_a_guess(taught):
    started = taught.call("start_loop", secret="ann")
    run = started["reward"]
    answers = []
    for words in (PASSWORD, GUESS):
        proof = {"run": run, "secret": words, "start": words, "token": words}
        answers.append([
            taught.call("runs_state", **proof)["picked"]["mine"],
            taught.call("board_rows", kind="reward", **proof)["run"]["mine"],
            *(taught.call(name, **proof) for name in (
                "stop_job", "resume_job", "delete_run", "class_state", "pause", "delete_class",
                "export_class", "stop_others")),
        ])  # fmt: skip
    assert answers[0] == answers[1]
    assert answers[0][:2] == [False, False] and all("error" in one for one in answers[0][2:])
    for one in started.values():
        taught.call("stop_job", run=one, secret="ann")


def test_token_changes_every_run_and_a_restart_keeps_it(taught):
    token = taught.call("check_password", "192.0.2.1", password=PASSWORD)["token"]
    folder = taught.command_line_run("my-ppo")
    assert "start" not in taught.call("strip_state") or taught.call("strip_state")["start"] is None
    taught.page.stop()
    taught.page.start()
    assert taught.call("delete_run", run="my-ppo", secret=token)["deleted"]
    assert not folder.exists()


# -- the queue -------------------------------------------------------------------------------------


def test_one_client_does_not_fill_the_queue(taught):
    slow = {"data": ["gpt2-mini", "gpt2-mini", "This film is", "reward-mini", 64]}

    def ask(address):
        headers = {"X-Forwarded-For": address}
        return taught.http.post("/gradio_api/call/side_by_side", json=slow, headers=headers)

    with ThreadPoolExecutor(8) as attackers:
        codes = [one.status_code for one in attackers.map(ask, ["203.0.113.7"] * 230)]
    assert set(codes) == {200, 429} and codes.count(200) < 150
    assert ask("198.51.100.2").status_code == 200
    assert "stages" in taught.call("strip_state", "203.0.113.7")
