"""Jobs whose commands are small scripts, and how tests wait for them."""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from rlhf_demo.config.stages import STAGES
from rlhf_demo.files import read_json
from rlhf_demo.jobs import processes, scheduler
from rlhf_demo.jobs.job import JobFolders
from rlhf_demo.jobs.processes import PROC
from rlhf_demo.jobs.queue import Jobs, Order

HERE = SimpleNamespace(client=SimpleNamespace(host="here"))
"""A web request, as far as handlers look at it."""

BEGIN = """
import os, signal, subprocess, sys, time
from rlhf_demo.runs.run import Run
run = Run(sys.argv[1])
"""
QUICK = (
    BEGIN
    + """
with run.recording():
    run.append("metrics", [{"step": 1, "time/step_seconds": 0.5}])
"""
)
PATIENT = (
    BEGIN
    + """
with run.recording():
    while True:
        run.check_stop()
        time.sleep(0.05)
"""
)
# It and what it started ignore SIGTERM, and it never looks at the stop file.
STUBBORN = (
    BEGIN
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen(["sleep", "60"])
with run.recording():
    (run.folder / "grandchild").write_text(str(other.pid))
    time.sleep(60)
"""
)
SLOW_TO_BEGIN = (
    BEGIN
    + """
while not (run.folder / "go").exists():
    time.sleep(0.01)
"""
    + PATIENT
)
REFUSING = """
import sys
print("error: there is no model gpt3: choose another", file=sys.stderr)
sys.exit(2)
"""
FAILING = (
    BEGIN
    + """
with run.recording():
    raise ERROR
"""
)


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Fake:
    """Stands in for the training commands: a small script for each kind."""

    def __init__(self):
        self.scripts = {"pairs": QUICK, "reward": QUICK, "ppo": PATIENT}
        self.started = []

    def __call__(self, kind, folder):
        self.started.append(folder.name)
        return [sys.executable, "-c", self.scripts[kind], str(folder)]


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def new_jobs(tmp_path, fake, monkeypatch):
    """Make apps on one folder; at the end none of them, and no process, is left."""
    monkeypatch.setattr(scheduler, "TICK_SECONDS", 0.02)
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_children", {})
    made = []

    def make(*, scheduling=True, **settings):
        settings = {"command": fake, "ask_seconds": 10, "term_seconds": 10} | settings
        jobs = Jobs(tmp_path / "runs", **settings)
        if scheduling:
            jobs.open()
            made.append(jobs)
        return jobs

    yield make
    for jobs in made:
        jobs.close()
    for job in JobFolders(tmp_path / "runs").own() if made else []:
        if job.started is not None:
            job.executor.stop(job.started, job.run.folder, hard=True)
    for child in processes._children.values():
        child.wait()


@pytest.fixture
def jobs(new_jobs):
    return new_jobs()


def start(
    jobs,
    kind="ppo",
    *,
    secret="ann",
    title="",
    address="",
    after=None,
    first=False,
    **options,
):
    options = STAGES[kind].config(**options)
    return jobs.start(
        kind,
        options,
        title=title,
        secret=secret,
        address=address,
        after=after,
        first=first,
    )


def start_for_all(jobs, *kinds, secret="ann", address="there"):
    """Queue runs for all visitors, each after the one before; return their ids."""
    orders = [
        lambda _, kind=kind: Order(kind, STAGES[kind].config(), "", "no-kl" * (kind == "ppo"))
        for kind in kinds
    ]
    return jobs.start_in_turn(orders, secret=secret, address=address, for_all=True)


DAMAGED = ['{"kind": "reward", "opt', "", "[1]", '{"kind": "reward", "options": []}']
"""What config.json of a damaged run may hold."""


def damage(runs, config):
    """Put a run with such a config.json among the others."""
    folder = runs / "bad"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / "status.json").write_text('{"status": "finished", "updated_at": ""}')
    os.utime(folder, (0, 0))


def row(jobs, run_id):
    return next(row for row in jobs.overview() if row["id"] == run_id)


def wait_for(jobs, run_id, status):
    wait_until(lambda: jobs.find(run_id).status["status"] == status)


def started_pid(jobs, run_id):
    return int(read_json(jobs.find(run_id).folder / "job.json")["handle"])


def is_gone(pid):
    """A zombie is gone too; who collects it is the system's business."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def grandchild(jobs, run_id):
    """Wait for what a stubborn job starts; return its number."""
    note = jobs.find(run_id).folder / "grandchild"
    wait_until(lambda: note.exists() and note.read_text())
    return int(note.read_text())
