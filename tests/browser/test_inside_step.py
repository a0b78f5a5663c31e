"""The fold under the PPO board: asked for by whoever opens it, and following what they look at."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

LONG = {
    "total_steps": 500, "batch_size": 8, "minibatch_size": 8, "ppo_epochs": 2, "max_new_tokens": 8,
    "learning_rate": 1e-7, "checkpoint_every": 500,
}  # fmt: skip
"""Small quick steps that change next to nothing, so no rule ends the run early."""
DRAWN = """[...document.querySelectorAll(".rl-inside .js-plotly-plot")]
  .map((chart) => Math.max(...chart.data.map((trace) => trace.x.length)))"""
"""In the page: of each chart of the fold how many points its longest line has."""


@pytest.fixture(scope="module")
def run(app):
    """A PPO run that goes on while these tests look inside it."""
    return app.start_ppo("The run to look into", "ann", **LONG)


def step_told(visitor):
    """Return the step that the fold tells of."""
    heading = visitor.board.locator(".rl-inside-head").first
    expect(heading).to_contain_text(re.compile(r"Step \d"))
    return int(re.search(r"Step (\d+)", heading.inner_text())[1])


def test_fold_asks_nothing_while_closed_then_draws_and_follows_the_newest_step(run, new_visitor):
    visitor = new_visitor().open(run=run)
    visitor.wait_for_step(2)
    assert "board_inside" not in visitor.asked
    assert [one for one in visitor.answers if one["inside"]] == []

    visitor.board.locator("summary", has_text="Inside a step").click()
    first = step_told(visitor)
    asked = visitor.asked.count("board_inside")
    visitor.wait_for_step(first + 2)
    visitor.wait_for(f"{DRAWN}.length === 7")

    assert step_told(visitor) > first
    assert visitor.asked.count("board_inside") == asked == 1  # later steps came with the rows
    scores, ratio, values, judged, agreement, gradient, cut = visitor.page.evaluate(DRAWN)
    assert ratio == 62  # sixty bins and both ends
    assert values == 8  # one point a response
    assert min(scores, judged, agreement, gradient, cut) >= 2
    expect(visitor.board.locator(".rl-inside th[scope=col]")).to_have_text(
        ["epoch 1", "epoch 2", "after"]
    )


def test_fold_on_a_phone_goes_back_with_the_texts_and_stays_within_the_screen(run, new_visitor):
    visitor = new_visitor(viewport={"width": 390, "height": 844}).open(run=run)
    visitor.wait_for_step(3)
    visitor.board.locator("summary", has_text="Inside a step").click()
    assert step_told(visitor) >= 3

    visitor.board.get_by_label("Step whose texts are shown").fill("0")
    visitor.sees(visitor.board.locator(".rl-inside-head").first, re.compile("Step 1 "))
    visitor.wait_for_step(visitor.steps_drawn()[-1] + 2)

    assert step_told(visitor) == 1  # what somebody went back to stays
    wide = "document.documentElement.scrollWidth - innerWidth"
    assert visitor.page.evaluate(wide) <= 0
