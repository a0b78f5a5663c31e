"""A page that is told to end: in a container its trainings are saved, at home they go on."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_demo.files import read_json
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import ending
from tests.fake_jobs import QUICK, fake, new_jobs, row, start, wait_for, wait_until

APP = """
import signal, sys, time
from pathlib import Path
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.server.ending import end_in_order
script = '''
import sys, time
from rlhf_demo.runs.run import Run
run = Run(sys.argv[1])
with run.recording():
    while True:
        try:
            run.check_stop()
        except BaseException:
            (run.folder / "checkpoint.pt").write_text("saved")
            raise
        time.sleep(0.01)
'''
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
jobs = Jobs(Path(sys.argv[1]), command=lambda kind, folder: [sys.executable, "-c", script, str(folder)])
jobs.open()
end_in_order(jobs)
print(jobs.start("ppo", PPOConfig(), title="", secret="ann"), flush=True)
while True:
    time.sleep(0.1)
"""  # noqa: E501
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""Makes a command the first process of its own, as in a container."""


def may_unshare():
    try:
        return not subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


@pytest.fixture
def app(tmp_path):
    """Start an app with a running training; give process, its child if any, and the run."""
    begun = []

    def begin(prefix):
        command = [*prefix, sys.executable, "-c", APP, str(tmp_path / "runs")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        run = Run(tmp_path / "runs" / process.stdout.readline().strip())
        wait_until(lambda: run.status["status"] == Status.RUNNING, seconds=60)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return process, int(children[0]) if prefix else process.pid, run

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not may_unshare(), reason="no process namespace may be made here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_container_that_must_end_saves_its_training_and_the_next_start_goes_on(
    app, new_jobs, fake, number
):
    process, inside, run = app(ALONE)
    os.kill(inside, number)
    process.wait(timeout=60)  # saving takes 8 seconds at most, ending no time
    assert (run.folder / "checkpoint.pt").read_text() == "saved"
    fake.scripts["ppo"] = QUICK
    wait_for(new_jobs(), run.folder.name, Status.FINISHED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_page_at_home_that_is_closed_leaves_its_training_alone(app, new_jobs, number):
    process, _, run = app([])
    os.kill(process.pid, number)
    process.wait(timeout=60)
    assert run.alive() and run.status["status"] == Status.RUNNING
    jobs = new_jobs()
    jobs.stop(run.folder.name, "ann")
    wait_for(jobs, run.folder.name, Status.STOPPED)


@pytest.mark.parametrize(
    "pid, parent, marked, last",
    [(1, 0, False, True), (7, 1, True, True), (7, 1, False, False), (90, 40, True, False)],
)
def test_container_ends_with_its_first_process_or_the_one_that_init_started(
    monkeypatch, tmp_path, pid, parent, marked, last
):
    if marked:
        (tmp_path / "mark").touch()
    monkeypatch.setattr(os, "getpid", lambda: pid)
    monkeypatch.setattr(os, "getppid", lambda: parent)
    monkeypatch.setattr(ending, "MARKS", (tmp_path / "mark",))
    assert ending._last_of_its_container() is last


@pytest.fixture
def signals():
    """Give the signals back as they were."""
    before = {number: signal.getsignal(number) for number in ending.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ending.SIGNALS)
def test_page_at_home_ends_on_each_signal_as_on_ctrl_c(monkeypatch, signals, number):
    """After SIGTERM or a closed terminal, a copy of votes.db held 5 of 15 votes."""
    monkeypatch.setattr(ending, "_last_of_its_container", lambda: False)
    signal.signal(number, signal.SIG_DFL)
    ending.end_in_order(None)  # the trainings are left alone
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_signal_that_is_ignored_stays_ignored_at_home(monkeypatch, signals):
    monkeypatch.setattr(ending, "_last_of_its_container", lambda: False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    ending.end_in_order(None)
    os.kill(os.getpid(), signal.SIGHUP)
