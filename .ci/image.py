"""Build the Dockerfile's image, start it locked down, and check it; exit code 1 if a check fails.

    python3 .ci/image.py

It needs a Debian machine, root, and the packages buildah, runc and debootstrap, but no Docker.
buildah builds with chroot isolation, and runc, the runtime of Docker, starts the image as
user 1000, on a read-only root file system, without capabilities and without network. Image and
base stay in FOLDER, about 7 GB; the base is made once.
"""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("RLHF_IMAGE_FOLDER", "/var/tmp/rlhf-demo-image"))
BASE, IMAGE = "docker.io/library/python:3.12-slim", "rlhf-demo"
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
TOOLS = ("buildah", "runc", "debootstrap")
PACKAGES = "ca-certificates,python3,python3-pip"
STOP_SECONDS = 10.0
"""Docker kills a container so long after it asked it to stop."""
TMP = ["nosuid", "nodev", "noexec", "mode=1777"]
"""How Docker mounts a tmpfs."""
STEPS = 40
"""Steps of the run that is interrupted twice."""
PATIENCE = 600.0
"""Seconds for a few steps and the start of a training, on a machine with other work."""
THREADS = "OMP_NUM_THREADS"
"""Passed on to the container if it is set here, because trainings slow down on a busy machine."""
UNTRIED = (
    "a Docker daemon, Compose, Docker Hub's own base image (Python 3.12), PostgreSQL in a "
    "container, a GPU, and a published port"
)
SECRET = re.compile("TOKEN|SECRET|PASSW|_KEY|DATABASE_URL")
START = (
    "import sys; from gradio_client import Client; "
    "page = Client('http://127.0.0.1:7860', verbose=False); "
    "options = {'total_steps': int(sys.argv[1]), 'batch_size': 16, 'minibatch_size': 16}; "
    "print(page.predict(options=options, api_name='/start_ppo')['run'])"
)
"""Starts a PPO run as a visitor's program does; prints its id."""
WRITE = (
    "import errno, sys\n"
    "for folder in ('/home/user/.cache', '/home/user', '/var/tmp', '/home/user/app'):\n"
    "    try:\n"
    "        open(folder + '/new', 'w')\n"
    "    except OSError:\n"
    "        continue\n"
    "    sys.exit(f'{folder} can be written')\n"
)


class Failed(Exception):
    """A check failed; the text says how."""


# -- building --------------------------------------------------------------------------------------


def buildah(*arguments: str, log: Path | None = None) -> str:
    """Run buildah on storage of our own; return what it prints, or write it to a log."""
    storage = ["--root", f"{FOLDER}/storage", "--runroot", f"{FOLDER}/run"]
    return command(["buildah", *storage, *arguments], log=log)


def command(arguments: list[str], *, log: Path | None = None) -> str:
    """Run a command in the repository; its output goes to a log if one is named.

    Raises:
        Failed: its exit code is not 0.
    """
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if log is not None:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise Failed(f"{arguments[0]} ended with code {done.returncode}: " + " / ".join(lines))
    return done.stdout.strip()


def make_base() -> str:
    """Make a Debian base with Debian's Python under the name of the Dockerfile's base."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return f"base kept from an earlier run, with Debian {SUITE}'s Python, not 3.12"
    root = FOLDER / "base"
    shutil.rmtree(root, ignore_errors=True)
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    command(["debootstrap", *options, SUITE, str(root), MIRROR], log=FOLDER / "base.log")
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):  # pip may install, as in python:*
        mark.unlink()
    (root / "usr/bin/python").symlink_to("python3")
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(root), "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
    buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)
    return f"base made by debootstrap, with Debian {SUITE}'s Python, not 3.12"


class Index(http.server.SimpleHTTPRequestHandler):
    """A package index that has torch's wheel from this machine and passes the rest on to PyPI."""

    def do_GET(self) -> None:
        """Answer pip."""
        if not self.path.startswith("/simple/"):
            super().do_GET()
        elif self.path == "/simple/torch/":
            names = [path.name for path in Path(self.directory).glob("*.whl")]
            links = "".join(f'<a href="/{name.replace("+", "%2B")}">{name}</a>' for name in names)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(links.encode())
        else:
            self.send_response(302)
            self.send_header("Location", "https://pypi.org" + self.path)
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def torch_index() -> Generator[str]:
    """Yield the address of an index with the torch wheel that pip finds for this machine."""
    text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    torch = re.search(r"^torch==[^ #]+", text, re.MULTILINE)
    assert torch
    wheels = FOLDER / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
    command([*pip, torch[0]])
    handler = partial(Index, directory=str(wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def build() -> str:
    """Build the image; FOLDER/build.log has every step."""
    with torch_index() as index:
        buildah(
            "bud", "--isolation", "chroot", "--network", "host", "--layers=false",
            "--format", "docker",  # the other format has no health check
            "--pull-never", "--build-arg", f"TORCH_INDEX={index}",
            "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--tag", IMAGE, ".",
            log=FOLDER / "build.log",
        )  # fmt: skip
    size = json.loads(buildah("images", "--json", IMAGE))[0]["size"]
    return f"built from the Dockerfile, {size}, torch from this machine's own index"


# -- running ---------------------------------------------------------------------------------------


class Container:
    """The image as a container that can be started again on the same volume."""

    def __init__(self, root: str, config: dict[str, Any]) -> None:
        self.config, self.name = config, f"rlhf-demo-check-{os.getpid()}"
        (runs,) = config["Volumes"]
        self.runs, self.bundle, self.log = FOLDER / "runs", FOLDER / "bundle", FOLDER / "run.log"
        for folder in (self.runs, self.bundle):
            shutil.rmtree(folder, ignore_errors=True)
        self.bundle.mkdir()
        self.log.write_text("", encoding="utf-8")
        # A new volume has what the image has there, and the same owner.
        command(["cp", "-a", root + runs, str(self.runs)])
        command(["runc", "spec", "--bundle", str(self.bundle)])
        path = self.bundle / "config.json"
        spec = json.loads(path.read_text(encoding="utf-8"))
        spec["root"] = {"path": root, "readonly": True}
        user = {"uid": int(config["User"]), "gid": int(config["User"])}
        threads = [f"{name}={value}" for name, value in os.environ.items() if name == THREADS]
        spec["process"] |= {
            "args": config["Cmd"], "env": config["Env"] + threads, "cwd": config["WorkingDir"],
            "user": user, "terminal": False, "capabilities": {}, "noNewPrivileges": True,
        }  # fmt: skip
        hosts = self.bundle / "hosts"  # Docker gives every container one
        hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")
        spec["mounts"] = [mount for mount in spec["mounts"] if "cgroup" not in mount["type"]] + [
            {
                "destination": "/etc/hosts",
                "type": "bind",
                "source": str(hosts),
                "options": ["bind", "ro"],
            },
            {"destination": runs, "type": "bind", "source": str(self.runs), "options": ["bind"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": TMP},
        ]
        path.write_text(json.dumps(spec), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its health check says yes, as long as the image gives it."""
        runc = ["runc", "run", "--bundle", str(self.bundle), self.name]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(runc, stdout=log, stderr=subprocess.STDOUT)
        health = self.config["Healthcheck"]
        assert health["Test"][0] == "CMD"
        wait(lambda: self.execute(*health["Test"][1:]).returncode == 0, 120, "healthy", self)

    def execute(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in it."""
        runc = ["runc", "exec", self.name, *arguments]
        return subprocess.run(runc, capture_output=True, text=True, check=False)

    def stop(self, name: str) -> float:
        """Send a signal to its first process; return the seconds until it has ended.

        Raises:
            Failed: it takes longer than Docker waits.
        """
        assert self.process
        since = time.monotonic()
        command(["runc", "kill", self.name, name])
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"still runs {STOP_SECONDS:.0f} s after SIG{name}") from None
        return time.monotonic() - since

    def remove(self) -> None:
        """End it."""
        if self.process and self.process.poll() is None:
            command(["runc", "delete", "--force", self.name])
            self.process.wait()

    def start_run(self, steps: int) -> Path:
        """Start a PPO run; return its folder on the volume."""
        done = self.execute("python", "-c", START, str(steps))
        if done.returncode:
            raise Failed("no run could be started: " + done.stderr.strip()[-300:])
        return self.runs / done.stdout.split()[-1]


def wait(ready: Callable[[], bool], seconds: float, what: str, container: Container) -> None:
    """Wait until something is so.

    Raises:
        Failed: it does not become so, or the container ends.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        assert container.process
        if container.process.poll() is not None or time.monotonic() > deadline:
            log = container.log.read_text(encoding="utf-8", errors="replace")
            raise Failed(f"not {what} after {seconds:.0f} s; its log ends: {log[-500:]}")
        time.sleep(0.2)


def status(run: Path) -> dict[str, Any]:
    """Return what the run's folder says of its state."""
    return json.loads((run / "status.json").read_text(encoding="utf-8"))


def rows(run: Path) -> list[str]:
    """Return the lines of metrics that the run has written."""
    path = run / "metrics.jsonl"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


# -- checks ----------------------------------------------------------------------------------------


def no_secret(container: Container) -> str:
    """Look at the names in the image's environment."""
    names = [pair.split("=")[0] for pair in container.config["Env"]]
    if found := [name for name in names if SECRET.search(name)]:
        raise Failed(f"the image's environment has {', '.join(found)}")
    return f"no secret among the {len(names)} variables of the image"


def healthy(container: Container) -> str:
    """Start it for the first time."""
    container.start()
    return "the health check's own command answers"


def locked_down(container: Container) -> str:
    """Try to write outside of the volume and /tmp, and look at the process's rights."""
    done = container.execute("python", "-c", WRITE)
    if done.returncode:
        raise Failed(done.stderr.strip()[-300:])
    facts = container.execute("cat", "/proc/1/status").stdout
    for line in (r"Uid:\t1000\t1000\t1000\t1000", r"CapBnd:\t0+", r"CapEff:\t0+", "NoNewPrivs:\t1"):
        if not re.search(f"^{line}$", facts, re.MULTILINE):
            raise Failed(f"/proc/1/status has no line {line}")
    return "user 1000, no capability, and nothing but the volume and /tmp can be written"


def finishes(container: Container) -> str:
    """Train to the end."""
    run = container.start_run(3)
    wait(lambda: status(run)["status"] in ("finished", "failed"), PATIENCE, "finished", container)
    if status(run)["status"] != "finished" or len(rows(run)) < 3:
        raise Failed(f"the run says {status(run)}")
    return "a PPO run of 3 steps finishes"


def survives_stops(container: Container) -> str:
    """Stop the container twice within a run, once by each signal, and let the run end."""
    run, taken = container.start_run(STEPS), []
    for name in (container.config["StopSignal"].removeprefix("SIG"), "TERM"):
        begun = len(rows(run))
        wait(
            lambda begun=begun: len(rows(run)) >= begun + 3, PATIENCE, "3 steps further", container
        )
        seconds = container.stop(name)
        kept, state = rows(run), status(run)
        # The page's next start queues it; this one may have done so already.
        if state["status"] not in ("queued", "stopped") or not (run / "checkpoint.pt").exists():
            raise Failed(f"after SIG{name} the run is not saved: {state}")
        taken.append(f"SIG{name} {seconds:.1f} s")
        container.start()
        wait(lambda kept=kept: len(rows(run)) > len(kept), PATIENCE, "going on", container)
        if rows(run)[: len(kept)] != kept:
            raise Failed(f"after SIG{name} the run repeats steps")
    wait(lambda: status(run)["status"] in ("finished", "failed"), PATIENCE, "finished", container)
    steps = [json.loads(row)["step"] for row in rows(run)]
    if status(run)["status"] != "finished" or steps != list(range(steps[0], steps[0] + len(steps))):
        raise Failed(f"the run says {status(run)}, with the steps {steps}")
    return f"stopped in a training ({', '.join(taken)}), which is saved and ends without a gap"


CHECKS = (no_secret, healthy, locked_down, finishes, survives_stops)


def timed(step: Callable[[], str]) -> bool:
    """Do a step and print one line about it; say whether it succeeded."""
    since = time.monotonic()
    try:
        good, text = True, step()
    except Failed as error:
        good, text = False, str(error)
    print(f"{'ok  ' if good else 'FAIL'} {time.monotonic() - since:6.1f} s  {text}", flush=True)
    return good


def main() -> int:
    """Build, start and check."""
    if os.geteuid() != 0 or (missing := [tool for tool in TOOLS if not shutil.which(tool)]):
        why = "run this as root" if os.geteuid() else f"apt install {' '.join(missing)}"
        print(f"error: the image cannot be built here: {why}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (timed(make_base) and timed(build)):
        return 1
    config = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    working = buildah("from", "--pull-never", IMAGE)
    container = Container(buildah("mount", working), config)
    try:
        results = [timed(partial(check, container)) for check in CHECKS]
    finally:
        container.remove()
        buildah("rm", working)
    print(f"Not tried: {UNTRIED}.")
    return 0 if all(results) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the container is removed
    sys.exit(main())
