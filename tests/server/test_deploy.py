"""A Space made on the stand-in of the Hub; no test can say what the real one does with it."""

import subprocess
import sys

import pytest

from rlhf_demo.errors import ConfigError, HubError
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server import deploy
from rlhf_demo.server.deploy import deploy_space
from tests.fake_hub import OWNER, TOKEN

NAME, DATA = f"{OWNER}/rlhf", f"{OWNER}/rlhf-data"


@pytest.fixture(autouse=True)
def no_password(monkeypatch):
    monkeypatch.delenv("RLHF_DEMO_PASSWORD", raising=False)


@pytest.fixture
def few_files(monkeypatch, tmp_path):
    """A project of four files, which is no git checkout."""
    project = tmp_path / "project"
    (project / "rlhf_demo" / "__pycache__").mkdir(parents=True)
    (project / "rlhf_demo" / "__pycache__" / "x.pyc").touch()
    for name in ("app.py", "rlhf_demo/x.py", "rlhf_demo/old.py", "notes.txt"):
        (project / name).write_text(name)
    (project / "README.md").write_text("---\ntitle: T\nsdk: docker\n---\n")
    monkeypatch.setattr(deploy, "REPOSITORY", project)
    return project


def test_space_gets_its_files_its_settings_and_a_private_data_set(hub, few_files, monkeypatch):
    monkeypatch.setenv("RLHF_DEMO_PASSWORD", "chalk and slate")
    made = deploy_space(NAME, data=DATA, variables={"RLHF_DEMO_STEPS": "50"})
    assert made.address.endswith(f"/spaces/{NAME}")
    space = hub[f"spaces/{NAME}"]
    assert set(space.files) == {"README.md", "app.py", "rlhf_demo/x.py", "rlhf_demo/old.py"}
    assert (space.sdk, space.private) == ("docker", False)
    assert space.variables == {"RLHF_DEMO_STEPS": "50", "RLHF_DEMO_BACKUP": DATA}
    assert space.secrets == {"RLHF_DEMO_PASSWORD": "chalk and slate"}  # not the owner's token
    assert hub[f"datasets/{DATA}"].private


def test_second_deployment_updates_the_space_and_removes_old_files(hub, few_files):
    deploy_space(NAME, data=None, private=True)
    (few_files / "rlhf_demo" / "old.py").unlink()
    (few_files / "app.py").write_text("newer")
    deploy_space(NAME, data=None, with_token=True)
    space = hub[f"spaces/{NAME}"]
    assert set(space.files) == {"README.md", "app.py", "rlhf_demo/x.py"}
    assert space.files["app.py"] == b"newer" and space.private
    assert (space.variables, space.secrets) == ({}, {"HF_TOKEN": TOKEN})
    assert list(hub.repositories) == [f"spaces/{NAME}"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RLHF_DEMO_PASSWORD": "chalk and slate"}, "RLHF_DEMO_PASSWORD is a secret"),
        ({"HF_TOKEN": TOKEN}, "HF_TOKEN is a secret"),
        ({"PYTHONPATH": "/"}, "'PYTHONPATH' is no setting"),
    ],
)
def test_variable_that_is_no_setting_or_a_secret_is_refused_unseen(hub, variables, words):
    with pytest.raises(ConfigError, match=words) as caught:
        deploy_space(NAME, variables=variables)
    assert not any(value in str(caught.value) for value in variables.values() if len(value) > 1)
    assert hub.asked == []


def test_space_of_someone_else_is_one_sentence(hub, few_files):
    with pytest.raises(HubError, match=r"the space nobody/x cannot be created: .* may not write"):
        deploy_space("nobody/x")


def test_files_of_a_space_are_a_whole_program(tmp_path):
    """The page starts from them, and finds its models and its settings."""
    deploy.copy_files(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "README.md", "LICENSE", "requirements.txt", "app.py", "rlhf_demo", "checkpoints", "docs"
    }  # fmt: skip
    assert not list(tmp_path.rglob("*.pyc"))
    code = (
        "from rlhf_demo.ui.app import build_app\nfrom rlhf_demo.server.settings import Settings\n"
        "from pathlib import Path\nfrom rlhf_demo.hub.locate import shipped_models\n"
        "demo = build_app(Settings(runs=Path('runs')))\nprint(len(shipped_models()))\n"
        "demo.shared.jobs.close()\nimport os; os._exit(0)"
    )
    result = subprocess.run(
        [sys.executable, "-u", "-c", code], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout.strip() == "5", result.stderr[-2000:]
    assert REPOSITORY != tmp_path
