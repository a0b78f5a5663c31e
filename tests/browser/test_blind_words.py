"""The last sentence of a blind vote: who wins, and that it is told of the right model."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.only_looks]

WINS = {"rate": 0.75, "low": 0.625, "high": 0.875, "wins": 22, "losses": 6}
EVEN = {"rate": 0.5625, "low": 0.375, "high": 0.75, "wins": 16, "losses": 12}
LOSES = {"rate": 0.25, "low": 0.125, "high": 0.375, "wins": 6, "losses": 22}
NONE = {"rate": None, "low": 0.0, "high": 1.0, "wins": 0, "losses": 0}
"""What A did against B. The rates are exact in binary, so that they turn round exactly."""
OTHERS = {"ties": 3, "both_bad": 1, "votes": 32, "pairs": 24, "simulated": 0}
NO_OTHERS = {"ties": 0, "both_bad": 0, "votes": 0, "pairs": 0, "simulated": 0}

PREFERS_PPO = "The class prefers what PPO writes."
PREFERS_BASE = "The class prefers the base: PPO has learned something other than what people like."
CANNOT_TELL = "The interval includes 50%: these votes cannot tell the two apart."

PARAGRAPHS = """async (result) => {
  const { blindResult } = await rlhf.load("shared/blind_result");
  const told = blindResult(result);
  return [".rl-figure", "p", "p:last-child"].map((one) => told.querySelector(one).textContent);
}"""
"""In the page: the figure, the sentence and the counts at the end of a class's blind vote."""
VOTE = """async ({result, choice}) => {
  const { h } = await rlhf.load("shared/dom");
  const { mount } = await rlhf.load("panels/blind_vote");
  const element = h("div", {}, h("div", { class: "rl-blind" }));
  document.body.prepend(element);
  const texts = { question: "Which?", prompt: "It", left: " is.", right: " was." };
  let shown = 0;
  mount({
    element, props: { value: { left: "base", right: "PPO" } },
    server: {
      enter: async () => ({ voter: "nobody" }),
      blind_next: async () => ({ assignment: { id: ++shown, ...texts } }),
      blind_vote: async () => ({ names: ["PPO", "base"] }), blind_result: async () => result,
    },
    watch: (name, changed) => changed(),
  });
  await new Promise((done) => setTimeout(done, 400));  // a pair is read before it is answered
  const button = { left: "Left", right: "Right", tie: "Tie" }[choice];
  [...element.querySelectorAll("button")].find((one) => one.textContent.startsWith(button)).click();
}"""
"""In the page: the blind vote of Compare, after an answer to a pair with PPO's text on the left."""


@pytest.fixture(scope="module")
def visitor(chromium, app, tmp_path_factory):
    """One open page for all of these tests, which only call its functions."""
    context = chromium.new_context()
    visitor = Visitor(context, app.url, "", tmp_path_factory.mktemp("pictures")).open()
    yield visitor
    context.close()
    assert visitor.outside == []
    assert visitor.errors == []


@pytest.mark.parametrize(
    ("contender", "counted", "rate", "interval", "words", "counts"),
    [
        ("a", WINS, "75%", "[63, 88]", PREFERS_PPO, "PPO 22, base 6,"),
        ("b", WINS, "25%", "[13, 38]", PREFERS_BASE, "PPO 6, base 22,"),
        ("a", LOSES, "25%", "[13, 38]", PREFERS_BASE, "PPO 6, base 22,"),
        ("b", LOSES, "75%", "[63, 88]", PREFERS_PPO, "PPO 22, base 6,"),
        ("a", EVEN, "56%", "[38, 75]", CANNOT_TELL, "PPO 16, base 12,"),
        ("b", EVEN, "44%", "[25, 63]", CANNOT_TELL, "PPO 12, base 16,"),
    ],
)
def test_a_class_is_told_of_ppo_whether_it_was_a_or_b(
    visitor, contender, counted, rate, interval, words, counts
):
    result = OTHERS | counted | {"contender": contender}

    figure, sentence, side = visitor.page.evaluate(PARAGRAPHS, result)

    assert figure.startswith(rate)
    assert f"of 32 votes on 24 pairs prefer PPO\u2019s text {interval};" in figure
    assert sentence == words
    assert side.startswith(f"Votes: {counts}")
    assert "tie or both bad 4 (" in side


@pytest.mark.parametrize("contender", ["a", "b"])
def test_a_class_without_votes_is_told_that_nobody_voted(visitor, contender):
    result = NO_OTHERS | NONE | {"contender": contender}

    figure, sentence, side = visitor.page.evaluate(PARAGRAPHS, result)

    assert figure.startswith("\u2013")
    assert "[" not in figure
    assert sentence == "There are no votes."
    assert "PPO 0, base 0, tie or both bad 0" in side


@pytest.mark.parametrize(
    ("contender", "of_ppo"), [("a", [0.75, 0.625, 0.875]), ("b", [0.25, 0.125, 0.375])]
)
def test_a_rate_and_its_interval_turn_round_together(visitor, contender, of_ppo):
    """The chart over the votes of a class draws these."""
    turned = """async (contender) =>
      (await rlhf.load("lib/blind_result")).ofPPO(contender, 0.75, 0.625, 0.875)"""

    assert visitor.page.evaluate(turned, contender) == of_ppo


@pytest.mark.parametrize(
    ("counted", "figure", "choice", "said", "words"),
    [
        (
            WINS,
            "75% [63, 88]",
            "left",
            "You preferred PPO.",
            "luck alone is an unlikely explanation",
        ),
        (
            LOSES,
            "25% [13, 38]",
            "right",
            "You preferred base.",
            "luck alone is an unlikely explanation",
        ),
        (
            EVEN,
            "56% [38, 75]",
            "tie",
            "You saw no difference.",
            "cannot tell which model is better",
        ),
    ],
)
def test_compare_tells_the_blind_vote_of_the_model_on_the_right_of_the_form(
    visitor, counted, figure, choice, said, words
):
    visitor.page.evaluate(VOTE, {"result": OTHERS | counted, "choice": choice})

    told = visitor.page.locator("body > div > .rl-blind").first  # the newest
    expect(told).to_contain_text(words)
    expect(told).to_contain_text(figure)
    expect(told).to_contain_text(f"That was PPO on the left, base on the right. {said}")
    expect(told).to_contain_text("for PPO against base, from 32 votes on 24 pairs")
    keys = told.locator(".rl-winkey > span")
    expect(keys).to_have_text(
        [f"PPO {counted['wins']}", "ties 3, both bad 1", f"base {counted['losses']}"]
    )
