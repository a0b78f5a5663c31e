"""What can be told of the image without building it: its text, and the commands in it."""

import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PORT = "7860"


@pytest.fixture(scope="module")
def instructions():
    """The Dockerfile as pairs (INSTRUCTION, rest), continued lines joined, comments left out."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    joined = lines.replace("\\\n", " ").split("\n")
    return [tuple(line.split(maxsplit=1)) for line in joined if line.strip()]


def rest_of(instructions, name):
    return [rest for instruction, rest in instructions if instruction == name]


def environment(instructions):
    return dict(
        pair.split("=", 1) for line in rest_of(instructions, "ENV") for pair in shlex.split(line)
    )


def taken_along():
    """What .dockerignore lets into the image."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "everything has to be left out first"
    return {pattern[1:] for pattern in patterns if pattern.startswith("!")}


def test_container_runs_as_user_1000_from_before_its_command_on(instructions):
    names = [name for name, _ in instructions]
    assert rest_of(instructions, "USER") == ["1000"]
    assert names.index("USER") < names.index("CMD")
    assert any("useradd" in run and "--uid 1000" in run for run in rest_of(instructions, "RUN"))


def test_torch_is_installed_first_from_its_own_index_in_the_version_of_requirements(instructions):
    installs = [run for run in rest_of(instructions, "RUN") if run.startswith("pip install")]
    first, second = installs
    assert '--index-url "$TORCH_INDEX"' in first
    assert second == "pip install -r requirements.txt"
    assert rest_of(instructions, "ARG") == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]

    command = re.search(r"\$\((.+)\)", first)[1]
    printed = subprocess.run(
        ["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(r"torch==[\d.]+\n", printed)
    assert printed.strip() in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"torch==\d", str(instructions)), "the version is named once"


def test_requirements_name_no_index_that_would_override_the_chosen_one():
    text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(-i|--(extra-)?index-url|--find-links)", text, re.MULTILINE)


def test_page_listens_where_the_port_is_exposed(instructions):
    given = environment(instructions)
    assert rest_of(instructions, "EXPOSE") == [PORT]
    assert (given["GRADIO_SERVER_NAME"], given["GRADIO_SERVER_PORT"]) == ("0.0.0.0", PORT)
    assert given["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_runs_lie_on_a_volume_made_before_it_is_declared(instructions):
    volumes = rest_of(instructions, "VOLUME")
    assert volumes == [environment(instructions)["RLHF_DEMO_RUNS"]]
    made = next(i for i, (_, rest) in enumerate(instructions) if "mkdir" in rest)
    assert 'chown -R user "$RLHF_DEMO_RUNS"' in instructions[made][1]
    assert made < [name for name, _ in instructions].index("VOLUME")


def test_code_belongs_to_root_and_nothing_but_runs_and_cache_to_the_user(instructions):
    assert not any("--chown" in rest for rest in rest_of(instructions, "COPY"))
    given = [
        rest.partition("chown ")[2] for rest in rest_of(instructions, "RUN") if "chown" in rest
    ]
    assert given == ['-R user "$RLHF_DEMO_RUNS" /home/user/.cache']


def test_whole_project_taken_along_exists_and_holds_what_the_command_starts(instructions):
    kept = taken_along()
    assert [name for name in kept if not (REPOSITORY / name).exists()] == []
    assert {"app.py", "rlhf_demo", "checkpoints", "requirements.txt"} <= kept
    assert json.loads(rest_of(instructions, "CMD")[0]) == ["python", "app.py"]
    for copied in rest_of(instructions, "COPY"):
        source = next(word for word in copied.split() if not word.startswith("--"))
        assert (REPOSITORY / source).exists()


def test_no_secret_and_no_history_goes_into_the_image(instructions):
    assert not taken_along() & {".git", ".env", "runs", "tests", "."}
    named = [*environment(instructions), *rest_of(instructions, "ARG")]
    assert not [name for name in named if re.search("TOKEN|SECRET|PASSWORD|_KEY", name)]


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("code", "healthy"), [(200, True), (500, False), (None, False)])
def test_health_check_says_whether_the_page_answers(instructions, code, healthy):
    """The very command of the image, at another port; None is a port where nobody listens."""
    check = rest_of(instructions, "HEALTHCHECK")[0]
    _, flag, program = json.loads(check[check.index("[") :])
    assert f"http://127.0.0.1:{PORT}/" in program

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.code = code
        if code is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        elsewhere = program.replace(PORT, str(server.server_port))
        result = subprocess.run([sys.executable, flag, elsewhere], capture_output=True, check=False)
        if code is not None:
            server.shutdown()
    assert (result.returncode == 0) == healthy
