"""A process that died says why, in one sentence."""

import re
import signal

import pytest

from rlhf_demo.jobs import exit_reasons
from rlhf_demo.jobs.exit_reasons import log_end, oom_kills, why
from rlhf_demo.jobs.processes import STARTED


@pytest.mark.parametrize(
    "said",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes",
        "MemoryError",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "error: fork: Cannot allocate memory; no partly written file is left",
    ],
)
def test_memory_that_ran_out_is_said_in_one_sentence_and_what_to_do(said):
    assert why(1, f"step 3\n{said}\n") == (
        "out of memory: choose a smaller batch, shorter responses or a smaller model"
    )


def test_full_disk_is_said_whatever_the_exit_code():
    said = "error: /runs/x/metrics.jsonl: No space left on device; no partly written file is left"
    assert why(2, said).startswith("the disk is full: delete runs that are no longer needed")


def test_sentence_of_the_command_is_the_reason_word_for_word():
    log = "loading\nerror: there is no model 'gpt3': choose a shipped name\n"
    assert why(2, log) == "there is no model 'gpt3': choose a shipped name"


@pytest.mark.parametrize(
    "code, oom_killed, sentence",
    [
        (
            -signal.SIGKILL,
            True,
            r"killed by signal 9 \(SIGKILL\) because the system ran out of memory",
        ),
        (-signal.SIGKILL, False, r"killed by signal 9 \(SIGKILL\) from outside: resuming"),
        (-signal.SIGKILL, None, r", from outside or because memory ran out: resuming continues"),
        (-signal.SIGTERM, False, r"killed by signal 15 \(SIGTERM\) from outside: resuming"),
        (-signal.SIGSEGV, False, r"crashed with signal 11 \(SIGSEGV\): look at its log"),
        (-200, False, "crashed with signal 200: look"),
        (0, False, "ended without doing anything"),
        (1, False, "ended with exit code 1; its log is empty"),
        (
            None,
            False,
            "outlived the app that started it, then ended for an unknown reason: resuming",
        ),
    ],
)
def test_silent_death_is_told_by_its_exit_code(code, oom_killed, sentence):
    assert re.search(sentence, why(code, "", oom_killed=oom_killed))


def test_unknown_error_gives_its_last_line():
    log = "Traceback (most recent call last):\n  ...\nModuleNotFoundError: No module named 'trl'\n"
    assert why(1, log).endswith("its last output was: ModuleNotFoundError: No module named 'trl'")


# -- the log ---------------------------------------------------------------------------------------


def test_log_end_is_of_the_last_start_with_progress_bars_at_their_last_state(tmp_path):
    (tmp_path / "job.log").write_text(
        f"{STARTED}python -m first\nerror: old\n{STARTED}python -m again\n"
        "  0%|   \r 50%|## \r100%|####\n\nerror: new\n",
        newline="",
    )
    assert log_end(tmp_path) == "100%|####\nerror: new"


def test_log_end_of_a_silent_job_is_what_the_trainer_noted(tmp_path):
    (tmp_path / "job.log").write_text(f"{STARTED}python -m first\n")
    (tmp_path / "train.log").write_text("INFO 8 pairs\n")
    assert log_end(tmp_path) == "INFO 8 pairs"


def test_log_end_is_bounded_and_none_without_a_log(tmp_path):
    assert log_end(tmp_path) == ""
    (tmp_path / "job.log").write_bytes(b"\xff" + b"x" * 100_000)
    assert log_end(tmp_path) == "x" * exit_reasons.MOST_CHARACTERS


# -- the system's count ----------------------------------------------------------------------------


def test_oom_kills_are_read_where_the_system_counts_them(tmp_path, monkeypatch):
    cgroup = tmp_path / "cgroup"
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "memory.events").write_text("low 0\noom 2\noom_kill 3\n")
    cgroup.write_text("1:cpu:/\n0::/app\n")
    monkeypatch.setattr(exit_reasons, "OWN_CGROUP", cgroup)
    assert oom_kills(tmp_path) == 3


def test_oom_kills_are_unknown_where_the_system_does_not_tell(tmp_path):
    assert oom_kills(tmp_path) is None
