"""The names of what can score texts, and what people are told of each."""

from rlhf_demo.config.scorers import describe, second_judge


def test_describe_calls_the_star_rater_simulated():
    assert describe("longer") == "rule: the longer response wins"
    assert describe("star-rater").startswith("simulated judge")
    assert describe("word-judge").startswith("simulated judge of another family")
    assert describe("fluency-judge").startswith("simulated judge of sentiment and writing")
    assert describe("pack.rewards:score") == "Python function pack.rewards:score"
    assert describe("runs/reward") == "model runs/reward: its score decides"


def test_second_judge_is_never_the_first_and_shares_no_network_with_it():
    assert second_judge("star-rater") == "word-judge"
    assert second_judge("runs/reward") == "word-judge"
    assert second_judge("fluency-judge") == "word-judge"
    assert second_judge("word-judge") == "star-rater"
