"""The fold of the experiments: what a visitor's request starts and gets."""

import pytest

from rlhf_demo.config.experiments import EXPERIMENTS
from rlhf_demo.runs.run import Status
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.experiments import ExperimentsPanel
from rlhf_demo.ui.parts import answering
from rlhf_demo.ui.shared import Shared
from tests.fake_jobs import HERE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def panel(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 0.0)
    return ExperimentsPanel(Shared.open(Settings(runs=tmp_path / "runs")))


def own(panel):
    return [row for row in panel.experiments.jobs.overview() if not row["example"]]


def test_request_starts_the_experiments_run_and_names_its_board(panel):
    answer = panel.start_experiment({"experiment": "rloo", "secret": "ann"}, HERE)
    [row] = own(panel)
    assert answer == {"run": row["id"], "kind": "rloo"}
    assert panel.experiments.jobs.may_change(row["id"], "ann")
    assert panel.experiment_state({"experiment": "rloo"})["run"]["id"] == row["id"]


def test_state_has_the_answer_of_a_finished_run(panel):
    run_id = panel.start_experiment({"experiment": "no-kl", "secret": "ann"}, HERE)["run"]
    run = panel.experiments.jobs.find(run_id)
    run.append("metrics", [{"step": 1, "objective/kl": 0.1}])
    run.set_status(Status.FINISHED)
    assert panel.experiment_state({"experiment": "no-kl"})["answer"] == 0


@pytest.mark.parametrize("name", [None, "", "all", 7, ["rloo"], {"experiment": "rloo"}])
def test_unknown_experiment_gets_one_sentence(panel, name):
    for ask in (
        answering(panel.experiment_state),
        answering(lambda request: panel.start_experiment(request, HERE)),
    ):
        error = ask({"experiment": name, "secret": "ann"})["error"]
        assert error.startswith("there is no experiment ")
        assert error.endswith(f": choose one of {', '.join(EXPERIMENTS)}")
    assert own(panel) == []


def test_request_without_a_secret_starts_nothing(panel):
    start = answering(lambda request: panel.start_experiment(request, HERE))
    sentence = "this request has no secret: reload the page"
    assert start({"experiment": "flipped-40"}) == {"error": sentence}
    assert own(panel) == []


def test_page_opens_without_the_shipped_example(panel, monkeypatch, tmp_path):
    monkeypatch.setattr(panel.experiments.jobs._folders, "examples", tmp_path)
    assert {each["yardstick"] for each in panel.experiments.listed()} == {""}
    with pytest.raises(Exception, match="there is no run 'ppo-quick'"):
        panel.experiments._measured("ppo-quick", "")
