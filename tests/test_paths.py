"""Where this program lies."""

import rlhf_demo
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY


def test_repository_holds_the_app_the_package_and_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # wherever it is called from
    assert (REPOSITORY / "app.py").is_file()
    assert str(REPOSITORY / "rlhf_demo" / "__init__.py") == rlhf_demo.__file__
    assert (CHECKPOINTS / "gpt2-mini" / "config.json").is_file()
