"""The strip on top of every page."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.ui.panels.nav import Strip
from tests.vote_page import fake, new_jobs, people_vote, shared  # noqa: F401  (fixtures among them)


def test_strip_counts_the_votes(shared, store):
    def line():
        return Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"][1]["line"]

    assert line() == "say what you prefer"
    people_vote(store, 1, people=1)
    assert line() == "1 vote so far"


def test_strip_counts_every_method_as_the_third_stage(shared, store):
    run = shared.jobs.start("grpo", GRPOConfig(), title="", secret="ann")
    stages = Strip(shared.jobs, store, ModelCache()).strip_state(0)["stages"]
    third = next(stage for stage in stages if stage["tab"] == "ppo")
    assert third["run"] == run and third["line"] == "queued, position 1"
    assert next(stage for stage in stages if stage["tab"] == "reward model")["run"] == ""
