"""RLOO from the form to its board, which leaves out what only a value head has."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def chart(visitor, title):
    """Find the card of a chart on the board."""
    return visitor.board.locator(f'figure[aria-label^="{title}:"]')


def test_rloo_starts_from_the_form_and_its_board_has_no_values(app, new_visitor):
    visitor = new_visitor().open()
    visitor.go_to("PPO")
    visitor.unfold("New run")
    visitor.unfold("Your own settings")
    visitor.unfold("More settings")
    samples = visitor.page.get_by_label("samples per prompt")
    expect(samples).to_be_hidden()
    visitor.page.get_by_label("Method", exact=True).click()
    visitor.page.get_by_role("option", name="RLOO", exact=True).click()
    expect(samples).to_be_visible()
    expect(visitor.page.get_by_label("gae lambda")).to_be_hidden()
    visitor.fill(total_steps=4, batch_size=16, minibatch_size=8, samples_per_prompt=1)
    visitor.button("Start RLOO").click()
    visitor.sees(visitor.page.locator("body"), "samples per prompt is 1: the lowest value is 2")
    visitor.fill(samples_per_prompt=4)
    visitor.button("Start RLOO").click()
    shown = visitor.board.get_by_label("Run shown")
    expect(shown).to_have_value(re.compile("^rloo-"))
    visitor.wait_for_step(2)

    assert app.rows(visitor.run_shown())[0]["objective/score"] is not None
    visitor.board.locator("summary", has_text="Losses and more").click()
    visitor.board.locator("summary", has_text="Inside a step").click()
    expect(chart(visitor, "Policy loss")).to_be_visible()
    expect(chart(visitor, "Gradient norm")).to_be_visible()
    of_ppo = "Value\u2019s fit (R\u00b2)", "Value loss", "KL in the loss"
    for name in (*of_ppo, "What the value head expected"):
        expect(chart(visitor, name)).to_have_count(1)
        expect(chart(visitor, name)).to_be_hidden()
    lines = chart(visitor, "Gradient norm").locator(".rl-key > span").filter(visible=True)
    assert lines.all_inner_texts() == ["whole gradient"]
    note = chart(visitor, "Gradient norm").locator(".rl-inside-note")
    expect(note).to_have_text("")  # about PPO's two losses
    visitor.sees(visitor.board, "The losses of PPO, RLOO and GRPO need not fall")
    visitor.sees(visitor.board.get_by_label("Both models on one prompt"), re.compile("RLOO"))
    colours = visitor.page.get_by_label("Colour tokens by").locator("option:not([hidden])")
    assert "value" not in colours.all_inner_texts()
