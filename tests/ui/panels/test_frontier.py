"""The section on all methods at equal KL: what its handlers answer."""

import pytest

from rlhf_demo.errors import JobError
from rlhf_demo.server.payloads import ShownFrontier
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.frontier import FrontierSection
from rlhf_demo.ui.shared import Shared
from tests.declared import misfits


@pytest.fixture
def section(tmp_path):
    return FrontierSection(Shared.open(Settings(runs=tmp_path / "runs")))


def test_the_shipped_record_is_shown_as_declared(section):
    shown = section.frontier(0)
    assert list(misfits(shown, ShownFrontier)) == []
    assert shown["frontier"]["base"] == "gpt2-mini"
    assert section.own_runs()["choices"] == []


def test_a_measurement_yields_its_progress_and_then_all_methods(section, monkeypatch):
    progress = {"run": "ppo-x7", "done": 4, "total": 8}
    monkeypatch.setattr(section.shared.frontier, "measure", lambda run: iter([progress]))
    first, last = section.measure("ppo-x7")
    assert first == {"progress": progress}
    assert list(misfits(last, ShownFrontier)) == []


@pytest.mark.parametrize("run", [None, ""])
def test_no_run_is_one_sentence(section, run):
    assert list(section.measure(run)) == [
        {"error": "no run is chosen: choose a finished run from the list"}
    ]


def test_run_that_cannot_be_measured_is_one_sentence(section, monkeypatch):
    def refuse(run):
        raise JobError("--this is wrong")
        yield

    monkeypatch.setattr(section.shared.frontier, "measure", refuse)
    assert list(section.measure("ppo-x7")) == [{"error": "this is wrong"}]
