import os
import subprocess
import sys

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.settings import Settings


@pytest.fixture
def read(monkeypatch):
    """Read the settings from an environment that holds these and no others."""

    def settings(**environment: str) -> Settings:
        for name in (
            "GRADIO_SERVER_NAME", "SPACE_ID", "RLHF_DEMO_BACKUP",
            "RLHF_DEMO_HOSTS", "RLHF_DEMO_HUB",
            "RLHF_DEMO_PASSWORD", "RLHF_DEMO_PROXIES", "RLHF_DEMO_PUBLIC",
        ):  # fmt: skip
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Settings.from_environment()

    return settings


@pytest.mark.parametrize(
    ("environment", "limits", "any_host"),
    [
        ({}, False, False),
        ({"GRADIO_SERVER_NAME": "localhost"}, False, False),
        ({"RLHF_DEMO_PASSWORD": "chalk and slate"}, True, False),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, True, False),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "RLHF_DEMO_PUBLIC": "0"}, False, False),
        ({"RLHF_DEMO_PASSWORD": "chalk and slate", "RLHF_DEMO_PUBLIC": "0"}, False, False),
        ({"RLHF_DEMO_PUBLIC": "1"}, True, True),
        ({"SPACE_ID": "ann/rlhf"}, True, True),
        ({"RLHF_DEMO_PUBLIC": ""}, False, False),
    ],
)
def test_limits_are_on_where_others_can_come(read, environment, limits, any_host):
    settings = read(**environment)
    assert (settings.public, settings.any_host) == (limits, any_host)
    assert settings.space is ("SPACE_ID" in environment)
    bounds = (settings.most_steps, settings.most_minutes, settings.most_waiting)
    assert bounds == ((200, 20, 8) if limits else (None, None, None))


def test_proxy_is_believed_on_a_space_and_elsewhere_when_the_owner_says_so(read):
    assert read().proxies == 0
    assert read(SPACE_ID="ann/rlhf").proxies == 1
    assert read(RLHF_DEMO_PROXIES="2").proxies == 2


def test_names_are_read_from_a_list(read):
    assert read(RLHF_DEMO_HOSTS=" rlhf.school.example, ,*.gradio.live").hosts == (
        "rlhf.school.example", "*.gradio.live",
    )  # fmt: skip
    assert read(RLHF_DEMO_HUB="").hub == ()


def test_visitors_download_no_model_unless_the_owner_names_it(read):
    assert read().hub == ("gpt2", "distilgpt2")
    assert read(RLHF_DEMO_PASSWORD="blackboard").hub == ()
    assert read(RLHF_DEMO_PASSWORD="blackboard", RLHF_DEMO_HUB="gpt2").hub == ("gpt2",)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"RLHF_DEMO_PASSWORD": "chalk"}, "PASSWORD has 5 characters: choose a password of 8"),
        ({"RLHF_DEMO_PASSWORD": "1234567"}, "PASSWORD has 7 characters"),
        ({"RLHF_DEMO_PUBLIC": "yes"}, "RLHF_DEMO_PUBLIC is 'yes': give 1 or 0"),
        ({"RLHF_DEMO_PROXIES": "-1"}, "RLHF_DEMO_PROXIES is '-1': give a whole number from 0 up"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_in_a_sentence(read, environment, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read(**environment)


def test_page_does_not_start_with_a_short_password(tmp_path):
    ended = subprocess.run(
        [sys.executable, REPOSITORY / "app.py"],
        env=os.environ | {"RLHF_DEMO_PASSWORD": "teach", "RLHF_DEMO_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: RLHF_DEMO_PASSWORD has 5 characters: choose a password of 8 or more\n"
    )
    assert "teach" not in ended.stdout and not (tmp_path / "runs").exists()


def test_data_set_for_copies_is_a_name_or_refused_by_its_variable(read):
    assert read().backup is None
    assert read(RLHF_DEMO_BACKUP="").backup is None
    assert read(RLHF_DEMO_BACKUP="ann/kept").backup == "ann/kept"
    with pytest.raises(ConfigError, match=r"RLHF_DEMO_BACKUP: 'kept' is not a repository's name"):
        read(RLHF_DEMO_BACKUP="kept")


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--port=80", 2)])
def test_page_takes_no_argument_and_says_where_its_settings_are(tmp_path, argument, code):
    ended = subprocess.run(
        [sys.executable, REPOSITORY / "app.py", argument],
        env=os.environ | {"RLHF_DEMO_PASSWORD": "teach", "RLHF_DEMO_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == code and "password of 8" not in ended.stderr
    assert "usage: app.py" in ended.stdout + ended.stderr
    assert code or "docs/settings.md" in ended.stdout
