"""The microscope: opened from a token of the PPO tab and from its lesson, by mouse and by keys."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import STEPS

pytestmark = [pytest.mark.browser, pytest.mark.only_looks]

PHONE = {"width": 390, "height": 800}


def scope(visitor):
    return visitor.page.locator("dialog.rl-scope")


def picked(visitor):
    return scope(visitor).locator("td.rl-picked")


def row(visitor, label):
    return scope(visitor).locator("tr", has=visitor.page.get_by_role("rowheader", name=label))


def open_first_text(visitor):
    """Show the texts of step 1, and focus the first one."""
    text = visitor.page.locator(".rl-samples .rl-tokens").first
    expect(text).to_be_visible()
    visitor.wait_for(f"({STEPS}.at(-1) || 0) >= 40")  # before, new rows move the slider back
    visitor.page.get_by_label("Step whose texts are shown").fill("0")
    expect(text).to_contain_text("a complete mess.")
    text.focus()
    return text


def test_a_token_is_traced_by_keys_alone(new_visitor):
    ann = new_visitor().open(run="ppo-quick", tab="ppo")
    open_first_text(ann)
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        ann.page.keyboard.press(key)
    expect(picked(ann)).to_have_text("\u22121.975")
    ann.sees(scope(ann), "pushes the token\u2019s probability down")
    expect(scope(ann).locator("td.rl-source")).to_have_text(["\u22121.583"])
    expect(scope(ann).locator("math")).not_to_have_count(0)
    ann.sees(scope(ann), "rlhf_demo/objectives/masks.py line")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
        ann.page.keyboard.press(key)
    ann.sees(scope(ann), "one more update would get no gradient from this token")
    ann.sees(scope(ann), "def policy_loss(")
    ann.page.keyboard.press("Escape")
    expect(scope(ann)).to_be_hidden()


def test_what_if_colours_the_changed_cells_until_as_logged(new_visitor):
    ann = new_visitor(color_scheme="dark").open(run="ppo-quick", tab="ppo")
    text = open_first_text(ann)
    text.locator(".rl-token").nth(1).hover()
    ann.page.locator(".rl-tip button").click()
    changed = scope(ann).locator("td.rl-changed")
    expect(picked(ann)).to_have_text("\u22121.975")
    expect(changed).to_have_count(0)
    scope(ann).get_by_label(re.compile("clip range")).fill("0.3")
    expect(changed).to_have_count(2)  # of " complete": policy loss and gradient
    scope(ann).get_by_label(re.compile("discount")).fill("0.5")
    expect(row(ann, "reward").locator("td.rl-changed")).to_have_count(0)
    expect(row(ann, "advantage, whitened").locator("td.rl-changed")).to_have_count(4)
    ann.button("As logged").click()
    expect(changed).to_have_count(0)
    ann.keep("microscope")


MOVE = """input => {
  for (const value of [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]) {
    input.value = String(value);
    input.dispatchEvent(new Event("input"));
  }
}"""


def test_a_moving_slider_asks_again_after_the_answer_has_come(new_visitor):
    ann, asked = new_visitor().open(run="ppo-quick", tab="ppo"), []
    open_first_text(ann)
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        ann.page.keyboard.press(key)
    expect(picked(ann)).to_have_text("\u22121.975")
    ann.page.on("request", lambda sent: asked.append(sent.post_data or ""))
    scope(ann).get_by_label(re.compile("clip range")).evaluate(MOVE)
    scope(ann).locator("td.rl-changed").first.wait_for()
    traced = [sent for sent in asked if "trace_response" in sent]
    assert len(traced) == 2 and '"clip_range":0.8' in traced[1]


def test_the_lesson_asks_of_the_clip_and_opens_the_microscope_on_a_phone(new_visitor):
    ann = new_visitor(viewport=PHONE).open_lesson(lesson="ppo_step")
    lesson = ann.page.locator(".rl-lesson")
    lesson.get_by_label("all of them", exact=True).check()
    ann.button("This is my answer").click()
    ann.sees(lesson, "5 of 5 tokens have a negative advantage")
    lesson.get_by_role("button", name="No", exact=True).click()
    ann.sees(lesson, "It is the other way round. Yes. The ratio is below 0.80")
    lesson.get_by_role("button", name="complete", exact=True).click()
    expect(picked(ann)).to_have_text("\u22121.975")
    width = ann.page.evaluate("document.querySelector('.rl-scope').scrollWidth")
    assert width <= PHONE["width"]
    ann.keep("microscope-phone")
    ann.button("Close").click()
    expect(scope(ann)).to_be_hidden()
