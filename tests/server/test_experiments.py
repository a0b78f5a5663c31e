"""Experiments: their runs, who shares them, and the answer that comes out of their files."""

from pathlib import Path

import pytest

from rlhf_demo.config.experiments import EXPERIMENTS
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.errors import ConfigError, JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.queue import Order
from rlhf_demo.runs.run import Status
from rlhf_demo.server import payloads
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.experiments import Experiments
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import EXAMPLES
from tests.declared import misfits
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)


@pytest.fixture
def experiments(new_jobs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("rlhf_demo.jobs.queue.OVERVIEW_SECONDS", 0.0)
    jobs = new_jobs(scheduling=False, examples=EXAMPLES)
    return Experiments(jobs, Choices(Settings(runs=tmp_path / "runs"), jobs))


def own(experiments):
    return [row for row in experiments.jobs.overview() if not row["example"]]


def options_of(experiments, run):
    return experiments.jobs.find(run).config["options"]


def finish(experiments, run_id, rows):
    run = experiments.jobs.find(run_id)
    run.append("metrics", rows)
    run.set_status(Status.FINISHED)


def steady(metric, value):
    return [{"step": step, metric: value} for step in range(1, 6)]


def test_list_has_every_question_with_where_the_default_run_ended(experiments):
    """In the shipped record, the last five KLs are 2.57, 2.83, 2.50, 2.82 and 2.83."""
    listed = experiments.listed()
    assert [each["id"] for each in listed] == list(EXPERIMENTS)
    for each in listed:
        assert list(misfits(each, payloads.ListedExperiment)) == []
        assert each["yardstick"].startswith("In the default run, the ")
    assert listed[0]["yardstick"] == (
        "In the default run, the KL from the reference ended at 2.71 nats per response."
    )


def test_experiment_without_pairs_of_its_own_is_one_run(experiments):
    run = experiments.start("no-kl", "ann", "here")
    [row] = own(experiments)
    assert (row["id"], row["title"], row["experiment"]) == (
        run, "Experiment: KL penalty 0", "no-kl",
    )  # fmt: skip
    assert (
        options_of(experiments, run)
        == PPOConfig(kl_coef=0.0, kl_target=0.0, kl_budget=200.0).to_dict()
    )


def test_experiment_with_rloo_is_a_run_of_rloo(experiments):
    run = experiments.start("rloo", "ann", "here")
    assert run.startswith("rloo-")
    assert options_of(experiments, run) == RLOOConfig().to_dict()


def test_experiment_with_pairs_of_its_own_trains_their_reward_model_first(experiments):
    run = experiments.start("flipped-20", "ann", "here")
    ppo, reward = own(experiments)
    assert ppo["id"] == run
    assert read_json(experiments.jobs.find(run).folder / "job.json")["after"] == reward["id"]
    assert reward["title"] == "Experiment: 20% label noise, its reward model"
    assert reward["experiment"] == ""  # the question is about the PPO run
    assert options_of(experiments, reward["id"]) == RewardConfig(label_noise=0.2).to_dict()
    folder = options_of(experiments, run)["reward"]
    assert folder.endswith(reward["id"])
    assert options_of(experiments, run) == PPOConfig(reward=folder).to_dict()


def test_visitors_share_a_run_that_waits_runs_or_has_finished(experiments):
    run = experiments.start("flipped-20", "ann", "here")
    assert experiments.start("flipped-20", "eve", "there") == run
    finish(experiments, run, steady("judge/score", 1.0))
    assert experiments.start("flipped-20", "eve", "there") == run
    assert experiments.start("flipped-40", "eve", "there") != run
    assert len(own(experiments)) == 4


def test_run_that_visitors_share_on_a_public_page_is_not_stopped_by_one_of_them(
    new_jobs,  # noqa: F811
    tmp_path,
):
    jobs = new_jobs(scheduling=False, limits=PUBLIC)
    experiments = Experiments(jobs, Choices(Settings(runs=tmp_path / "runs"), jobs))
    run = experiments.start("flipped-20", "ann", "here")
    assert experiments.start("flipped-20", "eve", "there") == run
    reward = read_json(jobs.find(run).folder / "job.json")["after"]
    for shared in (run, reward):
        for change in (jobs.stop, jobs.delete):
            with pytest.raises(JobError, match="belongs to someone else"):
                change(shared, "ann")


@pytest.mark.parametrize("status", [Status.FAILED, Status.STOPPED])
def test_run_that_failed_or_was_stopped_is_made_again(experiments, status):
    run = experiments.start("no-kl", "ann", "here")
    experiments.jobs.find(run).set_status(status)
    assert experiments.state("no-kl") == {"run": None, "answer": None, "measured": ""}
    assert experiments.start("no-kl", "ann", "here") != run


def test_run_with_other_options_is_none_of_the_experiments(experiments):
    """As if another version, whose default was another, had started it."""
    changes = EXPERIMENTS["no-kl"].options

    def start(kind, options):
        marked = Order(kind, options, "", "no-kl")
        return experiments.jobs.start_in_turn([lambda _: marked], secret="ann")[0]

    start("ppo", PPOConfig(**changes, learning_rate=1e-4))
    start("rloo", RLOOConfig(**changes))
    assert experiments.run_of("no-kl") is None
    same = start("ppo", PPOConfig(**changes))
    assert experiments.run_of("no-kl")["id"] == same


def test_run_whose_reward_model_learned_otherwise_is_none_of_the_experiments(experiments):
    run = experiments.start("pairs-100", "ann", "here")
    assert experiments.run_of("pairs-100")["id"] == run
    reward = Path(experiments.jobs.options(run)["reward"])
    config = read_json(reward / "config.json")
    config["options"]["train_pairs"] = 200
    write_json(reward / "config.json", config)
    assert experiments.run_of("pairs-100") is None


def test_answer_comes_once_the_run_has_finished(experiments):
    assert experiments.state("no-kl")["run"] is None
    run = experiments.start("no-kl", "ann", "here")
    experiments.jobs.find(run).append("metrics", steady("objective/kl", 55.0)[:2])
    state = experiments.state("no-kl")
    assert (state["run"]["id"], state["answer"], state["measured"]) == (run, None, "")
    finish(experiments, run, steady("objective/kl", 55.0)[2:])
    state = experiments.state("no-kl")
    assert list(misfits(state, payloads.ExperimentState)) == []
    assert (state["answer"], state["measured"]) == (
        2,
        "The KL from the reference ended at 55.0 nats per response, 20.3 times the default "
        "run\u2019s 2.71.",
    )


def test_accuracies_of_both_reward_models_are_told_while_they_are_there(experiments):
    run = experiments.start("flipped-20", "ann", "here")
    finish(experiments, run, steady("judge/score", 0.1))
    assert "right on" not in experiments.state("flipped-20")["measured"]
    reward = own(experiments)[1]["id"]
    write_json(experiments.jobs.find(reward).folder / "report.json", {"accuracy": 0.625})
    state = experiments.state("flipped-20")
    assert state["answer"] == 0
    assert state["measured"].endswith(
        "The reward model was right on 62% of the held-out pairs; the default one is right on 87%."
    )


@pytest.mark.parametrize("rows", [[], [{"step": 1}], [{"step": 1, "objective/kl": "far"}]])
def test_finished_run_without_usable_figures_gets_a_sentence(experiments, rows):
    run = experiments.start("no-kl", "ann", "here")
    finish(experiments, run, rows)
    with pytest.raises(JobError, match=rf"^the files of {run} are damaged: delete the run and"):
        experiments.state("no-kl")


@pytest.mark.parametrize("name", ["", "no-such", None, 3, ["no-kl"], {}, "x" * 5000])
def test_unknown_experiment_gets_one_sentence(experiments, name):
    for ask in (experiments.state, lambda name: experiments.start(name, "ann", "here")):
        with pytest.raises(ConfigError, match=r"^there is no experiment .{2,64}: choose one of"):
            ask(name)
    assert own(experiments) == []


def test_start_without_a_secret_starts_nothing(experiments):
    with pytest.raises(JobError, match="this request has no secret: reload the page"):
        experiments.start("flipped-20", "", "here")
    assert own(experiments) == []
