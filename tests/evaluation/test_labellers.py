"""Which judge fits a reward: whoever labelled the pairs it learned from."""

import json

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.labellers import judge_of, labeller
from rlhf_demo.runs.run import Run


def run_of(folder, kind, **options):
    Run.create(folder, kind, options)
    return str(folder)


def test_shipped_reward_and_any_trained_on_shipped_pairs_were_taught_by_the_star_rater(tmp_path):
    assert labeller("reward-mini") == "star-rater"
    assert labeller(run_of(tmp_path / "mine", "reward", data="shipped")) == "star-rater"


def test_reward_on_pairs_of_a_run_was_taught_by_that_runs_rater(tmp_path):
    pairs = run_of(tmp_path / "pairs", "pairs", rater="longer")
    (tmp_path / "pairs" / "pairs.jsonl").write_text("")
    reward = run_of(tmp_path / "reward", "reward", data=pairs)
    assert labeller(reward) == judge_of("auto", reward) == "longer"


def test_nobody_is_known_to_have_taught_votes_rules_and_functions(tmp_path):
    votes = run_of(tmp_path / "votes", "reward", data=str(tmp_path / "votes.jsonl"))
    for reward in (votes, "longer", "rewards:count_commas", "somebody/classifier", "gpt2-mini"):
        assert labeller(reward) is None
        assert judge_of("auto", reward) == "none"


def test_a_rater_as_reward_is_judged_by_the_other_one():
    assert judge_of("auto", "star-rater") == "word-judge"
    assert judge_of("auto", "word-judge") == "star-rater"
    assert judge_of("auto", "fluency-judge") == "word-judge"
    assert judge_of("auto", "harshness") == "word-judge"


def test_a_rater_that_needs_more_than_its_name_is_not_taken(tmp_path):
    pairs = run_of(tmp_path / "pairs", "pairs", rater="module:function")
    (tmp_path / "pairs" / "pairs.jsonl").write_text("")
    reward = run_of(tmp_path / "reward", "reward", data=pairs)
    assert labeller(reward) == "module:function" and judge_of("auto", reward) == "none"


@pytest.mark.parametrize("named", ["none", "word-judge", "runs/other"])
def test_a_judge_that_is_named_is_taken(named):
    assert judge_of(named, "reward-mini") == named


@pytest.mark.parametrize("options", [[1], "x", {"data": ["x"]}, {"data": {"x": 1}}, {"data": 7}])
def test_odd_options_of_a_copied_run_teach_nobody(tmp_path, options):
    reward = run_of(tmp_path / "reward", "reward")
    config = json.loads((tmp_path / "reward" / "config.json").read_text())
    (tmp_path / "reward" / "config.json").write_text(json.dumps(config | {"options": options}))
    assert labeller(reward) is None


def test_long_config_of_a_copied_run_is_not_read(tmp_path):
    """The board asks at each poll: 16 MB of nested lists took 1.5 s each time."""
    reward = run_of(tmp_path / "reward", "reward", data="shipped")
    config = tmp_path / "reward" / "config.json"
    config.write_text(config.read_text()[:-2] + f', "x": "{"x" * 2**20}"}}')
    with pytest.raises(DataError, match="more than 1 MB"):
        _ = Run(tmp_path / "reward").config
    assert labeller(reward) is None
