"""The lessons on the models in memory: found by name, computed once, refused with a sentence."""

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import attention
from rlhf_demo.server import learn as learn_module
from rlhf_demo.server import payloads
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.learn import Learn, find, listed
from rlhf_demo.server.model_cache import ModelCache
from tests.declared import misfits


@pytest.fixture(scope="module")
def model_cache():
    return ModelCache()


@pytest.fixture
def learn(model_cache):
    return Learn(model_cache, ComputeLock())


@pytest.mark.parametrize("odd", [None, "", "Attention", "../request", "looks", 3, ["attention"]])
def test_only_lessons_are_found(learn, odd):
    with pytest.raises(ConfigError, match="there is no lesson"):
        find(odd)
    for ask in (learn.outcome, learn.code, lambda name: learn.look(name, {})):
        with pytest.raises(ConfigError, match="there is no lesson"):
            ask(odd)


def test_the_same_look_is_computed_once(learn, monkeypatch):
    counted = []
    compute = attention.look
    monkeypatch.setattr(attention, "look", lambda *given: counted.append(given) or compute(*given))
    first = learn.look("attention", {"text": "A film"})
    assert learn.look("attention", {"text": "A film"}) is first
    assert len(counted) == 1
    learn.look("attention", {"text": "A film", "layer": 2})
    assert len(counted) == 2


def test_memory_of_looks_is_bounded(learn, monkeypatch):
    monkeypatch.setattr(learn_module, "MOST_KEPT", 2)
    for layer in (1, 2, 3):
        learn.look("attention", {"layer": layer})
    assert len(learn._kept) == 2


def test_a_refused_look_is_not_kept(learn):
    for _ in range(2):
        with pytest.raises(ConfigError, match="the text is empty"):
            learn.look("attention", {"text": ""})
    with pytest.raises(ConfigError, match="shorten the text"):
        learn.look("attention", {"text": "x" * 5000})
    assert len(learn._kept) == 0


def test_outcome_and_code(learn):
    assert learn.outcome("attention")["answer"] == 1
    code = learn.code("attention")
    assert list(misfits(code, payloads.LessonCode)) == []
    assert code["file"] == "rlhf_demo/explain/gpt2.py"
    assert code["source"].startswith("def attend(")


def test_all_lessons_are_listed_as_declared():
    rows = listed()
    assert [row["id"] for row in rows] == list(LESSONS)
    for row in rows:
        assert list(misfits(row, payloads.ListedLesson)) == []
