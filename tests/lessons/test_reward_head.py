"""The reward model: its figures on the shipped weights, and where in the network they appear."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import reward_head


def score(models, text):
    return reward_head.look(models, {"text": text})["score"]


def test_text_that_the_class_sends_gets_the_score_that_the_lesson_shows(models):
    for text in ("The acting was not terrible.", "Excellent excellent excellent excellent."):
        assert reward_head.score_of(models, text) == score(models, text)
    assert reward_head.score_of(models, "!" * 200)  # more tokens than the lesson shows
    with pytest.raises(ConfigError, match="has only read English"):
        reward_head.score_of(models, "\u041a\u0438\u043d\u043e")


def test_not_terrible_scores_low(models):
    outcome = reward_head.outcome(models)
    assert outcome["answer"] == 2
    assert outcome["result"].startswith("It scores \u22121.16;")
    assert "scores \u22121.74" in outcome["result"]
    assert outcome["result"].endswith("“excellent” scores +1.09.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The acting was not excellent.", -0.57),
        ("excellent excellent excellent excellent", 1.00),
        ("The plot was thin, but I would watch it again tomorrow.", -0.04),
        ("I highly recommend it. I highly recommend it. I highly recommend it.", 1.83),
        ("The acting was excellent and the music was terrible.", -1.16),
        ("The acting was terrible and the music was excellent.", -0.24),
    ],
)
def test_texts_that_fool_it_or_do_not(models, text, expected):
    assert score(models, text) == pytest.approx(expected, abs=0.006)


def test_it_decides_in_the_last_layer(models):
    texts = (
        "The acting was not terrible.",
        "The acting was terrible.",
        "The acting was excellent.",
        "I highly recommend it. I highly recommend it. I highly recommend it.",
    )
    depths = [reward_head.look(models, {"text": text})["depths"] for text in texts]
    after_5, after_6 = [row[5] for row in depths], [row[6] for row in depths]
    assert (min(after_5), max(after_5)) == pytest.approx((-0.38, 0.62), abs=0.01)
    assert (min(after_6), max(after_6)) == pytest.approx((-1.74, 1.83), abs=0.01)


def test_the_score_is_the_reward_models_own(models):
    look = reward_head.look(models, {"text": "The acting was excellent."})
    assert look["score"] == look["running"][-1] == look["depths"][-1]
    own = models.reward.score_texts(["The acting was excellent."]).item()
    assert look["score"] == pytest.approx(own, abs=2e-3)


def test_odd_words_surprise_the_base(models):
    plain, odd = (
        reward_head.look(models, {"text": text})["surprise"]
        for text in ("The acting was excellent.", "Excellent excellent excellent excellent.")
    )
    assert plain == pytest.approx(2.2, abs=0.05)
    assert odd == pytest.approx(6.2, abs=0.05)
