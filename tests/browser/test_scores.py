"""Scores as the page shows them: with their unit, coloured beside each other, whatever the unit."""

import json

import pytest
from playwright.sync_api import expect

from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.judges import NO_PART, TAUGHT

pytestmark = [pytest.mark.browser, pytest.mark.only_looks]

TOKENS = [{"piece": piece} for piece in (" so", " it", " is")]
COLOURED = """async ({tokens, by}) => {
  const { tokenText } = await rlhf.load("shared/token_text");
  return [...tokenText(tokens, by).querySelectorAll("span")].map((span) => span.style.background);
}"""
"""In the page: the backgrounds of a text's tokens."""
LEGEND = """async ({tokens, by}) => {
  const { scaleOf } = await rlhf.load("lib/tokens");
  const { tokenLegend } = await rlhf.load("shared/token_text");
  return tokenLegend(by, scaleOf(by, tokens)).textContent;
}"""


@pytest.fixture
def visitor(new_visitor):
    return new_visitor().open(tab="compare")


def test_start_says_what_votes_are_for_and_what_each_judge_is_to_the_model(new_visitor):
    visitor = new_visitor().open()

    visitor.sees(visitor.page.locator(".rl-back"), "next round starts with new feedback")
    visitor.sees(visitor.page.locator(".rl-back"), "blind votes in Compare are only a test")
    told = visitor.page.locator(".rl-whole-loop")
    visitor.sees(told, TAUGHT.format(judge="star-rater"))
    visitor.sees(told, NO_PART.format(judge="word-judge"))


def test_scores_of_two_texts_are_green_for_the_higher_one_only(visitor):
    rows = visitor.page.locator(".rl-answers tbody tr")
    scores = json.loads((CHECKPOINTS / "examples" / "compare.json").read_text(encoding="utf-8"))
    signs = [[score > 0 for score in row["scores"][0]] for row in scores["rows"]]
    expect(rows).to_have_count(len(signs))
    both_above_0 = sum(all(pair) for pair in signs)
    assert both_above_0 > 10  # a colour that turns at 0 would make these alike

    classes = rows.evaluate_all(
        """(rows) => rows.map((row) => [...row.querySelectorAll(".rl-chip")].map((chip) =>
          `${chip.textContent.includes("wins") ? "wins" : ""} ${chip.className}`))"""
    )

    kinds = {tuple(sorted(pair)) for pair in classes}
    assert kinds == {(" rl-chip rl-down", "wins rl-chip rl-up"), (" rl-chip ", " rl-chip ")}


def test_scores_of_a_duel_name_their_unit_and_compare_the_sides(visitor):
    chips = visitor.page.locator(".rl-duel .rl-chip")

    expect(chips).to_have_text(["score \u22120.20", "score +1.34"])
    assert "rl-down" in chips.nth(0).get_attribute("class")
    assert "rl-up" in chips.nth(1).get_attribute("class")
    title = chips.nth(1).get_attribute("title")
    assert "by reward-mini, in standard deviations of the base" in title


def test_scores_of_the_boards_two_models_are_called_raw(new_visitor):
    visitor = new_visitor().open(run="ppo-quick")
    both = visitor.board.locator(".rl-both")

    visitor.sees(both.locator(".rl-chip").first, "raw score ")
    visitor.sees(both, "raw scores, in the units of reward-mini")
    assert "in its own units" in both.locator(".rl-chip").first.get_attribute("title")


@pytest.mark.parametrize("factor", [1, 1000])
def test_scores_had_the_text_ended_are_coloured_alike_in_any_unit(visitor, factor):
    values = (0.25, 0.75, 0.0)  # from the first: 0, all of the way up, half of it down
    tokens = [
        token | {"score_if_ended": factor * value}
        for token, value in zip(TOKENS, values, strict=True)
    ]

    plain, up, down = visitor.page.evaluate(COLOURED, {"tokens": tokens, "by": "score_if_ended"})
    legend = visitor.page.evaluate(LEGEND, {"tokens": tokens, "by": "score_if_ended"})

    assert plain == "transparent"
    assert "--rl-score) 46%" in up
    assert "--rl-below) 23%" in down
    for value in (-0.25, 0.25, 0.75):  # both ends and the middle
        assert f"{value * factor:+.2f}".replace("-", "\u2212") in legend


def test_token_whose_update_the_clip_stopped_in_one_visit_says_at_least_one(visitor):
    token = TOKENS[0] | {"advantage": 1.0, "ratio": 1.1, "clipped": True}
    visitor.page.evaluate(
        """async (token) => {
          const { tokenText } = await rlhf.load("shared/token_text");
          const text = tokenText([token], "advantage", {clips: true, clip: 0.2});
          document.body.prepend(text);
          text.querySelector("span").click();
        }""",
        token,
    )
    visitor.sees(
        visitor.page.locator(".rl-tip"), "stopped at least one of this token\u2019s updates"
    )
