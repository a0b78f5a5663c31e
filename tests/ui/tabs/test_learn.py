"""The Learn tab's server functions and its modules."""

import re

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.parts import STATIC
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.learn import LearnTab


@pytest.fixture
def tab(tmp_path):
    shared = Shared.open(Settings(runs=tmp_path / "runs"))
    yield LearnTab(shared)
    shared.store.close()


def test_a_visitor_answers_looks_and_reads_the_code(tab):
    assert tab.lesson_outcome({"lesson": "attention"})["answer"] == 1
    look = tab.lesson_look({"lesson": "attention", "text": "A good film"})
    assert look["text"] == "A good film"
    assert "def attend(" in tab.lesson_code({"lesson": "attention"})["source"]


def test_a_wrong_name_gets_a_sentence(tab):
    for ask in (tab.lesson_outcome, tab.lesson_look, tab.lesson_code):
        with pytest.raises(ConfigError, match="there is no lesson 'x'"):
            ask({"lesson": "x"})


def test_every_lesson_has_a_module_that_computes_and_one_that_draws():
    views = (STATIC / "tabs" / "learn" / "views.js").read_text(encoding="utf-8")
    for name in LESSONS:
        assert (STATIC / "tabs" / "learn" / f"{name}.js").is_file()
        assert f'from "./{name}.js"' in views


def test_each_other_tab_has_one_link_to_a_lesson_that_there_is():
    sources = [*(STATIC.parent / "tabs").glob("*.py"), STATIC / "tabs" / "start.js"]
    link = re.compile(r'lead\(\s*LEAD,\s*"(\w+)"|lesson=(\w+)"')
    found = {
        source.stem: ["".join(match) for match in link.findall(source.read_text(encoding="utf-8"))]
        for source in sources
    }
    found.pop("learn"), found.pop("__init__")
    assert all(len(lessons) == 1 and lessons[0] in LESSONS for lessons in found.values()), found
