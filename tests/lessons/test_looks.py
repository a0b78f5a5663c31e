"""What the lessons send is what is declared, whatever text they look at."""

import json

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.explain import changes, surprise
from rlhf_demo.explain.gpt2 import forward
from rlhf_demo.lessons import looks
from rlhf_demo.server.learn import module
from rlhf_demo.server.payloads import LessonTypes
from tests.declared import misfits


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_sends_what_it_declares(models, name):
    computed = module(name)
    outcome = computed.outcome(models)
    assert list(misfits(outcome, looks.Outcome)) == []
    assert 0 <= outcome["answer"] < len(LESSONS[name].answers)
    assert outcome["result"].endswith(".")
    look = computed.look(models, {})
    assert list(misfits(look, LessonTypes.__annotations__[name])) == []
    json.dumps(look, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "request_", "passes"),
    [
        ("vectors", {}, 0),
        ("loss", {}, 2),  # the text, by both models
        ("heads_off", {"heads": [3]}, 3),  # the three film sentences
        ("changed", {}, 8),  # the PPO model, the chosen layers, each of six layers
    ],
)
def test_a_later_look_measures_only_what_was_chosen(models, monkeypatch, name, request_, passes):
    module(name).look(models, request_)
    read = []

    def counted(*given, **more):
        read.append(given)
        return forward(*given, **more)

    monkeypatch.setattr(surprise, "forward", counted)
    monkeypatch.setattr(changes, "forward", counted)
    module(name).look(models, request_)
    assert len(read) == passes
