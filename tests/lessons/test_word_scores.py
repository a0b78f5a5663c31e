"""Three ways to say what a word adds: they disagree about "loved", as the running score alone."""

import pytest

from rlhf_demo.lessons import word_scores


def test_only_the_running_score_blames_loved(models):
    outcome = word_scores.outcome(models)
    assert outcome["answer"] == 2
    assert "“loved” changes the running score by \u22120.51" in outcome["result"]
    assert "The text scores +0.45 more with it" in outcome["result"]
    words = word_scores.look(models, {})["words"]
    assert words[7]["piece"] == " loved"
    assert words[7]["shapley"] == pytest.approx(0.38, abs=0.01)
    lowest = {
        way: min(words, key=lambda word: word[way])["piece"]
        for way in ("running", "left_out", "shapley")
    }
    assert lowest == {"running": " loved", "left_out": " terrible", "shapley": " terrible"}


def test_running_changes_and_shapley_values_add_up_to_the_score(models):
    look = word_scores.look(models, {"text": "The acting was not terrible."})
    assert look["exact"]
    added = look["score"] - look["empty"]
    for way in ("running", "shapley"):
        assert sum(word[way] for word in look["words"]) == pytest.approx(added, abs=0.01)
    assert sum(word["left_out"] for word in look["words"]) == pytest.approx(-0.47, abs=0.02)
