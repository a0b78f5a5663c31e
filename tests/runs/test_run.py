"""Run folders: truthful status whatever happens to the process, whole files, no row twice."""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

from rlhf_demo.errors import DataError, JobError, TrainingDiverged
from rlhf_demo.files import (
    read_json,
    read_jsonl,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)
from rlhf_demo.runs.run import Run, Status, StopRequested, list_runs

HOLDER = """
import sys
from rlhf_demo.runs.run import Run
run = Run(sys.argv[1])
with run.recording():
    run.append("metrics", [{"step": 1}])
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", "ppo", {"seed": 3})


@pytest.fixture
def holder(run):
    """A real process that trains, as far as the folder can tell, until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "inside\n"
    yield process
    process.kill()
    process.communicate()


# -- beginning -------------------------------------------------------------------------------------


def test_folder_of_a_run_is_for_its_owner_alone_unless_a_person_made_and_shared_it(tmp_path):
    before = os.umask(0o022)  # as in a terminal; the page sets its own
    try:
        (tmp_path / "shared").mkdir()
        folders = [tmp_path / "runs" / "new", tmp_path / "shared", tmp_path / "shared" / "new"]
        for folder in folders:
            Run.create(folder, "ppo", {})
    finally:
        os.umask(before)
    modes = [folder.stat().st_mode & 0o777 for folder in (tmp_path / "runs", *folders)]
    assert modes == [0o755, 0o700, 0o755, 0o700]


def test_create_writes_what_was_asked_and_queues(run):
    assert run.config["kind"] == "ppo"
    assert run.config["options"] == {"seed": 3}
    assert {"torch", "transformers", "trl"} <= set(run.config["versions"])
    assert run.config["commit"]
    assert run.status["status"] == Status.QUEUED
    assert not run.alive()


def test_create_in_a_folder_that_holds_a_run_is_refused(run):
    with pytest.raises(JobError, match="already holds a ppo run: add --resume"):
        Run.create(run.folder, "ppo", {"seed": 4})
    assert run.config["options"] == {"seed": 3}


def test_config_of_a_folder_without_run_is_refused(tmp_path):
    with pytest.raises(JobError, match="holds no run"):
        _ = Run(tmp_path).config


# -- status ----------------------------------------------------------------------------------------


def test_status_goes_from_queued_over_running_to_finished(run):
    with run.recording():
        assert run.status["status"] == Status.RUNNING
        assert run.status["pid"] == os.getpid()
        assert run.alive()
    assert run.status["status"] == Status.FINISHED
    assert run.status["message"] == "finished"
    assert not run.alive()


def test_run_that_ends_early_says_why(run):
    with run.recording():
        run.end_early("KL is over the budget")
    assert run.status["status"] == Status.FINISHED
    assert run.status["message"] == "KL is over the budget"


def test_error_for_people_becomes_the_message_of_a_failed_run(run):
    with pytest.raises(TrainingDiverged), run.recording():
        raise TrainingDiverged(7, "policy/loss", float("nan"))
    assert run.status["status"] == Status.FAILED
    assert "step 7: policy/loss became nan" in run.status["message"]


def test_unforeseen_error_is_failed_by_its_type_and_logged_with_its_place(run):
    with pytest.raises(ZeroDivisionError), run.recording():
        _ = 1 / 0
    assert run.status["status"] == Status.FAILED
    assert run.status["message"] == "ZeroDivisionError: division by zero"
    assert "_ = 1 / 0" in (run.folder / "train.log").read_text()


def test_interrupted_run_is_stopped_and_the_interrupt_goes_on(run):
    with pytest.raises(KeyboardInterrupt), run.recording():
        raise KeyboardInterrupt
    assert run.status["status"] == Status.STOPPED


def test_stop_request_ends_the_run_as_stopped_without_an_error(run):
    with run.recording():
        run.check_stop()  # nobody has asked yet
        run.request_stop()
        run.check_stop()
        pytest.fail("check_stop let the work go on")
    assert run.status["status"] == Status.STOPPED
    assert "--resume" in run.status["message"]
    assert "Traceback" not in (run.folder / "train.log").read_text()


def test_stop_request_of_the_last_run_does_not_stop_the_next(run):
    run.request_stop()
    with run.recording():
        run.check_stop()
    assert run.status["status"] == Status.FINISHED


def test_saved_steps_are_listed_by_number_and_half_written_ones_left_out(run):
    assert run.saved_steps() == []
    for name in ("100", "20", ".30.abcd1234", ".20.old"):
        (run.folder / "steps" / name).mkdir(parents=True)
    assert run.saved_steps() == [20, 100]
    assert run.step_folder(20) == run.folder / "steps" / "20"
    with run.recording():
        kept = sorted(path.name for path in (run.folder / "steps").iterdir())
    assert kept == ["100", "20"]


def test_stop_is_an_exception_that_no_error_handler_takes_for_an_error():
    assert not issubclass(StopRequested, JobError)


def test_killed_process_is_alive_before_and_failed_after(run, holder):
    assert run.alive()
    assert run.status["status"] == Status.RUNNING
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not run.alive()
    assert run.status["status"] == Status.FAILED
    assert run.status["message"] == (
        "the process ended unexpectedly; --resume continues from the last saved state"
    )
    assert run.read("metrics") == [{"step": 1}]
    with run.recording():  # and the folder can be used again
        assert run.status["status"] == Status.RUNNING


def test_second_writer_is_refused_and_changes_nothing(run, holder):
    before = (run.folder / "status.json").read_text()
    with pytest.raises(JobError, match="in use by another process"), run.recording():
        pytest.fail("two writers in one folder")
    assert (run.folder / "status.json").read_text() == before
    run.request_stop()
    with pytest.raises(JobError), run.recording():
        pytest.fail("two writers in one folder")
    assert (run.folder / "stop").exists()  # the request to the first writer stands


def test_reader_that_looks_at_the_lock_does_not_keep_a_writer_out(run):
    """`alive` takes the lock for an instant; a trainer that starts in that instant waits it out."""
    look = open(run.folder / "lock", "w")
    fcntl.flock(look, fcntl.LOCK_SH)
    end_of_look = threading.Timer(0.1, look.close)
    end_of_look.start()
    with run.recording():
        assert run.alive()
    end_of_look.join()


def test_log_lines_of_the_package_go_into_the_folder_while_recording(run):
    log = logging.getLogger("rlhf_demo.anything")
    with run.recording():
        log.info("a line from inside")
    log.info("a line from outside")
    text = (run.folder / "train.log").read_text()
    assert "a line from inside" in text
    assert "outside" not in text


# -- rows ------------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(run):
    rows = [{"step": 1, "text": "naïve\u2028“quoted”\nline"}, {"step": 2, "text": ""}]
    run.append("samples", rows[:1])
    run.append("samples", rows[1:])
    assert run.read("samples") == rows
    assert run.read("nothing-yet") == []


@pytest.mark.parametrize("cut", [1, 5, 20, 22])
def test_unfinished_last_line_is_skipped(run, cut):
    run.append("samples", [{"step": 1}])
    line = '{"step": 2, "text": "é"}'.encode()
    assert line[:22].endswith(b"\xc3")  # a kill may fall inside a character
    with open(run.folder / "samples.jsonl", "ab") as file:
        file.write(line[:cut])
    assert run.read("samples") == [{"step": 1}]


def test_broken_earlier_line_is_named_by_its_number(run):
    (run.folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(DataError, match=r"metrics.jsonl line 2 is not valid JSON"):
        run.read("metrics")


def test_rewind_drops_later_rows_and_the_unfinished_line(run):
    run.append("metrics", [{"step": step} for step in (1, 2, 3, 4)])
    run.append("samples", [{"step": 1, "n": 0}, {"step": 1, "n": 1}, {"step": 4, "n": 0}])
    with open(run.folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 5')
    run.rewind(2)
    run.append("metrics", [{"step": 3}])
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3]
    assert run.read("samples") == [{"step": 1, "n": 0}, {"step": 1, "n": 1}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rows_with_numbers_that_json_has_not_are_refused(run, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.append("metrics", [{"step": 1}, {"step": 2, "x": value}])
    assert run.read("metrics") == []


# -- files -----------------------------------------------------------------------------------------


def test_write_json_refuses_nan_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["report.json"]


def test_read_json_names_a_damaged_file(tmp_path):
    (tmp_path / "config.json").write_text('{"a": ')
    with pytest.raises(DataError, match=r"config.json is not valid JSON"):
        read_json(tmp_path / "config.json")


def test_replacing_leaves_the_old_file_when_the_writer_raises(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("old")
    with (
        pytest.raises(OSError, match=r"cannot be written \(no room\): .*checkpoint.pt"),
        replacing(path) as temporary,
    ):
        temporary.write_text("half")
        raise RuntimeError("no room\nand more")  # as torch does
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_replaced_file_can_be_read_by_others(tmp_path):
    write_text(tmp_path / "a.txt", "x")  # mkstemp alone would give 0600
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_files_and_folders_are_as_private_as_the_process_asks(tmp_path):
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "a.txt", "x")
        with replacing_folder(tmp_path / "model") as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / "weights").touch(mode=0o600)
    finally:
        os.umask(before)
    for name, mode in (("a.txt", 0o600), ("model", 0o700), ("model/deep/weights", 0o600)):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode, name


def test_replacing_folder_takes_the_place_of_the_old_one_whole(tmp_path):
    path = tmp_path / "model"
    for content in ("old", "new"):
        with replacing_folder(path) as temporary:
            (temporary / content).write_text(content)
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["model"]


def test_replacing_folder_leaves_the_old_one_when_the_writer_raises(tmp_path):
    path = tmp_path / "model"
    with replacing_folder(path) as temporary:
        (temporary / "weights").write_text("old")
        (temporary / "weights").chmod(0o600)  # as safetensors does
    assert (path / "weights").stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError, match="cannot be written"), replacing_folder(path) as temporary:
        (temporary / "weights").write_text("half")
        raise RuntimeError("no room")
    assert (path / "weights").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


KILLED = """
import os, sys
from pathlib import Path
from rlhf_demo import files
from rlhf_demo.runs import run as runs

path, fatal = Path(sys.argv[1]) / "model", int(sys.argv[2])
calls = []

def dying(function):
    def wrapped(*args, **kwargs):
        calls.append(function.__name__)
        if len(calls) == fatal:
            os.kill(os.getpid(), 9)
        return function(*args, **kwargs)
    return wrapped

with runs.Run(sys.argv[1]).recording():
    with files.replacing_folder(path) as temporary:
        (temporary / "weights").write_text("new")
        os.replace, os.rename = dying(os.replace), dying(os.rename)
        files.shutil.rmtree = dying(files.shutil.rmtree)
    print("survived")
"""


@pytest.mark.parametrize("fatal", [1, 2, 3, 4])
def test_kill_between_any_two_steps_of_replacing_folder_is_made_good_by_the_next_writer(run, fatal):
    """Die before each call that renames or removes; then a whole model is there, old or new."""
    with replacing_folder(run.model_folder) as temporary:
        (temporary / "weights").write_text("old")
    command = [sys.executable, "-c", KILLED, str(run.folder), str(fatal)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert run.status["status"] == Status.FAILED
    with run.recording():
        assert (run.model_folder / "weights").read_text() in ("old", "new")
        with replacing_folder(run.model_folder) as temporary:
            (temporary / "weights").write_text("newer")
    assert (run.model_folder / "weights").read_text() == "newer"
    assert not [name for name in os.listdir(run.folder) if name.startswith(".")]


def test_what_a_killed_writer_left_half_done_is_cleared_by_the_next(run):
    with open(run.folder / ".checkpoint.pt.a1b2c3d4", "w") as file:
        file.write("half")
    (run.folder / ".model.e5f6_7g8").mkdir()
    own = [".bashrc.old", ".gitignore", ".notes.abcdefgh"]
    for name in own:
        (run.folder / name).write_text("the user's own")
    with run.recording():
        pass
    assert sorted(name for name in os.listdir(run.folder) if name.startswith(".")) == own


# -- lists -----------------------------------------------------------------------------------------


def test_list_runs_finds_runs_here_and_one_level_down_oldest_first(tmp_path):
    for name, made in [
        ("b", "2026-01-02"),
        ("a/inner", "2026-01-01"),
        ("c/d/too-deep", "2026-01-03"),
    ]:
        run = Run.create(tmp_path / name, "ppo", {})
        write_json(run.folder / "config.json", {**run.config, "created_at": made})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert [run.folder.name for run in list_runs(tmp_path)] == ["inner", "b"]
    assert [run.folder.name for run in list_runs(tmp_path / "b")] == ["b"]


def test_read_jsonl_of_a_file_without_any_line_is_empty(tmp_path):
    (tmp_path / "x.jsonl").write_text("")
    assert read_jsonl(tmp_path / "x.jsonl") == []
