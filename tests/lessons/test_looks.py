"""What the lessons send is what is declared, whatever text they look at."""

import json

import pytest

from rlhf_demo.config.lessons import LESSONS
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
