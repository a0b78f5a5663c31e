"""No file that a stranger brings takes much memory, disk or time, nor what others wait for."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import gzip
import json
import re
import subprocess
import sys
import threading
import time

import psutil
import pytest

from rlhf_demo.errors import DataError, DemoError
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.apart import WAITED
from rlhf_demo.server.reading import LIMITS, read_apart
from rlhf_demo.server.uploads import Uploads
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)
from tests.hostile_files import FILES, LIMIT, MOST, READ

SLACK = 5
"""Times the promised 10 seconds: where tests run, others compute too. bench/ measures speed."""
MEGABYTE = 10**6
MEMORY, COPY = LIMITS["strangers"].memory, LIMITS["strangers"].copy

WITHOUT_LIMITS = """
import sys
from rlhf_demo.data.pairs import load_pairs
try:
    load_pairs(sys.argv[1])
except Exception as error:
    print(error)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.fixture
def uploads(new_jobs, tmp_path):
    return Uploads(tmp_path / "uploads", new_jobs(scheduling=False), public=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Allow more time by the clock; that of computing stays bounded in the reading process."""
    monkeypatch.setattr("rlhf_demo.server.apart.WAITED", WAITED * SLACK)


def made(folder, title):
    path = folder / FILES[title].name
    path.write_bytes(FILES[title].make())
    return path


def answer(uploads, path):
    """Return what is said of a file, READ where it is kept."""
    try:
        uploads.keep(str(path), "ann", "here")
    except DemoError as error:
        return str(error)
    return READ


def test_there_are_at_least_forty():
    assert len(FILES) >= 40


@pytest.mark.parametrize("title", FILES)
def test_hostile_file_is_answered_within_bounds(uploads, tmp_path, title):
    path = made(tmp_path, title)
    size, app = path.stat().st_size, psutil.Process()
    rss, started = app.memory_info().rss, time.monotonic()
    said = answer(uploads, path)
    seconds = time.monotonic() - started

    assert re.search(FILES[title].answer, said), said
    assert len(said) < 300 and "\n" not in said and str(tmp_path) not in said
    assert seconds < 10 * SLACK
    assert app.memory_info().rss - rss < 50 * MEGABYTE  # the reading process has a limit
    kept = [path for path in uploads.folder.rglob("*") if path.is_file()]
    assert size <= MOST + 1
    assert size + sum(path.stat().st_size for path in kept) < 100 * MEGABYTE
    assert len(kept) == (2 if said == READ else 0)


def test_honest_file_that_is_packed_is_read_on_ones_own_machine(tmp_path):
    rows = "".join(
        json.dumps({"chosen": f"{n} good", "rejected": "bad " * 500}) + "\n" for n in range(12_000)
    )
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(rows.encode()))
    with pytest.raises(DataError, match="holds over 20 MB of text"):
        read_apart("pairs", path, tmp_path / "copy")
    assert read_apart("pairs", path, tmp_path / "copy", public=False)["count"] == 12_000


def test_memory_limit_is_what_stops_a_file(tmp_path):
    """Without it the same file takes more, and is refused for what it holds."""
    path = made(tmp_path, "a row of lists")
    with pytest.raises(DataError, match=LIMIT):
        read_apart("pairs", path, tmp_path / "copy")
    free = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIMITS, path],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said, peak = free.stdout.splitlines()
    assert "row 1 is [[], [], [], [], [], [], ...], not an object" in said
    assert int(peak) * 1024 > MEMORY


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (f"bytearray({MEMORY})", "MemoryError"),
        (f"with open('big', 'wb') as f: f.write(bytes({COPY + 10**6}))", "File too large"),
        ("import os; os.abort()", ""),
        ("while True: pass", ""),
    ],
)
def test_limits_hold_in_the_reading_process(tmp_path, code, says):
    begin = "import os, rlhf_demo.server.apart as it\n"
    begin += f"it.limit_myself(seconds=1, memory={MEMORY}, written={COPY})\n"
    code = f"{begin}os.chdir({str(tmp_path)!r})\n{code}"
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert says in ended.stderr
    assert time.monotonic() - started < 10 * SLACK
    assert not [path for path in tmp_path.iterdir() if path.name != "big"]  # no memory dump
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= COPY


def test_reading_process_knows_none_of_the_apps_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_DEMO_PASSWORD", "open sesame")
    seen = {}

    def noted(command, **how):
        seen.update(how)
        return run(command, **how)

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", noted)
    read_apart("pairs", made(tmp_path, "a byte order mark"), tmp_path / "copy")
    assert "open sesame" not in seen["env"].values()


def test_others_are_served_while_a_hostile_file_is_read(uploads, tmp_path):
    path = made(tmp_path, "a long name inside")  # some seconds of computing
    reader = threading.Thread(target=answer, args=(uploads, path))
    reader.start()
    waits = []
    while reader.is_alive():
        started = time.monotonic()
        uploads.listed("bob")
        waits.append(time.monotonic() - started)
        time.sleep(0.02)
    assert len(waits) > 10
    assert max(waits) < 0.5 * SLACK
