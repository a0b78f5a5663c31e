"""What the gate makes of answers that pip-audit 2.10.1 gives, here cut short."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "audit.py"
SAFE = {"name": "segno", "version": "1.6.6", "vulns": []}
HOLED = {
    "name": "gradio",
    "version": "4.0.0",
    "vulns": [{"id": "PYSEC-2024-1", "fix_versions": ["4.19.2"], "aliases": ["CVE-2024-1"]}],
}
UNKNOWN = {
    "name": "torch",
    "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)",
}


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_package_without_a_known_vulnerability_passes(audit):
    assert audit.judged([SAFE]) == (["pip-audit: 1 of 1 packages audited"], False)


def test_known_vulnerability_fails_the_gate_and_names_the_release_that_mends_it(audit):
    lines, found = audit.judged([SAFE, HOLED])
    assert found
    assert lines[1:] == ["gradio 4.0.0: PYSEC-2024-1: fixed in 4.19.2"]


@pytest.mark.parametrize("name", ["PYSEC-2024-1", "CVE-2024-1"])
def test_accepted_vulnerability_is_told_with_its_reason(audit, name, monkeypatch):
    monkeypatch.setitem(audit.ACCEPTED, name, "nobody can upload here")
    lines, found = audit.judged([HOLED])
    assert not found
    assert lines[1:] == ["gradio 4.0.0: PYSEC-2024-1: accepted: nobody can upload here"]


def test_what_could_not_be_audited_is_named(audit):
    lines, found = audit.judged([UNKNOWN, SAFE])
    assert not found
    assert lines == [
        "pip-audit: 1 of 2 packages audited",
        "pip-audit skipped, PyPI has no such data here: torch",
    ]


@pytest.mark.parametrize(
    ("out", "err", "code", "said"),
    [
        ("", "ERROR: Connection refused\n", 0, "it got no data (ERROR: Connection refused)"),
        ("", "", 0, "it got no data (no reason given)"),
        ('{"dependencies": [], "fixes": []}', "", 0, "0 of 0 packages audited"),
    ],
)
def test_audit_without_network_is_skipped_by_name(audit, out, err, code, said, monkeypatch, capsys):
    answer = subprocess.CompletedProcess([], 1, out, err)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(sys, "argv", ["audit.py", "shipped.txt"])
    assert audit.main() == code
    assert said in capsys.readouterr().out
