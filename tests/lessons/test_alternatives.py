"""The alternatives: the record decides, and a tie is a tie."""

from rlhf_demo.evaluation.frontier import judge_view
from rlhf_demo.lessons import alternatives
from rlhf_demo.runs.frontier import read_frontier


def test_the_lesson_shows_what_compare_shows(models):
    look = alternatives.look(models, {})
    assert look["levels"] == judge_view(read_frontier(), "fluency-judge")["levels"]
    assert [arm for arm, _ in look["arms"]] == ["ppo", "rloo", "grpo", "dpo", "sft", "best-of-n"]


def test_the_winner_is_the_highest_unless_it_ties(models):
    result = alternatives.outcome(models)
    level = next(one for one in alternatives.look(models, {})["levels"] if one["kl"] == 2)
    best = max(level["wins"], key=lambda arm: level["wins"][arm]["mean"])
    tied = [one for one in level["meetings"] if best in one["arms"] and one["tie"]]
    assert result["answer"] == (4 if tied else alternatives.PLACES[best])
    assert level["sentence"] in result["result"]


def test_a_tie_is_found_for_the_best_only():
    apart = {"arms": ("ppo", "best-of-n"), "tie": False}
    together = {"arms": ("ppo", "dpo"), "tie": True}
    assert not alternatives.is_tied({"meetings": [apart, together]}, "best-of-n")
    assert alternatives.is_tied({"meetings": [apart, together]}, "dpo")
