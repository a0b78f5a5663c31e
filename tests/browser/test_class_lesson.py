"""A lesson for a class: two phones predict, the instructor reveals, and the round goes on."""

import re

import pytest
from playwright.sync_api import expect

from rlhf_demo.config.lessons import LESSONS
from tests.browser.test_class import instructor, student

pytestmark = pytest.mark.browser

LESSON = LESSONS["attention"]
READ_AT_LEAST = 400
"""Milliseconds; a pair that has just come takes no answer in the first 250 (ballot_state.js)."""


def test_class_predicts_sees_what_came_out_and_goes_back_to_its_pairs(new_visitor):
    teacher, code = instructor(new_visitor)
    screen = teacher.page
    ann, bob = (student(new_visitor, code, name) for name in ("Ann", "Bob"))
    left = ann.page.locator(".rl-ballot-side button").first
    expect(left).to_be_enabled()
    ann.page.wait_for_timeout(READ_AT_LEAST)
    pair = ann.page.locator(".rl-ballot-text").first.inner_text()
    left.tap()
    expect(ann.page.locator(".rl-student-head b")).to_contain_text("1 of")
    expect(ann.page.locator(".rl-ballot-text").first).not_to_have_text(pair)
    pair = ann.page.locator(".rl-ballot-text").first.inner_text()

    screen.get_by_text("A lesson for the class", exact=True).click()
    screen.get_by_label("Lesson", exact=True).select_option(LESSON.title)
    screen.get_by_role("button", name="Send to all phones").click()
    card = screen.locator(".rl-class-lesson")
    expect(card).to_contain_text("0 of 2 have answered.")
    expect(screen.locator(".rl-class-figures")).to_be_hidden()  # the votes give way
    for phone in (ann, bob):
        expect(phone.page.locator(".rl-student-lesson")).to_contain_text(LESSON.question)
        expect(phone.page.locator(".rl-ballot")).to_be_hidden()

    # An answer is kept, may change, and stands after a reload; nobody sees the numbers yet.
    answer = ann.page.locator(".rl-student-lesson").get_by_role("button")
    answer.nth(0).tap()
    expect(answer.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(ann.page.locator(".rl-student-lesson")).to_contain_text("Your answer is saved.")
    answer.nth(1).tap()
    expect(answer.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(card).to_contain_text("1 of 2 have answered.")
    expect(card.locator(".rl-tally-bar")).to_have_count(0)
    screen.get_by_role("button", name="Show the predictions so far").click()
    expect(card.locator(".rl-tally b")).to_have_text(["0", "1", "0", "0", "0"])
    screen.get_by_role("button", name="Hide the predictions").click()
    expect(card.locator(".rl-tally-bar")).to_have_count(0)
    ann.page.reload()
    expect(answer.nth(1)).to_have_attribute("aria-pressed", "true")
    bob.page.get_by_role("button", name="I do not know").tap()
    expect(card).to_contain_text("2 of 2 have answered.")
    expect(card.locator(".rl-tally b")).to_have_text(["0", "1", "0", "0", "1"])  # all have
    for phone in (ann, bob):
        expect(phone.page.locator(".rl-tally-bar")).to_have_count(0)
    for seen in (ann, bob, teacher):
        seen.keep(f"predicted-{'screen' if seen is teacher else 'phone'}")

    screen.get_by_role("button", name="Reveal", exact=True).click()
    result = re.compile(r"\d\.\d")
    expect(card.locator(".rl-story")).to_contain_text(result)
    for phone in (ann, bob):
        told = phone.page.locator(".rl-student-lesson")
        expect(told.locator(".rl-tally b")).to_have_text(["0", "1", "0", "0", "1"])
        expect(told.locator(".rl-came small").first).to_have_text("came out")
        expect(told.get_by_role("button")).to_have_count(0)
    sentence = card.locator(".rl-story").inner_text().removeprefix("2 of 2 have answered. ")
    expect(ann.page.locator(".rl-student-lesson")).to_contain_text(sentence)
    expect(bob.page.locator(".rl-student-lesson")).to_contain_text("You did not know.")
    for seen in (ann, bob, teacher):
        seen.keep(f"revealed-{'screen' if seen is teacher else 'phone'}")

    screen.get_by_role("button", name="Back to voting").click()
    expect(card).to_be_hidden()
    expect(screen.locator(".rl-class-figures")).to_be_visible()
    expect(ann.page.locator(".rl-student-lesson")).to_be_hidden()
    expect(ann.page.locator(".rl-student-head b")).to_contain_text("1 of")
    expect(ann.page.locator(".rl-ballot-text").first).to_have_text(pair)
    expect(left).to_be_enabled()
    left.tap()
    expect(ann.page.locator(".rl-student-head b")).to_contain_text("2 of")


def test_class_hunts_for_the_worst_text_with_the_best_score(new_visitor):
    teacher, code = instructor(new_visitor)
    screen = teacher.page
    ann, bob = (student(new_visitor, code, name) for name in ("Ann", "Bob"))
    screen.get_by_text("A lesson for the class", exact=True).click()
    screen.get_by_label("Lesson", exact=True).select_option(LESSONS["reward_head"].title)
    screen.get_by_role("button", name="Send to all phones").click()
    card = screen.locator(".rl-class-lesson")
    field = ann.page.get_by_label("A bad text with a good score")
    for phone in (ann, bob):
        phone.page.get_by_role("button", name="I do not know").tap()
    expect(field).to_be_hidden()  # a score would tell the answer
    screen.get_by_role("button", name="Reveal", exact=True).click()
    expect(card.locator(".rl-story")).to_contain_text("It scores")

    # The better of Ann's texts is kept, as text; rude words are refused.
    markup = "<b>I highly recommend it.</b> I highly recommend it."
    for text, best in (
        ("The acting was terrible.", "The acting was terrible."),
        (markup, markup),
        ("It was a waste of my time.", markup),
    ):
        field.fill(text)
        ann.page.get_by_role("button", name="Score it").tap()
        told = re.compile(rf"This text scores .*{re.escape(best)}")
        expect(ann.page.locator(".rl-try")).to_contain_text(told)
    bob.page.get_by_label("A bad text with a good score").fill("A shitty film.")
    bob.page.get_by_role("button", name="Score it").tap()
    expect(bob.page.locator(".rl-try")).to_contain_text("rude word")
    bob.page.get_by_label("A bad text with a good score").fill("Terrible terrible terrible.")
    bob.page.get_by_role("button", name="Score it").tap()
    texts = card.locator(".rl-tries span")
    expect(texts).to_have_text([markup, "Terrible terrible terrible."])
    expect(card.locator(".rl-tries")).not_to_contain_text("Ann")
    ann.page.reload()
    expect(ann.page.locator(".rl-try")).to_contain_text(f"Your best: \u201c{markup}\u201d")
    ann.page.locator(".rl-try").scroll_into_view_if_needed()
    for seen in (ann, teacher):
        seen.keep(f"hunted-{'screen' if seen is teacher else 'phone'}")

    card.get_by_role("button", name="Remove").first.click()
    expect(texts).to_have_text(["Terrible terrible terrible."])
    expect(ann.page.locator(".rl-try")).not_to_contain_text("Your best")
    card.get_by_role("button", name="Remove all").click()
    card.get_by_role("button", name="Delete them").click()
    expect(card.locator(".rl-tries")).to_be_hidden()
    expect(bob.page.get_by_label("A bad text with a good score")).to_be_hidden()
    screen.get_by_role("button", name="Back to voting").click()
    expect(ann.page.locator(".rl-student-lesson")).to_be_hidden()
