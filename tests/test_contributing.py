"""CONTRIBUTING.md is true: its recipe for a stage works as it stands, its table is what holds."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from rlhf_demo.paths import CHECKPOINTS, REPOSITORY
from tests.test_architecture import GROUND, MAY_IMPORT

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
DIFF = re.search(r"```diff\n(.*?)```", TEXT, re.DOTALL)[1]

START_A_JOB = """
import json, time
from pathlib import Path
from rlhf_demo.config.repeat import RepeatConfig
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.charts import stages

jobs = Jobs(Path("runs"))
run = jobs.start("repeat", RepeatConfig(), title="Once more", secret="ann")
jobs.open()
deadline = time.monotonic() + 240
while jobs.find(run).status["status"] in ("queued", "running") and time.monotonic() < deadline:
    time.sleep(0.1)
jobs.close()
row = next(row for row in jobs.overview() if row["id"] == run)
choices = Choices(Settings(runs=Path("runs")), jobs)
print(json.dumps([row, choices.policies(), stages()["repeat"]]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package to which the recipe's diff was applied."""
    if shutil.which("git") is None:
        pytest.skip("there is no git: the recipe for a stage cannot be applied")
    folder = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "rlhf_demo", folder / "rlhf_demo", ignore=skip)
    (folder / "checkpoints").symlink_to(CHECKPOINTS)
    alone = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}  # in no repository
    subprocess.run(["git", "apply", "-"], input=DIFF, cwd=folder, env=alone, text=True, check=True)
    return folder


def python(folder, *arguments):
    """Run Python with the package of a folder; return what it printed."""
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def weights(folder):
    return {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


def test_recipe_for_a_stage_is_short():
    assert len(DIFF.splitlines()) <= 40


def test_new_stage_is_a_command_that_repeats_the_base(copy):
    assert re.search(
        r"repeat-base\s+repeat a model unchanged", python(copy, "-m", "rlhf_demo", "-h")
    )
    python(copy, "-m", "rlhf_demo", "repeat-base", "--run-dir", "runs/by-hand")
    base, again = weights(CHECKPOINTS / "gpt2-mini"), weights(copy / "runs" / "by-hand" / "model")
    assert base and base.keys() == again.keys()
    assert all(torch.equal(base[name].float(), again[name].float()) for name in base)


def test_new_stage_is_a_job_in_the_lists_of_the_page(copy):
    row, policies, stage = json.loads(python(copy, "-c", START_A_JOB).splitlines()[-1])
    assert (row["kind"], row["title"], row["status"]) == ("repeat", "Once more", "finished")
    assert [f"Once more ({row['id']})", row["id"]] in policies
    assert stage["title"] == "Base again"


def test_table_of_packages_says_what_each_may_import():
    """The tables of tests/test_architecture.py are what holds; people read them here."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w ]+) \|$", TEXT, re.MULTILINE)
    told = {name: set(words.split()) - {"nothing"} for name, words in rows}
    assert told == MAY_IMPORT
    assert all(f"`{name}`" in TEXT for name in GROUND)
