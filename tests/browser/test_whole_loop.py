"""Somebody runs the whole loop, and everything happens on the way that can happen."""

import re

import pytest
from playwright.sync_api import expect

from bench.serving import wait_until
from rlhf_demo.paths import CHECKPOINTS

pytestmark = pytest.mark.browser

STEPS = 36
"""Of PPO: enough that it still runs when the app is back."""


@pytest.fixture
def pairs(tmp_path):
    """A file of sixty preference pairs: few, so that the reward model takes seconds."""
    path = tmp_path / "pairs.jsonl"
    lines = (CHECKPOINTS / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:60]), encoding="utf-8")
    return path


def start_reward_model(visitor, pairs):
    """Upload a file of pairs and train a reward model on it, by the form."""
    visitor.go_to("Reward model")
    visitor.unfold("New run")
    visitor.page.locator("input[type=file]").filter(visible=False).first.set_input_files(pairs)
    expect(visitor.page.get_by_label("Pairs", exact=True)).to_have_value(re.compile("uploaded: "))
    visitor.button("Train the reward model").click()
    visitor.wait_for("new URLSearchParams(location.search).get('run')")
    visitor.sees(visitor.badge, "running")


def start_ppo(visitor):
    """Queue PPO with small steps, by the form."""
    visitor.go_to("PPO")
    visitor.unfold("New run")
    visitor.unfold("Your own settings")
    visitor.unfold("More settings")
    visitor.fill(total_steps=STEPS, batch_size=16, minibatch_size=8)
    visitor.button("Start PPO").click()
    visitor.sees(visitor.badge, "queued, position 1")


def reload_sees_the_same_run_go_on(visitor):
    """Reload the page; the run shown stays, and its curve grows."""
    run, last = visitor.run_shown(), visitor.steps_drawn()[-1]
    visitor.page.reload()
    visitor.wait_for_step(last + 1)
    assert visitor.run_shown() == run


def restart_sees_the_same_run_go_on(app, visitor):
    """End the app and start it again; the training goes on meanwhile, the open page afterwards."""
    run, last = visitor.run_shown(), visitor.steps_drawn()[-1]
    app.stop()
    wait_until(lambda: app.rows(run)[-1]["step"] > last)
    app.start()
    visitor.wait_for_step(last + 2)
    assert visitor.run_shown() == run


def stop_and_resume(app, visitor):
    """Stop the run before its end and resume it; it ends with each step once."""
    visitor.button("Stop").click()
    visitor.sees(visitor.badge, "stopped")
    assert app.rows(visitor.run_shown())[-1]["step"] < STEPS
    visitor.button("Resume").click()
    visitor.sees(visitor.badge, "running")
    visitor.wait_for_step(STEPS)
    visitor.sees(visitor.badge, "finished")
    assert visitor.steps_drawn() == list(range(1, STEPS + 1))


def compare(visitor):
    """Go on to where base and PPO model write side by side at once; return what came out."""
    visitor.button("Compare now").click()
    run = visitor.page.get_by_label("Right", exact=True)
    expect(run).to_have_value(re.compile("own settings"))
    visitor.wait_for("new URLSearchParams(location.search).has('compare')")
    return written(visitor)


def written(visitor):
    """Return the sentence and the texts of a comparison that was kept, once it is there."""
    visitor.sees(visitor.page.locator(".rl-duel .rl-settings"), "Saved ")
    verdict = visitor.page.locator(".rl-verdict").first.text_content()
    return [verdict, *visitor.page.locator(".rl-duel .rl-written").all_text_contents()]


def test_loop_from_its_one_button_trains_one_after_the_other(app, new_visitor):
    visitor = new_visitor().open()
    visitor.button("Run the whole loop").click()
    stages = visitor.page.locator(".rl-stage")
    reward, ppo = (stages.filter(has_text=title) for title in ("A small model learns", "PPO makes"))

    visitor.sees(reward, re.compile("loading the model|step"))
    visitor.sees(ppo, "waiting")
    expect(visitor.button("The loop is running")).to_be_disabled()

    for card in (ppo, reward):
        visitor.go_to("Start")
        card.click()
        visitor.button("Stop").click()
        visitor.sees(visitor.badge, "stopped")


def test_loop_with_reload_restart_stop_and_resume_ends_in_a_link_for_others(
    app, new_visitor, pairs
):
    visitor = new_visitor().open()
    start_reward_model(visitor, pairs)
    start_ppo(visitor)
    visitor.keep("waiting")

    visitor.go_to("Reward model")
    reward = visitor.run_shown()
    visitor.page.reload()
    visitor.sees(visitor.badge, "finished")
    assert visitor.run_shown() == reward
    visitor.sees(visitor.board.locator(".rl-figure").first, "held-out pairs [")
    visitor.keep("reward")

    visitor.go_to("PPO")
    visitor.wait_for_step(2)
    reload_sees_the_same_run_go_on(visitor)
    restart_sees_the_same_run_go_on(app, visitor)
    visitor.keep("ppo")
    stop_and_resume(app, visitor)

    result = compare(visitor)
    visitor.keep("compare")
    friend = new_visitor()
    friend.page.goto(visitor.page.url)
    assert written(friend) == result
