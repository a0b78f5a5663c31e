"""People vote: by keys, over a lost line, and without names."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SIDES = ".rl-feedback .rl-ballot-sides"
BUTTON = ".rl-feedback .rl-ballot-side .rl-button"
READY = f"document.querySelector('{BUTTON}')?.ariaDisabled === 'false'"


def ready_to_vote(visitor):
    """Wait for a pair, and for as long as the page takes a second tap for a slip."""
    visitor.wait_for(READY)
    visitor.page.evaluate("new Promise((done) => setTimeout(done, 300))")
    return visitor.page.locator(SIDES).inner_text()


def test_answers_by_keys_are_counted_and_undone(new_visitor):
    visitor = new_visitor().open(tab="feedback")
    first = ready_to_vote(visitor)
    count = visitor.page.locator(".rl-ballot-count")

    visitor.page.keyboard.press("ArrowLeft")
    visitor.sees(count, "You have given 1 answer;")
    assert ready_to_vote(visitor) != first
    visitor.page.keyboard.press("t")
    visitor.sees(count, "You have given 2 answers;")
    visitor.page.keyboard.press("u")

    visitor.sees(count, "You have given 1 answer;")
    visitor.open(tab="feedback")  # the total comes with the next answer
    expect(count).to_have_text("You have given 1 answer.")


def test_keys_typed_into_a_field_are_no_answers(new_visitor):
    visitor = new_visitor().open(tab="feedback")
    pair = ready_to_vote(visitor)
    visitor.asked.clear()

    visitor.page.get_by_label("Your own prompt").press_sequentially("tall basil")

    assert visitor.page.locator(SIDES).inner_text() == pair
    assert "vote" not in visitor.asked


def test_answer_given_while_the_line_is_lost_arrives_once(new_visitor):
    visitor = new_visitor().open(tab="feedback")
    ready_to_vote(visitor)
    problem = visitor.page.locator(".rl-feedback .rl-ballot > .rl-problem")

    visitor.page.context.set_offline(True)
    visitor.page.keyboard.press("a")
    visitor.sees(problem, "send your answer again by itself")
    visitor.page.context.set_offline(False)

    visitor.sees(visitor.page.locator(".rl-ballot-count"), "You have given 1 answer;")
    expect(problem).to_be_hidden()


def test_text_written_by_keys_is_on_disk_after_a_reload_and_is_no_vote(new_visitor):
    visitor = new_visitor().open(tab="feedback")
    pair = ready_to_vote(visitor)
    writing = visitor.page.locator(".rl-feedback .rl-writing")
    visitor.asked.clear()

    visitor.page.keyboard.press("w")
    visitor.page.keyboard.type("a tale, best of all")  # a, t, l and b would be answers
    expect(writing).to_contain_text("19 of 600 characters")
    visitor.page.keyboard.press("Control+Enter")

    visitor.sees(writing, "Your text is saved; you have written 1 text. It is not a vote")
    assert visitor.asked.count("keep_text") == 1 and "vote" not in visitor.asked
    visitor.open(tab="feedback")
    assert ready_to_vote(visitor) == pair
    visitor.sees(writing, "a tale, best of all")
    visitor.page.keyboard.press("ArrowLeft")
    visitor.sees(visitor.page.locator(".rl-ballot-count"), "You have given 1 answer;")
    expect(writing).not_to_contain_text("best of all")


def test_no_answer_is_given_while_a_text_is_written_and_a_draft_stays(new_visitor):
    visitor = new_visitor(viewport={"width": 390, "height": 900}).open(tab="feedback")
    pair = ready_to_vote(visitor)
    writing = visitor.page.locator(".rl-feedback .rl-writing")
    visitor.asked.clear()

    writing.get_by_role("button", name="Write it better").click()
    writing.get_by_role("button", name="Copy the lower text").click()
    field = writing.get_by_role("textbox")
    assert field.input_value() in pair
    field.press_sequentially(" and more")
    visitor.page.locator(".rl-feedback .rl-ballot-side").first.click()  # a tap on a text
    visitor.page.keyboard.press("ArrowLeft")
    field.press("Escape")

    assert "vote" not in visitor.asked and "keep_text" not in visitor.asked
    assert visitor.page.locator(SIDES).inner_text() == pair
    writing.get_by_role("button", name="Write it better").click()
    assert field.input_value().endswith(" and more")


CARD = ".rl-feedback .rl-rank-card"


def ready_to_rank(visitor):
    visitor.wait_for(f"document.querySelector('{CARD}')?.ariaDisabled === 'false'")
    visitor.page.evaluate("new Promise((done) => setTimeout(done, 300))")
    return visitor.page.locator(".rl-feedback .rl-rank-cards").inner_text()


def test_four_texts_are_ranked_by_keys_and_the_ranking_is_undone(new_visitor):
    visitor = new_visitor().open(tab="feedback")
    ready_to_vote(visitor)
    visitor.button("Rank four").click()
    texts = ready_to_rank(visitor)
    visitor.asked.clear()

    for key in ("c", "1", "3", "b", "4", "c"):  # the second c takes the first one back
        visitor.page.keyboard.press(key)
    places = visitor.page.locator(".rl-feedback .rl-rank-place").all_inner_texts()
    assert places == ["1st", "2nd", "4th", "3rd"]
    visitor.page.keyboard.press("Enter")

    count = visitor.page.locator(".rl-ballot-foot")
    visitor.sees(count, "You have given 1 ranking; this page has")
    assert visitor.asked.count("rank") == 1 and "vote" not in visitor.asked
    assert ready_to_rank(visitor) != texts
    visitor.page.keyboard.press("u")
    visitor.sees(count, "You have given 0 rankings;")
    assert ready_to_rank(visitor) == texts


def test_four_texts_are_ranked_by_taps_on_a_phone(new_visitor):
    visitor = new_visitor(viewport={"width": 390, "height": 900}, has_touch=True)
    visitor.open(tab="feedback")
    ready_to_vote(visitor)
    visitor.button("Rank four").tap()
    ready_to_rank(visitor)
    cards = visitor.page.locator(CARD)
    for place in (3, 2, 1, 2, 0, 2):  # a second tap takes a text back
        cards.nth(place).tap()
    visitor.button("Save this ranking").tap()
    visitor.sees(visitor.page.locator(".rl-ballot-foot"), "You have given 1 ranking;")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 390

    visitor.button("Compare two").tap()
    ready_to_vote(visitor)
    expect(cards.first).to_be_hidden()


def test_names_in_the_blind_vote_come_after_the_answer(new_visitor):
    visitor = new_visitor().open(tab="compare")
    visitor.button("Start a blind vote").click()
    blind = visitor.page.locator(".rl-blind")
    left = blind.get_by_role("button", name="Left")
    expect(left).to_have_attribute("aria-disabled", "false")
    assert "gpt2-mini" not in blind.inner_text()

    visitor.page.evaluate("new Promise((done) => setTimeout(done, 300))")
    left.click()

    visitor.sees(blind.locator(".rl-story"), "gpt2-mini-ppo")
    visitor.sees(blind.locator(".rl-win"), "from 1 vote")
