"""Predict first: a question, an answer that a browser keeps, and only then the curves."""

import json

import pytest
from playwright.sync_api import expect

from rlhf_demo.runs.run import Run, Status

pytestmark = pytest.mark.browser

COVERED = "Its curves are covered on this tab until you have said what you expect."


def predictions(visitor):
    kept = visitor.page.evaluate("localStorage.getItem('rlhf_demo_predictions')")
    return json.loads(kept or "{}")


def fold(visitor):
    return visitor.page.locator(".rl-experiments")


def curves(visitor):
    return visitor.board.locator(".rl-plot").first


def test_curves_are_covered_until_a_visitor_has_answered(app, new_visitor):
    ann = new_visitor().open(tab="ppo")
    fold(ann).locator("summary").click()
    fold(ann).get_by_label("Experiment", exact=True).select_option("no-kl")
    ann.sees(fold(ann), "How high will the KL from the base be")
    ann.sees(fold(ann), "In the default run, the KL from the reference ended at 2.71 nats")
    ann.button("This is my answer").click()
    ann.sees(fold(ann), "Choose one of the answers first.")
    assert predictions(ann) == {}
    fold(ann).get_by_label("2 to 10 times").check()
    ann.button("This is my answer").click()
    ann.sees(fold(ann), "You said \u201c2 to 10 times\u201d.")
    assert predictions(ann) == {"no-kl": 1}
    ann.sees(ann.board, "KL penalty 0")
    expect(curves(ann)).to_be_visible()
    run = ann.run_shown()

    # Another browser sees the run, but not its curves, until it has answered or waived that.
    eve = new_visitor().open(tab="ppo", run=run)
    eve.sees(eve.board, COVERED)
    expect(curves(eve)).to_be_hidden()
    eve.button("Read the question").click()
    expect(fold(eve).get_by_label("Experiment", exact=True)).to_have_value("no-kl")
    expect(eve.button("This is my answer")).to_be_visible()
    eve.button("Show the curves without answering").click()
    expect(curves(eve)).to_be_visible()
    assert predictions(eve) == {"no-kl": -1}

    # The end of the run is written here, because forty steps take a while.
    ann.button("Stop").click()
    ann.sees(fold(ann), "The run was stopped, failed or was deleted")
    expect(ann.button("Run it again")).to_be_visible()
    finished = Run(app.runs / run)
    finished.append("metrics", [{"step": step, "objective/kl": 54.0} for step in range(90, 95)])
    finished.set_status(Status.FINISHED)
    measured = "measured: \u201c10 times or more\u201d. The KL from the reference ended at 54.0"
    ann.sees(fold(ann), f"You said \u201c2 to 10 times\u201d; {measured}")
    eve.sees(fold(eve), f"You looked without answering first; {measured}")

    # A page that is opened again still knows the answer; whoever forgets it is asked again.
    ann.page.reload()
    fold(ann).locator("summary").click()
    ann.sees(fold(ann), measured)
    ann.button("Forget my answer").click()
    ann.sees(ann.board, COVERED)
    expect(ann.button("This is my answer")).to_be_visible()
    assert predictions(ann) == {}
