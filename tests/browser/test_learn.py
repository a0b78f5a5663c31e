"""The Learn tab: every lesson asks first, then shows what the models computed."""

import json

import pytest
from playwright.sync_api import expect

from rlhf_demo.config.lessons import LESSONS

pytestmark = [pytest.mark.browser, pytest.mark.only_looks]

SIZES = {"wide": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 800}}
COVERED = "Answer first. Then the figures appear here."


def card(visitor):
    return visitor.page.locator(".rl-lesson")


def answered(visitor):
    return json.loads(visitor.page.evaluate("localStorage.getItem('rlhf_demo_lessons') || '{}'"))


def check_width(visitor, size):
    width = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[size]["width"]


def go_to(visitor, name, size):
    if size == "phone":
        visitor.page.get_by_label("Lesson", exact=True).select_option(name)
    else:
        visitor.page.locator(".rl-rail li button").filter(has_text=LESSONS[name].title).click()
    visitor.sees(card(visitor).locator("h2"), LESSONS[name].title)


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("phone", "dark")])
def test_every_lesson_is_answered_and_revealed(new_visitor, size, scheme):
    ann = new_visitor(viewport=SIZES[size], color_scheme=scheme).open_lesson()
    for count, (name, lesson) in enumerate(LESSONS.items(), start=1):
        go_to(ann, name, size)
        ann.sees(card(ann), COVERED)
        check_width(ann, size)
        if size == "wide":  # the question and its answers fit on a screen
            button = ann.button("This is my answer").bounding_box()
            assert button["y"] + button["height"] <= SIZES[size]["height"], name
        ann.button("This is my answer").click()
        ann.sees(card(ann), "Choose one of the answers first.")
        card(ann).get_by_label(lesson.answers[0], exact=True).check()
        ann.button("This is my answer").click()
        ann.sees(card(ann), "You said")
        ann.sees(card(ann), lesson.sentence)
        expect(card(ann).get_by_text(COVERED)).to_be_hidden()
        assert list(answered(ann)) == list(LESSONS)[:count]
        check_width(ann, size)
        ann.keep(f"{name}-{size}-{scheme}")
    core = sum(lesson.core for lesson in LESSONS.values())
    ann.sees(ann.page.locator(".rl-learn .rl-lead"), f"{core} of {core} lessons")
    assert ann.queued == []


def test_a_lesson_is_answered_by_keyboard_alone(new_visitor):
    ann = new_visitor().open_lesson(lesson="attention")
    ann.sees(card(ann), COVERED)
    card(ann).locator("input").first.focus()
    ann.page.keyboard.press("ArrowDown")
    for _ in range(20):
        ann.page.keyboard.press("Tab")
        if ann.page.evaluate("document.activeElement.textContent") == "This is my answer":
            break
    ann.page.keyboard.press("Enter")
    ann.sees(card(ann), "You said \u201cmostly at \u2018actress\u2019\u201d")


def test_a_wrong_name_opens_the_first_lesson_and_says_so(new_visitor):
    ann = new_visitor().open_lesson(lesson="nonsense")
    first = next(iter(LESSONS.values()))
    ann.sees(card(ann).locator("h2"), first.title)
    ann.sees(card(ann), "There is no lesson \u201cnonsense\u201d, so this is the first one.")


def test_bad_text_gets_a_sentence_and_leaves_the_view(new_visitor):
    ann = new_visitor().open_lesson(lesson="attention")
    card(ann).get_by_label("I do not know").check()
    ann.button("This is my answer").click()
    ann.sees(card(ann), "Layer 6, head 2")
    for text, sentence in (
        ("", "the text is empty"),
        ("good " * 30, "write at most 24"),
        ("\u0444\u0438\u043b\u044c\u043c", "only read English"),
    ):
        card(ann).get_by_label("Text").fill(text)
        ann.button("Try it").click()
        ann.sees(card(ann).locator(".rl-problem"), sentence)
        ann.sees(card(ann), "Layer 6, head 2")
    card(ann).get_by_label("Text").press("Control+a")
    card(ann).get_by_label("Text").press_sequentially("The actor was very good and")
    card(ann).get_by_label("Text").press("Enter")
    ann.sees(card(ann).locator(".rl-map-names"), "actor")
    expect(card(ann).locator(".rl-problem")).to_be_hidden()


def reveal(visitor):
    card(visitor).get_by_label("I do not know").check()
    visitor.button("This is my answer").click()
    visitor.sees(card(visitor), "In one sentence")


def test_words_are_typed_letter_by_letter(new_visitor):
    ann = new_visitor().open_lesson(lesson="vectors")
    reveal(ann)
    field = card(ann).get_by_label("Word", exact=True)
    field.press("Control+a")
    field.press_sequentially("funny")
    field.press("Enter")
    ann.sees(card(ann), "The vector of \u201cfunny\u201d")
    field.fill("Monday")
    field.press("Enter")
    ann.sees(card(ann).locator(".rl-problem"), "'Monday' is 3 tokens: write a word of one token")
    ann.sees(card(ann), "The vector of \u201cfunny\u201d")


def test_a_head_is_switched_and_another_word_watched(new_visitor):
    ann = new_visitor().open_lesson(lesson="heads_off")
    reveal(ann)
    head = card(ann).get_by_label("Layer 6, head 2", exact=True)
    expect(head).to_have_attribute("aria-checked", "false")
    head.click()
    expect(head).to_have_attribute("aria-checked", "true")
    ann.sees(card(ann), "(+0.00)")
    field = card(ann).get_by_label("Word to watch")
    field.press("Control+a")
    field.press_sequentially("he")
    field.press("Enter")
    ann.sees(card(ann), "the probability of \u201che\u201d")


def test_a_copy_is_taught_and_a_token_followed(new_visitor):
    ann = new_visitor().open_lesson(lesson="loss")
    reveal(ann)
    ann.button("Teach this text to a copy").click()
    ann.sees(card(ann), "before the first step and after each: 5.74")
    ann.sees(card(ann), "base, taught")
    ann.open_lesson(lesson="layers")
    reveal(ann)
    card(ann).locator(".rl-depths button").filter(has_text="money").first.click()
    ann.sees(card(ann).locator("thead"), "\u201cmoney\u201d")


def test_link_in_another_tab_opens_its_lesson_without_loading_the_page(new_visitor):
    ann = new_visitor().open()
    ann.page.evaluate("window.same = true")
    ann.page.locator(".rl-learn-link").filter(visible=True).click()
    ann.sees(card(ann).locator("h2"), next(iter(LESSONS.values())).title)
    assert ann.page.evaluate("window.same") is True


@pytest.mark.parametrize("width", [1280, 390])
def test_the_four_models_of_ppo_fit_their_boxes_and_are_told_in_words(new_visitor, width):
    visitor = new_visitor(viewport={"width": width, "height": 800}).open_lesson(lesson="agent")
    reveal(visitor)
    drawing = visitor.page.get_by_role("img", name="The policy reads a prompt")
    expect(drawing).to_be_visible()
    inside = """svg => [...svg.querySelectorAll("g")].every((model) => {
        const [box, ...words] = [...model.children].map((each) => each.getBoundingClientRect());
        return words.every(({left, right}) => left >= box.left && right <= box.right);
    })"""
    assert drawing.evaluate(inside)
