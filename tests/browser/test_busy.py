"""A page whose server is busy asks again by itself."""

import re

import pytest

from rlhf_demo.ui import scripts

pytestmark = pytest.mark.browser

IN_VAIN = """async (busy) => {
  const { patient } = await rlhf.load("lib/poll");
  const setTimeout = window.setTimeout, pauses = [];
  let times = 0;
  window.setTimeout = (done, pause) => (pauses.push(pause), setTimeout(done, 0));
  const answer = await patient({ score: async () => (times++, busy) }).score({});
  window.setTimeout = setTimeout;
  return { answer, times, pauses };
}"""
"""In the page: ask a server that is always busy, without the pauses."""
BUSY = {"error": "the server is busy with other requests: try again in a moment", "busy": True}


@pytest.fixture
def turned_away(new_visitor):
    """Somebody whose requests for a score hear so many times that the server is busy."""

    def turn_away(times: int):
        visitor, heard = new_visitor(), []

        def answer(route):
            asked = route.request.post_data_json["fn_name"]
            if asked != "score_text" or len(heard) == times:
                route.fallback()
                return
            heard.append(asked)
            route.fulfill(json=BUSY)

        visitor.page.route("**/component_server/", answer)
        visitor.open(tab="reward model")
        return visitor, heard

    return turn_away


def test_score_comes_without_a_click_when_the_server_has_time_again(turned_away):
    visitor, heard = turned_away(3)
    visitor.sees(visitor.page.locator(".rl-big-score"), re.compile(r"[+\u2212]\d\.\d\d"))
    assert heard == ["score_text"] * 3
    assert visitor.asked.count("score_text") == 4


def test_page_gives_up_after_about_a_minute_and_says_why(new_visitor):
    visitor = new_visitor()
    visitor.page.goto(f"{visitor.url}/config")  # where nothing else has pauses
    visitor.page.add_script_tag(path=scripts.STATIC / "head.js")
    visitor.page.evaluate(f"rlhf.scripts = '{scripts.folder()}'")
    told = visitor.page.evaluate(IN_VAIN, BUSY)
    assert told["answer"] == BUSY
    assert told["times"] == 15
    # The pauses are 0.5, 1, 2 and eleven times 4 s, each half as long again or half as short.
    assert len(told["pauses"]) == 14
    assert all(
        0.5 <= pause / middle < 1.5
        for pause, middle in zip(told["pauses"], [500, 1000, 2000] + [4000] * 11, strict=True)
    )
    assert len(set(told["pauses"])) > 10
