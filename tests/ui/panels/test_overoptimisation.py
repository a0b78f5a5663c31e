"""The section on over-optimisation: which run it shows, what it says of it, who may stop it."""

import pytest

from rlhf_demo.config.overoptimise import OveroptimiseConfig
from rlhf_demo.errors import JobError
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import payloads
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels import overoptimisation as module
from rlhf_demo.ui.panels.overoptimisation import QUICK, SLOW, Overoptimisation
from rlhf_demo.ui.parts import answering
from rlhf_demo.ui.shared import Shared
from tests.declared import misfits
from tests.fake_jobs import HERE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def section(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 0.0)
    monkeypatch.setattr(module, "STATE_SECONDS", 0.0)
    shared = Shared.open(Settings(runs=tmp_path / "runs"))
    return Overoptimisation(shared)


def put(section, run_id, rows, status=Status.FINISHED):
    """Make a run on the command line, so to speak, with rows of PPO."""
    config = OveroptimiseConfig(train_pairs=400).to_dict()
    run = Run.create(section.jobs._folders.root / run_id, "overoptimise", config)
    run.append("metrics", rows)
    run.set_status(status)
    return run


def row(step, kl, score, judge):
    return {
        "step": step, "objective/kl": kl, "objective/score": score, "judge/score": judge,
        "time/step_seconds": 1.0,
    }  # fmt: skip


def test_without_a_run_there_is_nothing_but_the_record(section):
    state = section.overoptimisation({"run": ""})
    assert state == {"run": None, "runs": [], "study": None, "phase": "", "ask_again": SLOW}
    assert list(misfits(state, payloads.OveroptimisationState)) == []


def test_a_run_is_shown_with_its_points_as_they_come(section):
    run = put(section, "overoptimise-a", [row(1, 0.0, 0.5, -0.5)])
    state = section.overoptimisation({"run": "overoptimise-a"})
    assert list(misfits(state, payloads.OveroptimisationState)) == []
    assert state["study"]["pairs"] == 400
    assert state["study"]["ppo"]["judge"]["points"] == [(0.0, -0.5)]
    run.append("metrics", [row(2, 9.0, 1.5, 2.5)])
    points = section.overoptimisation({"run": "overoptimise-a"})["study"]["ppo"]["proxy"]["points"]
    assert points == [(0.0, 0.5), (3.0, 1.5)]


def test_runs_are_listed_while_the_record_is_shown_though_one_is_damaged(section):
    put(section, "overoptimise-a", [{"step": 1, "objective/kl": "much"}])
    state = section.overoptimisation({"run": ""})
    listed = [{"id": "overoptimise-a", "label": "overoptimise-a (finished)"}]
    assert (state["runs"], state["run"]) == (listed, None)


def test_unknown_run_and_damaged_files_get_a_sentence(section):
    with pytest.raises(JobError, match="there is no run 'overoptimise-x' here"):
        section.overoptimisation({"run": "overoptimise-x"})
    put(section, "overoptimise-a", [{"step": 1, "objective/kl": "much"}])
    answer = answering(section.overoptimisation)({"run": "overoptimise-a"})
    assert answer == {"error": "the files of overoptimise-a are damaged: choose another run"}


def test_button_queues_a_run_that_its_visitor_alone_may_stop(section):
    answer = section.start(HERE, 400, 3, "ann")
    run = answer["run"]
    options = section.jobs.find(run).config["options"]
    assert answer["kind"] == "overoptimise"
    assert options == OveroptimiseConfig(train_pairs=400, seed=3).to_dict()
    state = section.overoptimisation({"run": run, "secret": "ann"})
    assert state["run"]["mine"] and state["ask_again"] == QUICK
    assert state["run"]["title"] == "gpt2-mini pushed too far, 400 pairs"
    assert state["run"]["command"] == (
        "python -m rlhf_demo overoptimise --run-dir runs/again --train-pairs 400 --seed 3"
    )
    assert not section.overoptimisation({"run": run, "secret": "eve"})["run"]["mine"]


@pytest.mark.parametrize(
    ("pairs", "seed", "sentence"),
    [
        (7, 0, "train pairs is 7: the lowest value is 8"),
        (None, 0, "train pairs is empty: give a number"),
        ("many", 0, "train pairs is 'many': give a whole number"),
        (100, 1.5, "seed is 1.5: give a whole number"),
    ],
)
def test_bad_input_gets_one_sentence(section, pairs, seed, sentence):
    assert section.start(HERE, pairs, seed, "ann") == {"error": sentence}
