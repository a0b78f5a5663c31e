"""A program of its own process: its answer, its limits, and what it knows of the app."""

import sys

import pytest

from rlhf_demo.server import apart
from rlhf_demo.server.apart import run_apart


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write a program, and run it with the arguments."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def program(code, *arguments, seconds=30):
        (tmp_path / "odd_program.py").write_text(f"import json, os, resource, sys\n{code}")
        return run_apart("odd_program", list(arguments), seconds)

    return program


def test_answer_is_what_the_program_writes(program):
    code = "print(json.dumps({'sum': int(sys.argv[1]) + int(sys.argv[2])}))"
    assert program(code, "2", "3") == {"sum": 5}


@pytest.mark.parametrize("code", ["sys.exit(1)", "os.abort()", "raise MemoryError"])
def test_program_that_ends_otherwise_has_no_answer(program, code):
    assert program(code) is None


def test_program_that_waits_too_long_is_ended(program, monkeypatch):
    monkeypatch.setattr(apart, "WAITED", 1)
    assert program("import time; time.sleep(60)", seconds=0.5) is None


def test_program_knows_none_of_the_apps_secrets_and_is_off_the_network(program, monkeypatch):
    monkeypatch.setenv("RLHF_DEMO_PASSWORD", "open sesame")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", "/cache")  # as HF_HUB_CACHE was once called
    known = program("print(json.dumps(dict(os.environ)))")
    assert not {"RLHF_DEMO_PASSWORD", "HF_TOKEN"} & set(known)
    assert (known["HF_HUB_OFFLINE"], known["HUGGINGFACE_HUB_CACHE"]) == ("1", "/cache")


LIMITED = "from rlhf_demo.server.apart import limit_myself\nlimit_myself({})\n"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS knows no limit on memory")
@pytest.mark.parametrize("reserved", [True, False])
def test_limit_on_memory_holds(program, reserved):
    options = f"seconds=10, memory=500_000_000, written=0, reserved={reserved}"
    code = LIMITED.format(options)
    assert program(f"{code}print(json.dumps({{'bytes': len(bytearray(100_000_000))}}))") is not None
    assert program(f"{code}bytearray(600_000_000)\nprint('{{}}')") is None


def test_limits_on_time_and_files_hold(program, tmp_path):
    code = LIMITED.format("seconds=1, memory=10**10, written=1000")
    assert program(f"{code}while True: pass") is None
    path = tmp_path / "large"
    write = f"open({str(path)!r}, 'wb', buffering=0).write(bytes(5000))\nprint('{{}}')"
    program(code + write)
    assert path.stat().st_size <= 1000
