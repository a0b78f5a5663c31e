"""Which judge fits a reward: whoever labelled the pairs it learned from."""

import pytest

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


def test_a_rater_that_needs_more_than_its_name_is_not_taken(tmp_path):
    pairs = run_of(tmp_path / "pairs", "pairs", rater="module:function")
    (tmp_path / "pairs" / "pairs.jsonl").write_text("")
    reward = run_of(tmp_path / "reward", "reward", data=pairs)
    assert labeller(reward) == "module:function" and judge_of("auto", reward) == "none"


@pytest.mark.parametrize("named", ["none", "word-judge", "runs/other"])
def test_a_judge_that_is_named_is_taken(named):
    assert judge_of(named, "reward-mini") == named
