"""What is told of a run of any kind: why it failed, and what it waits for."""

import pytest

from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.runs.story import Story, failed, waiting

ROWS = [{"step": 1}, {"step": 2}]


def test_run_that_did_not_fail_has_no_failure_to_tell():
    for status in ("queued", "running", "finished", "stopped"):
        assert failed(ROWS, status, "a message") is None


def test_training_that_diverged_names_step_and_metric_alone():
    message = str(TrainingDiverged(3, "policy/loss", float("nan")))
    story = failed(ROWS, "failed", message)
    assert (story.key, story.level) == ("diverged", "warning")
    assert story.what == "Training diverged at step 3: policy/loss became nan."


def test_any_other_failure_gives_its_reason_cut_between_words():
    story = failed(ROWS, "failed", "the disk is full.")
    assert story.what == "The run failed after step 2: the disk is full."
    assert failed([], "failed", "").what == "The run failed after step 0: no reason was recorded."
    long = failed(ROWS, "failed", "word " * 99).what
    # 110 characters: 21 words of 5 with the blank between, 104, and three dots.
    assert long == f"The run failed after step 2: {' '.join(['word'] * 21)}."


@pytest.mark.parametrize(
    ("status", "awaited", "what"),
    [
        ("queued", "", "Waiting for step 1: the run is queued."),
        ("queued", "the reward model", "it starts when the reward model has finished."),
        ("running", "the reward model", "models and data are being loaded."),
        ("stopped", "", "The run ended before step 1."),
        ("finished", "", "The run ended before step 1."),
    ],
)
def test_run_without_rows_says_what_is_awaited(status, awaited, what):
    story = waiting([], status, awaited)
    assert isinstance(story, Story) and (story.key, story.level) == ("waiting", "info")
    assert story.what.endswith(what)


def test_run_with_rows_waits_for_nothing():
    assert waiting(ROWS, "queued", "the reward model") is None
