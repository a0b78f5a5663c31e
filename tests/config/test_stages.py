"""The kinds of run: one row each."""

import importlib

import pytest

from rlhf_demo.config.stages import STAGES


def test_each_row_stands_under_its_kind_after_those_that_it_needs():
    assert all(stage.kind == kind for kind, stage in STAGES.items())
    needed = [kind for kind in STAGES if kind in ("base", "rater", "pairs", "reward", "ppo")]
    assert needed == ["base", "rater", "pairs", "reward", "ppo"]


@pytest.mark.parametrize("name", ["command", "config", "title", "entry", "help"])
def test_no_two_stages_share(name):
    assert len({getattr(stage, name) for stage in STAGES.values()}) == len(STAGES)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_functions_that_a_row_names_are_there(stage):
    for name in filter(None, (stage.entry, stage.summary)):
        module, _, attribute = name.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_first_preset_changes_nothing():
    """It is the default, so that a run without a preset is the run with the first one."""
    for stage in STAGES.values():
        assert not stage.presets or next(iter(stage.presets.values())).options == {}
