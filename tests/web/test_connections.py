"""What the app says where it cannot start: one sentence, exit code 2, no traceback."""

import os
import socket
import sqlite3
from contextlib import closing
from unittest.mock import patch

import pytest

from app import main
from rlhf_demo.ui.shared import _make_folder
from rlhf_demo.web import connections


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Start the app over a folder of runs; return the one line that it says."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("RLHF_DEMO_RUNS", str(tmp_path / "runs"))
    before = os.umask(0o022)  # main() sets its own

    def start():
        with patch.dict(os.environ):
            assert main() == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and "Traceback" not in line
        return line

    yield start
    os.umask(before)


def test_file_in_place_of_the_folder_of_runs(refused, tmp_path):
    (tmp_path / "runs").write_text("a note")
    assert "cannot be" in (line := refused()) and "RLHF_DEMO_RUNS" in line


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is read-only for root")
def test_folder_of_runs_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    assert "cannot be written" in refused()


def test_votes_that_are_no_database(refused, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "votes.db").write_text("Dear diary, " * 1000)
    assert "is damaged (file is not a database): move it away" in refused()


def test_folder_of_runs_that_an_earlier_version_left_open_is_closed_to_other_accounts(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o755)
    _make_folder(tmp_path / "runs")
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700
    (tmp_path / "runs").chmod(0o1777)  # everybody's, as /tmp is: not ours to close
    _make_folder(tmp_path / "runs")
    assert (tmp_path / "runs").stat().st_mode & 0o7777 == 0o1777


def test_folder_for_files_that_is_a_link(refused, tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "rlhf-demo-served").symlink_to(tmp_path)
    assert "rlhf-demo-served is a link" in refused()


def test_votes_that_were_cut_off(refused, tmp_path):
    (tmp_path / "runs").mkdir()
    file = tmp_path / "runs" / "votes.db"
    with closing(sqlite3.connect(file)) as other:
        other.executescript(
            "CREATE TABLE notes (words TEXT); INSERT INTO notes VALUES (hex(zeroblob(30000)));"
        )
    file.write_bytes(file.read_bytes()[:20_000])
    line = refused()
    assert "is damaged" in line and "put your copy in its place" in line


def test_folder_in_place_of_the_votes(refused, tmp_path):
    (tmp_path / "runs" / "votes.db").mkdir(parents=True)
    assert "votes.db is not a file: this page needs one there, so move it away" in refused()


@pytest.mark.parametrize("server_name", ["127.0.0.1", "0.0.0.0"])
def test_port_that_another_program_uses(refused, monkeypatch, server_name):
    """Gradio would take the next free one, where no proxy and no student looks for the page."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("GRADIO_SERVER_NAME", server_name)
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
        line = refused()
    assert f"cannot listen on port {port} of {server_name} (" in line and "in use" in line
    connections.check_port(server_name, port)  # now it is free
    connections.check_port(server_name, None)


@pytest.mark.parametrize(("port", "told"), [("0", "from 1 up"), ("99999", "must be 0-65535")])
def test_port_that_is_none(refused, monkeypatch, port, told):
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    assert port in (line := refused()) and told in line
