"""What a frontier's record says of a run, read from its folder."""

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import DataError, DemoError, JobError
from rlhf_demo.evaluation import frontier_runs as module
from rlhf_demo.evaluation.frontier_runs import describe_run, labels_of, models_of, reward_cost
from rlhf_demo.runs.run import Run, Status


def test_models_of_a_long_run_are_evenly_spread_and_end_with_the_last(tmp_path):
    run = Run.create(tmp_path / "r", "ppo", {})
    run.append("metrics", [{"step": step} for step in range(1, 11)])
    for step in range(1, 11):
        run.step_folder(step).mkdir(parents=True)
    assert [step for step, _ in models_of(run)] == list(range(1, 11))
    assert [step for step, _ in models_of(run, 4)] == [2, 5, 8, 10]
    assert [step for step, _ in models_of(run, 1)] == [10]
    assert models_of(run, 4)[-1] == (10, run.model_folder)


@pytest.mark.parametrize(
    ("kind", "options", "status", "sentence"),
    [
        ("ppo", {"temperature": 1, "policy": "p"}, Status.STOPPED, "mine is stopped: wait until"),
        (
            "reward",
            {"model": "gpt2-mini"},
            Status.FINISHED,
            "mine is a reward run: name runs of PPO",
        ),
        ("base", {"model": "new"}, Status.FINISHED, "mine is a base run: name runs of PPO"),
    ],
)
def test_run_that_cannot_be_measured_is_refused(tmp_path, kind, options, status, sentence):
    run = Run.create(tmp_path / "mine", kind, options)
    run.set_status(status)
    with pytest.raises(JobError, match=sentence):
        describe_run(run)


@pytest.mark.parametrize(
    ("options", "rows", "sentence"),
    [
        ({}, [{"steps": 1}], "mine/metrics.jsonl line 1 is not a row of a run"),
        ({}, [{"step": "last"}], "mine/metrics.jsonl line 1 is not a row of a run"),
        (5, [{"step": 1}], "mine has damaged options or metrics"),
        ({"batch_size": "many"}, [{"step": 1}], "--batch-size is 'many': give a whole number"),
        ({"other": 1}, [{"step": 1}], "this run was made by another version"),
    ],
)
def test_damaged_run_is_refused_with_one_sentence(tmp_path, options, rows, sentence):
    run = Run.create(tmp_path / "mine", "ppo", options)
    run.append("metrics", rows)
    run.set_status(Status.FINISHED)
    with pytest.raises(DemoError, match=sentence):
        describe_run(run)


@pytest.mark.parametrize(
    "options", [{"reward": "x" * 300}, {"reward": "/" + "x" * 300}], ids=["name", "path"]
)
def test_name_that_no_file_can_have_is_no_failure(tmp_path, options):
    assert labels_of(options) is None
    assert labels_of({"data": options["reward"], "train_pairs": 5}) is None


BLOATED = b'{"step": 7, "x": [' + b"[]," * 10_000 + b"[]]}\n"
"""In memory it takes 25 times its bytes."""


def test_only_the_end_of_metrics_is_read(tmp_path):
    run = Run.create(tmp_path / "mine", "ppo", PPOConfig().to_dict())
    (run.folder / "metrics.jsonl").write_bytes(BLOATED * 3 + b'{"step": 7}\n' * 6_000)
    run.set_status(Status.FINISHED)
    assert describe_run(run)["cost"]["read"] == 7 * 64 * 2
    assert models_of(run) == [(7, run.model_folder)]
    (run.folder / "metrics.jsonl").write_bytes(BLOATED)
    with pytest.raises(DataError, match=r"mine/metrics.jsonl line 1 is not a row of a run"):
        describe_run(run)


def test_votes_of_a_large_file_are_not_counted(tmp_path, monkeypatch):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "split": "train"}]
    pairs = Run.create(tmp_path / "pairs", "pairs", {})
    pairs.append("pairs", rows)
    options = {"data": str(pairs.folder), "train_pairs": 5}
    assert labels_of(options) == 1
    monkeypatch.setattr(module, "MOST_COUNTED", 10)
    assert labels_of(options) is None


def test_run_of_an_earlier_version_has_todays_defaults(tmp_path):
    run = Run.create(tmp_path / "mine", "dpo", {"beta": 0.5, "seed": 3})
    run.append("metrics", [{"step": 156}])
    run.set_status(Status.FINISHED)
    described = describe_run(run)
    assert (described["setting"], described["seed"]) == ("beta 0.5", 3)
    assert described["cost"]["read"] == 2482


def test_labels_are_those_of_the_pairs_or_of_the_reward_model(tmp_path):
    assert labels_of({"reward": "reward-mini"}) == 1241
    assert labels_of({"reward": "star-rater"}) is None
    assert labels_of({"reward": str(tmp_path)}) is None
    shipped = {"data": "shipped", "reward": "longer"}
    assert labels_of({**shipped, "train_pairs": 1242}) == 1241
    assert labels_of({**shipped, "train_texts": 100}) == 100
    assert labels_of({"data": "mine.jsonl", "train_pairs": 5, "reward": "reward-mini"}) is None


def test_cost_of_the_shipped_reward_model_is_that_of_its_pairs():
    assert reward_cost() == {"labels": 1241, "generated": 0, "reward_calls": 0, "read": 2482}
    assert RewardConfig().epochs == 1
