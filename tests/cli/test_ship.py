"""The command that makes what ships."""

import sys
from pathlib import Path

import pytest

from rlhf_demo.cli import ship


@pytest.mark.parametrize(
    ("arguments", "function", "called_with"),
    [
        (["model", "runs/ppo", "mini"], "rlhf_demo.models.export.ship", ("runs/ppo", "mini")),
        (
            ["example", "runs/ppo", "quick", "A quick run"],
            "rlhf_demo.runs.examples.ship_example",
            ("runs/ppo", "quick", "A quick run"),
        ),
    ],
)
def test_each_thing_is_made_of_what_was_named(
    monkeypatch, capsys, arguments, function, called_with
):
    calls = []
    monkeypatch.setattr(function, lambda *given: calls.append(given) or Path("checkpoints/made"))
    monkeypatch.setattr(sys, "argv", ["ship", *arguments])
    ship.main()
    assert calls == [called_with]
    assert capsys.readouterr().out == "checkpoints/made\n"


def test_comparison_is_written_where_the_page_looks_for_it(monkeypatch, capsys, tmp_path):
    path = tmp_path / "duel.json"
    monkeypatch.setattr("rlhf_demo.server.comparisons.EXAMPLE_PATH", path)
    monkeypatch.setattr("rlhf_demo.server.comparing.example_record", lambda: {"kind": "duel"})
    monkeypatch.setattr(sys, "argv", ["ship", "duel"])
    ship.main()
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text() == '{\n  "kind": "duel"\n}\n'


def test_thing_that_there_is_not_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ship", "everything"])
    with pytest.raises(SystemExit):
        ship.main()
    assert "invalid choice: 'everything'" in capsys.readouterr().err
