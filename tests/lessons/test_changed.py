"""What PPO changed: the shipped models' figures, and any choice of layers."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import changed

ALL = [1, 2, 3, 4, 5, 6]


def test_layer_1_moved_most_and_layer_6_matters_most(models):
    outcome = changed.outcome(models)
    assert outcome["answer"] == 3
    assert "layer 6 alone moves the next token most: by 0.23 nats" in outcome["result"]
    assert "The weights of layer 1 changed most" in outcome["result"]
    assert "All layers together move the next token by 1.02 nats" in outcome["result"]
    assert outcome["result"].endswith("the single effects add up to 0.47.")
    moved = changed.look(models, {})["moved"]
    assert max(max(row[:4]) for row in moved) == moved[0][1] == pytest.approx(0.065, abs=0.0005)


def test_effects_after_the_acting_was(models):
    look = changed.look(models, {})
    expected = [0.011, 0.063, 0.075, 0.070, 0.191, 0.378]
    assert look["alone"] == pytest.approx(expected, abs=0.002)
    assert look["layers"] == [6]
    assert look["chosen"] == look["alone"][5]
    assert look["all"] == pytest.approx(1.384, abs=0.005)
    for request, effect in (
        ({"layers": []}, 0),
        ({"layers": ALL}, look["all"]),
        ({"layers": ALL[:5]}, 1.05),
        ({"layers": ALL, "part": "attention"}, 0.583),
        ({"layers": ALL, "part": "feed-forward"}, 0.831),
    ):
        assert changed.look(models, request)["chosen"] == pytest.approx(effect, abs=0.005)


def test_terrible_becomes_rare(models):
    look = changed.look(models, {"layers": ALL})
    place = look["tokens"].index(" terrible")
    assert look["base"][place] == pytest.approx(0.068, abs=0.001)
    assert look["ppo"][place] == pytest.approx(0.0004, abs=0.0002)
    assert look["mixed"] == look["ppo"]
    text = changed.look(models, {"text": "The acting was terrible.", "layers": ALL})
    assert text["pieces"] == ["The", " acting", " was", " terrible", "."]
    assert text["log_ratios"][3] == pytest.approx(-5.11, abs=0.02)


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"layers": [7]}, "choose from 1 to 6"),
        ({"layers": [0]}, "choose from 1 to 6"),
        ({"layers": [True]}, "give a list of whole numbers"),
        ({"layers": "123"}, "give a list of whole numbers"),
        ({"layers": None}, "give a list of whole numbers"),
        ({"part": "mlp"}, "choose one of attention, feed-forward"),
        ({"part": ["attention"]}, "choose one of attention, feed-forward"),
    ],
)
def test_what_cannot_be_chosen_gets_a_sentence(models, odd, sentence):
    with pytest.raises(ConfigError, match=sentence):
        changed.look(models, odd)
