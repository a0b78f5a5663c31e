"""A step of PPO: the figures of the shipped response, worked again by hand."""

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError
from rlhf_demo.files import read_json
from rlhf_demo.lessons import ppo_step
from rlhf_demo.paths import CHECKPOINTS


def test_the_score_comes_last_and_every_token_gets_a_negative_advantage():
    look = ppo_step.look(None, {})
    assert look["prompt"] + "".join(look["tokens"][:-1]) == "This thriller is a complete mess."
    assert look["reward"] == pytest.approx([0, 0, 0, 0, -1.8461], abs=1e-3)
    assert look["value"] == [0.0] * 5
    raw = [-1.8461 * 0.95 ** (4 - t) for t in range(5)]
    by_hand = [(each + 0.0668) / 0.7676 for each in raw]  # mean and deviation of the step
    assert look["advantage"] == pytest.approx(by_hand, abs=2e-3)
    found = ppo_step.outcome(None)
    assert found["answer"] == 2
    assert found["result"].startswith("5 of 5 tokens have a negative advantage: from \u22121.87")


def test_the_clip_would_stop_the_word_that_moved_most():
    look = ppo_step.look(None, {})
    assert look["tokens"][look["asked"]] == " complete"
    assert look["ratio"][look["asked"]] == pytest.approx(0.7936, abs=1e-4)
    assert look["stopped"] == [False, True, False, False, False]
    assert not any(look["clipped"])  # it left the range after its last update


def test_a_text_without_a_stopped_token_asks_for_the_one_that_moved_most():
    look = ppo_step.look(None, {"step": 40, "sample": 3})
    assert not any(look["stopped"])
    moved = [abs(ratio - 1) for ratio in look["ratio"]]
    assert moved[look["asked"]] == max(moved)


def test_any_kept_text_can_be_looked_at():
    look = ppo_step.look(None, {"step": 20, "sample": 1})
    assert (look["prompt"], look["tokens"][0]) == ("The cast of this show was", " great")
    for odd in ({"step": 0}, {"step": 41}, {"sample": 8}, {"sample": "0"}, {"step": True}):
        with pytest.raises(ConfigError, match="choose a whole number"):
            ppo_step.look(None, odd)


def test_the_lessons_words_fit_the_record():
    lesson, look = LESSONS["ppo_step"], ppo_step.look(None, {})
    assert f"{look['score']:.1f}".replace("-", "\u2212") in lesson.before
    assert look["samples"] == 8
    options = read_json(CHECKPOINTS / "examples" / ppo_step.RUN / "config.json")["options"]
    assert options["batch_size"] == 64 and "64 responses" in lesson.caveat
