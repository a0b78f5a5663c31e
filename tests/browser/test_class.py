"""A class goes through one session, several browsers at once: from joining to the reveal."""

import re
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
SECONDS = 150
"""How long a training of a few steps may take on a machine that does other things too."""


def instructor(new_visitor, **fields):
    """Open a class and return the instructor's page and the class's code."""
    teacher = new_visitor().open(tab="feedback")
    page = teacher.page
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(str(value))
    page.get_by_role("button", name="Open a class").click()
    code = page.locator(".rl-class-code")
    expect(code).to_have_text(re.compile("^[A-Z]{6}$"))
    return teacher, code.inner_text()


def student(new_visitor, code, nickname):
    """Join on a phone."""
    phone = new_visitor(**PHONE)
    phone.page.goto(f"{phone.url}/?class={code}")
    phone.page.get_by_label("A nickname").fill(nickname)
    phone.page.get_by_role("button", name="Join the class").click()
    expect(phone.page.locator(".rl-student-head b")).to_contain_text("0 of")
    return phone


def vote_until(phones, done, seconds=SECONDS):
    """Let everybody answer in turns, by thumb and by key, until something is seen."""
    deadline = time.monotonic() + seconds
    turn = 0
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        for number, phone in enumerate(phones):
            left = phone.page.locator(".rl-ballot-side button").first
            if not left.is_enabled():
                phone.page.wait_for_timeout(100)
            elif number:
                left.tap()
            else:
                phone.page.keyboard.press("ArrowLeft" if turn % 3 else "ArrowRight")
        turn += 1
        phones[0].page.wait_for_timeout(300)


def test_class_from_joining_to_the_reveal_and_into_round_two(new_visitor):
    teacher, code = instructor(new_visitor, Pairs_for_each_student=16, Students_for_each_pair=2)
    screen = teacher.page
    expect(screen.locator(".rl-class-qr")).to_have_attribute("src", re.compile("^data:image/svg"))
    ann, bob = student(new_visitor, code, "Ann<b>"), student(new_visitor, code, "Bob")
    phones = [ann, bob]
    expect(ann.page.locator("#pages")).to_be_hidden()
    expect(screen.locator(".rl-class-people")).to_have_text("2 joined.")
    expect(screen.get_by_text("Ann<b>")).to_be_hidden()  # the wall names nobody

    start = screen.get_by_role("button", name="Start PPO on the class")
    vote_until(phones, start.is_visible)
    expect(screen.locator(".rl-class-figures")).to_contain_text("too few to tell")

    # A reload keeps everybody where they are.
    counted = ann.page.locator(".rl-student-head b").inner_text()
    ann.page.reload()
    expect(ann.page.locator(".rl-student-head b")).to_have_text(counted)
    screen.reload()
    expect(screen.locator(".rl-class-code")).to_have_text(code)

    screen.get_by_role("button", name="Pause").click()
    expect(bob.page.locator(".rl-ballot")).to_contain_text("The class is paused")
    screen.get_by_role("button", name="Continue").click()

    screen.get_by_label("Length of PPO").select_option("5")
    start.click()
    watching = ann.page.locator(".rl-student-ppo")
    expect(watching).to_contain_text("PPO is training: step")
    blind = screen.get_by_role("button", name="Open the blind vote")
    expect(blind).to_be_visible()
    blind.click()

    expect(bob.page.locator(".rl-student-notice")).to_be_visible()
    votes = screen.locator(".rl-class-figures .rl-figure").nth(3)
    vote_until(phones, lambda: "blind votes" in votes.inner_text())
    expect(ann.page.locator(".rl-blind-result")).to_have_count(0)
    screen.get_by_role("button", name="Reveal").click()
    for page in (screen, ann.page, bob.page):
        expect(page.locator(".rl-blind-result")).to_contain_text("Votes: PPO")

    # A student who is removed after the reveal takes the votes away, from the class's screen too.
    shown = screen.locator(".rl-blind-result").inner_text()
    screen.get_by_text("2 students on phones: see names").click()
    screen.get_by_role("button", name="Remove").first.click()
    question = screen.get_by_role("group").filter(has_text="This deletes the student")
    question.locator(".rl-danger").click()
    expect(screen.locator(".rl-blind-result")).not_to_have_text(shown)

    screen.get_by_role("button", name="Next round").click()
    expect(bob.page.locator(".rl-student-head")).to_contain_text("round 2")
    expect(bob.page.locator(".rl-ballot-side button").first).to_be_enabled()


def test_wrong_code_is_answered_in_a_sentence_and_phone_stays_narrow(new_visitor):
    phone = new_visitor(**PHONE)
    phone.page.goto(f"{phone.url}/?class=")
    phone.page.get_by_label("Code on the class screen").fill("abcdef")
    phone.page.get_by_label("A nickname").fill("Ann")
    phone.page.get_by_role("button", name="Join the class").click()
    expect(phone.page.get_by_role("alert")).to_contain_text("no class has this code")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_student_is_removed_and_kept_out_by_the_closed_door(new_visitor):
    teacher, code = instructor(new_visitor)
    screen = teacher.page
    phone = student(new_visitor, code, "Ann").page
    screen.get_by_text("1 student on phones: see names, remove a student").click()
    screen.get_by_role("button", name="Stop new students joining").click()
    people = screen.locator(".rl-class-people")
    expect(people).to_have_text("1 joined; new students cannot join now.")
    screen.get_by_role("button", name="Remove").click()
    question = screen.get_by_role("group").filter(has_text="This deletes the student")
    screen.wait_for_timeout(2500)  # the question outlives the next look at the class
    question.get_by_role("button", name="Remove").click()
    expect(people).to_have_text("No one has joined yet; new students cannot join now.")
    expect(phone.get_by_role("alert")).to_contain_text("this page does not know you")
    phone.get_by_role("button", name="Join again").click()
    phone.get_by_label("A nickname").fill("Ann")
    phone.get_by_role("button", name="Join the class").click()
    expect(phone.get_by_role("alert")).to_contain_text("this class is not taking new students now")
    screen.get_by_role("button", name="Let new students join").click()
    expect(screen.get_by_role("button", name="Stop new students joining")).to_be_visible()
    phone.get_by_role("button", name="Join the class").click()
    expect(phone.locator(".rl-student-head b")).to_contain_text("0 of")


def test_all_runs_outside_classes_are_stopped_with_one_button(new_visitor):
    teacher, _ = instructor(new_visitor)
    teacher.button("Stop all training runs outside classes").click()
    expect(
        teacher.page.get_by_text("No run outside classes is training or waiting.")
    ).to_be_visible()
