"""The strip on top of every page."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import pytest

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.overoptimise import OveroptimiseConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.files import write_json
from rlhf_demo.jobs.queue import Order
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.ui.panels.nav import Strip
from tests.vote_page import fake, new_jobs, people_vote, shared  # noqa: F401  (fixtures among them)
from tests.voting import new_fours, rank


def test_strip_counts_the_votes(shared, store):
    def line():
        return Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"][2]["line"]

    assert line() == "say what you prefer"
    [voter] = people_vote(store, 1, people=1)
    assert line() == "1 vote so far"
    store.rankings.add_fours(new_fours(2))
    for _ in range(2):
        rank(store, voter)
    assert line() == "1 vote, 2 rankings so far"


def test_strip_counts_every_method_as_the_third_stage(shared, store):
    run = shared.jobs.start("grpo", GRPOConfig(), title="", secret="ann")
    stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
    third = next(stage for stage in stages if stage["tab"] == "ppo")
    assert third["run"] == run and third["line"] == "queued, position 1"
    assert next(stage for stage in stages if stage["tab"] == "reward model")["run"] == ""


@pytest.mark.parametrize(
    ("step", "total", "line"),
    [
        (None, None, "running, step 1 soon"),  # its models are loading
        (0, 40, "running, step 1 soon"),  # measured before it learns
        (3, 40, "running, step 3 of 40"),
    ],
)
def test_strip_tells_how_far_a_run_is(shared, store, monkeypatch, step, total, line):
    shared.jobs.start("grpo", GRPOConfig(), title="", secret="ann")
    [row] = [row for row in shared.jobs.overview() if not row["example"]]
    row |= {"status": "running", "step": step, "total_steps": total}
    monkeypatch.setattr(shared.jobs, "overview", lambda *_: [row])
    stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
    assert next(stage for stage in stages if stage["tab"] == "ppo")["line"] == line


@pytest.mark.parametrize(
    ("experiment", "line"), [("", "score +1.2, KL 2.5 nats"), ("rloo", "finished")]
)
def test_strip_tells_no_figures_of_an_experiment(shared, store, monkeypatch, experiment, line):
    order = Order("rloo", RLOOConfig(), "", experiment)
    shared.jobs.start_in_turn([lambda _: order], secret="ann")
    [row] = [row for row in shared.jobs.overview() if not row["example"]]
    figures = {"objective/score": 1.21, "objective/kl": 2.52}
    row |= {"status": "finished", "step": 40, "figures": figures}
    monkeypatch.setattr(shared.jobs, "overview", lambda *_: [row])
    stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
    assert next(stage for stage in stages if stage["tab"] == "ppo")["line"] == line


def test_compare_says_how_far_a_reward_has_been_pushed(shared, store):
    def fourth():
        stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
        return next(stage for stage in stages if stage["tab"] == "compare")

    assert (fourth()["line"], fourth()["run"]) == ("base against PPO", "")
    run = shared.jobs.start("overoptimise", OveroptimiseConfig(), title="", secret="ann")
    assert (fourth()["line"], fourth()["run"]) == ("queued, position 1", run)


def test_list_in_place_of_an_accuracy_is_not_multiplied(shared, store, monkeypatch):
    run = shared.jobs.start("reward", RewardConfig(), title="", secret="ann")
    [row] = [row for row in shared.jobs.overview() if row["id"] == run]
    row |= {"status": "finished"}
    monkeypatch.setattr(shared.jobs, "overview", lambda *_: [row])

    def line(**report):
        write_json(shared.jobs.find(run).folder / "report.json", report)
        stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
        return next(stage for stage in stages if stage["tab"] == "reward model")["line"]

    assert line(accuracy=0.87, accuracy_low=0.85, accuracy_high=0.89) == "87% right [85, 89]"
    assert line(accuracy=0, accuracy_low=0, accuracy_high=0.6, different_pairs=3) == (
        "too few pairs to tell"
    )
    assert line(accuracy=0.87, accuracy_low=[0] * 1000, accuracy_high=0.89) == "finished"
    assert line(accuracy=0.87, accuracy_low="x", accuracy_high=0.89) == "finished"
