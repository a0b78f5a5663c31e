"""The commands that use the Hub, as a person gives them."""

import os
import subprocess
import sys
import time

import pytest
import torch

from rlhf_demo.models.policy import load_policy
from rlhf_demo.paths import REPOSITORY
from tests.command import refused
from tests.fake_hub import OWNER, small_hub
from tests.finished import finished

NAME = f"{OWNER}/happy"
CPU = torch.device("cpu")


@pytest.fixture
def give(tmp_path):
    """Give a command in a process of its own, beside a small Hub; return what it says."""
    with small_hub() as hub:

        def give(*arguments, **variables):
            command = [sys.executable, "-m", "rlhf_demo", *arguments]
            environment = os.environ | hub.environment(tmp_path / "home")
            result = subprocess.run(
                command, env=environment | variables, cwd=REPOSITORY,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            return result.stdout.strip(), result.stderr.strip()

        give.hub = hub
        yield give


def test_run_is_pushed_by_its_id_and_pulled_beside_the_others(give, tmp_path):
    def save(folder):
        load_policy("gpt2-mini-ppo", device=CPU).save(folder)

    runs = tmp_path / "runs"
    run = finished(runs / "ppo-abc123", "ppo", save, policy="gpt2-mini", reward="reward-mini")
    where = {"RLHF_DEMO_RUNS": str(runs)}
    said = give("push-model", "ppo-abc123", NAME, **where)
    assert said == (f"pushed to {give.hub.address}/{NAME}", "")
    said = give("pull-model", NAME, **where)
    assert said == (f"pulled as the run ppo-happy, in {runs / 'ppo-happy'}", "")
    mine, back = (
        load_policy(str(folder), device=CPU).state_dict()
        for folder in (run.folder, runs / "ppo-happy")
    )
    assert all(torch.equal(mine[name], back[name]) for name in mine)
    _, missing = give("pull-model", f"{OWNER}/missing")
    assert missing == (
        f"error: the model {OWNER}/missing cannot be read: the Hub has none of that name, "
        "or it is private"
    )


def test_wrong_names_are_refused_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "give OWNER/NAME" in refused(capsys, "push-model", "run", "name")
    assert "give OWNER/NAME" in refused(capsys, "pull-model", "name")
    assert "there is no folder run: name a run's folder" in refused(
        capsys, "push-model", "run", NAME
    )


def test_space_is_deployed_with_its_data_set_and_says_what_is_left_to_do(give):
    out, error = give("deploy-space", f"{OWNER}/page", "--variable", "RLHF_DEMO_STEPS=50")
    assert error == ""
    assert out.splitlines() == [
        f"deployed to {give.hub.address}/spaces/{OWNER}/page",
        "It has no password yet: set the Space's secret RLHF_DEMO_PASSWORD to open classes.",
        f"Nothing is copied to {OWNER}/page-data yet: set the Space's secret HF_TOKEN to a token "
        "that may write there, and to nothing else.",
    ]
    space = give.hub[f"spaces/{OWNER}/page"]
    assert space.sdk == "gradio"
    assert space.variables["RLHF_DEMO_BACKUP"] == f"{OWNER}/page-data"
    assert "app.py" in space.files and "checkpoints/pairs.jsonl" in space.files
    assert not [name for name in space.files if name.startswith(("tests/", "bench/", "runs/"))]


@pytest.mark.parametrize("command", ["push-model", "deploy-space"])
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HF_TOKEN": "hf_wrong_wrong_wrong"}, "does not accept the token in HF_TOKEN"),
        ({"HF_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1 (HF_ENDPOINT) does not answer"),
    ],
)
def test_wrong_token_or_address_is_one_sentence_without_the_token(
    give, tmp_path, command, variables, words
):
    run = finished(tmp_path / "ppo-1", "ppo", save_nothing)
    arguments = [str(run.folder), NAME] if command == "push-model" else [NAME]
    begun = time.monotonic()
    out, error = give(command, *arguments, **variables)
    assert out == "" and error.count("\n") == 0 and words in error
    assert "hf_wrong" not in error
    assert time.monotonic() - begun < 15  # 5 on an idle machine


def save_nothing(folder):
    """What looks like a model: it is not read before the Hub has answered."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
