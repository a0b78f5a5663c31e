"""The alternatives: the record decides, and a tie is a tie."""

from rlhf_demo.evaluation.frontier import judge_view
from rlhf_demo.lessons import alternatives
from rlhf_demo.runs.frontier import read_frontier


def test_the_lesson_shows_what_compare_shows(models):
    look = alternatives.look(models, {})
    assert look["levels"] == judge_view(read_frontier(), "fluency-judge")["levels"]
    assert [arm for arm, _ in look["arms"]] == ["ppo", "rloo", "grpo", "dpo", "sft", "best-of-n"]


def test_the_winner_has_the_most_wins_and_is_apart_from_another(models):
    result = alternatives.outcome(models)
    level = next(one for one in alternatives.look(models, {})["levels"] if one["kl"] == 2)
    best = max(level["wins"], key=lambda arm: level["wins"][arm]["mean"])
    meetings = [one for one in level["meetings"] if best in one["arms"]]
    assert any(not one["tie"] for one in meetings)
    assert result["answer"] == alternatives.PLACES[best] == 3
    assert "Not shown to differ from best-of-N: RLOO." in result["result"]


def test_nobody_wins_where_all_tie_with_the_best(models, monkeypatch):
    level = next(one for one in alternatives.look(models, {})["levels"] if one["kl"] == 2)
    tied = level | {"meetings": [one | {"tie": True} for one in level["meetings"]]}
    monkeypatch.setattr(alternatives, "level_of", lambda runs, judge, kl: tied)
    assert alternatives.outcome(models)["answer"] == alternatives.NOBODY


def test_a_tie_is_found_whichever_comes_first():
    level = {
        "meetings": [
            {"arms": ("ppo", "best-of-n"), "tie": False},
            {"arms": ("ppo", "dpo"), "tie": True},
        ]
    }
    assert not alternatives.is_tied(level, "best-of-n", "ppo")
    assert alternatives.is_tied(level, "dpo", "ppo")
