"""Where this program lies, and paths that people type."""

from pathlib import Path

import rlhf_demo
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY, typed_path


def test_repository_holds_the_app_the_package_and_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # wherever it is called from
    assert (REPOSITORY / "app.py").is_file()
    assert str(REPOSITORY / "rlhf_demo" / "__init__.py") == rlhf_demo.__file__
    assert (CHECKPOINTS / "gpt2-mini" / "config.json").is_file()


def test_path_that_a_person_types_may_name_the_home_folder_and_never_raises(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert typed_path("~/texts.jsonl") == Path("/home/ann/texts.jsonl")
    assert typed_path("~no-such-user/x") == Path("~no-such-user/x")
    assert typed_path("texts.jsonl") == Path("texts.jsonl")
