"""What is told of a reward model's run: each rule where it speaks and where it is silent."""

import json

import pytest

from rlhf_demo.data.pairs import Pairs
from rlhf_demo.evaluation.reliability import held_out_report
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs import reward_stories
from rlhf_demo.runs.reward_stories import reward_story
from rlhf_demo.runs.story import Story
from tests.runs.test_ppo_stories import assert_calm


def reward_rows(accuracies, looks):
    """Return rows of a reward run; `looks` gives held-out accuracy by step, 0 before training."""
    rows = [{"step": 0, "heldout/loss": 0.69, "heldout/accuracy": 0.5}]
    for step, accuracy in enumerate(accuracies, start=1):
        row = {"step": step, "reward/loss": 0.5, "reward/accuracy": accuracy, "reward/margin": 1.0}
        if step in looks:
            row |= {"heldout/loss": 0.5, "heldout/accuracy": looks[step]}
        rows.append(row)
    return rows


def report_of(right, wrong, *, margin=1.0, longer=0.5):
    """Return the real report on pairs with these margins, of which a share has the longer chosen.

    A margin of 1 is a stated probability of 1 / (1 + e^-1) = 0.73.
    """
    count = right + wrong
    lengths = [3 if index < longer * count else 1 for index in range(count)]
    pairs = Pairs(
        prompts=[f"p{index}" for index in range(count)],
        chosen=["a" * length for length in lengths],
        rejected=["bb"] * count,
    )
    return held_out_report(pairs, [margin] * right + [-margin] * wrong, score_std=4.0)


GOOD_ROWS = reward_rows([0.5, 0.75] * 10 + [0.875, 0.75] * 10, {40: 0.8})


def test_reward_story_before_step_one_waits_though_the_held_out_pairs_were_looked_at():
    assert reward_story(reward_rows([], {}), None, "running").key == "waiting"


def test_reward_story_of_the_first_steps_does_not_judge():
    story = reward_story(reward_rows([1.0, 1.0], {}), None, "running")
    assert (story.key, story.what) == (
        "early", "Step 2: too few pairs seen to tell learning from guessing."
    )  # fmt: skip


def test_reward_story_while_learning_gives_both_accuracies():
    # The last 20 steps alternate 0.875 and 0.75: 0.8125 on average.
    story = reward_story(GOOD_ROWS, None, "running")
    assert story.what == (
        "Step 40: the reward model recently got 81% of the training pairs right (guessing: 50%), "
        "and 80% of the held-out pairs at the last evaluation."
    )
    assert reward_story(GOOD_ROWS, None, "stopped").what.startswith(
        "Stopped at step 40: the reward model recently"
    )


def test_reward_story_of_a_good_model_gives_its_interval_and_the_yardstick():
    # Wilson's interval of 400 in 500: centre (0.8 + 1.921/500) / (1 + 3.841/500) = 0.7977,
    # half-width 0.0350; at 73% stated it is rather too modest.
    story = reward_story(GOOD_ROWS, report_of(400, 100, longer=0.52), "finished")
    assert story == Story(
        "finished",
        "good",
        "The reward model gets 80% of 500 held-out pairs right [76, 83]; "
        "just picking the longer response gets 52%.",
        "Train a policy with it, then read what it rewards.",
    )


def test_guessing_is_told_where_the_interval_holds_a_half():
    # 53 of 100: the interval reaches from 43 to 62. Of 400 and 100 it starts at 76.
    story = reward_story(GOOD_ROWS, report_of(53, 47), "finished")
    assert (story.key, story.level) == ("guessing", "warning")
    assert reward_stories.guessing(GOOD_ROWS, report_of(400, 100)) is None
    assert reward_stories.guessing(GOOD_ROWS, None) is None


def test_an_interval_below_a_half_is_worse_than_guessing():
    story = reward_story(GOOD_ROWS, report_of(200, 300), "finished")
    assert (story.key, story.level) == ("worse_than_guessing", "warning")
    assert "40% of 500 held-out pairs right [36, 44]: that is worse than guessing" in story.what
    assert reward_stories.worse_than_guessing(GOOD_ROWS, report_of(240, 260)) is None


@pytest.mark.parametrize(("longer", "side"), [(0.78, "longer"), (0.2, "shorter")])
def test_length_does_as_well_is_told_where_the_interval_holds_it(longer, side):
    """Where the shorter one wins 80%, a model that merely prefers it has learned nothing else."""
    story = reward_story(GOOD_ROWS, report_of(400, 100, longer=longer), "finished")
    assert (story.key, story.level) == ("length_does_as_well", "warning")
    assert f"just picking the {side} response gets {max(longer, 1 - longer):.0%}" in story.what


@pytest.mark.parametrize("longer", [0.7, 0.3])
def test_length_that_does_worse_is_not_told(longer):
    report = report_of(400, 100, longer=longer)  # the interval starts at 76
    assert reward_stories.length_does_as_well(GOOD_ROWS, report) is None
    assert reward_stories.length_does_as_well(GOOD_ROWS, None) is None


def test_learned_by_heart_is_told_where_training_pairs_go_far_better():
    by_heart = reward_rows([0.75] * 10 + [1.0] * 20, {30: 0.7})
    story = reward_story(by_heart, None, "running")
    assert (story.key, story.level) == ("learned_by_heart", "warning")
    assert "100% of its training pairs right but 70%" in story.what
    assert reward_stories.learned_by_heart(GOOD_ROWS, None) is None


def test_learned_by_heart_compares_with_the_training_accuracy_of_that_look():
    """What was learned since the last look says nothing about the held-out pairs."""
    rows = reward_rows([0.75] * 20 + [1.0] * 20, {20: 0.72})
    assert reward_stories.learned_by_heart(rows, None) is None


def test_learned_by_heart_within_the_interval_of_few_held_out_pairs_is_silent():
    # 8 of 10: the interval reaches up to 0.94.
    rows = reward_rows([0.925] * 20, {20: 0.8})
    assert reward_stories.learned_by_heart(rows, None) is not None
    assert reward_stories.learned_by_heart(rows, report_of(8, 2)) is None


def test_overconfident_is_told_where_it_is_surer_than_right():
    # Margin 3: 1 / (1 + e^-3) = 0.95 stated, 0.80 right. Margin 1.5: 0.82 stated.
    story = reward_story(GOOD_ROWS, report_of(400, 100, margin=3.0), "finished")
    assert (story.key, story.level) == ("overconfident", "warning")
    assert "95% sure" in story.what
    assert reward_stories.overconfident(GOOD_ROWS, report_of(400, 100, margin=1.5)) is None
    assert reward_stories.overconfident(GOOD_ROWS, None) is None


def test_reward_story_of_a_failed_run_says_so():
    assert reward_story(GOOD_ROWS, None, "failed", "ValueError: x").what == (
        "The run failed after step 40: ValueError: x."
    )


def test_reward_story_of_a_report_without_rows_tells_the_report():
    assert reward_story([], report_of(400, 100), "finished").key == "finished"


def test_votes_are_told_apart_from_the_pairs_that_they_are_on():
    """Forty votes, four on each of ten pairs: three say a, one says b, and the model says a."""
    prompts = [f"p{index}" for index in range(10) for _ in range(4)]
    pairs = Pairs(prompts, ["a", "a", "a", "b"] * 10, ["b", "b", "b", "a"] * 10)
    report = held_out_report(pairs, [1.0, 1.0, 1.0, -1.0] * 10, 4.0)
    told = reward_stories.share_right(report)
    assert told.startswith("75% of 40 votes on 10 held-out pairs right [")
    assert reward_stories.share_right(report_of(400, 100)).startswith("80% of 500 held-out pairs")


# -- the shipped run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    """The rows and the report of the example that the page shows."""
    folder = CHECKPOINTS / "examples" / "reward-shipped"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return rows, json.loads((folder / "report.json").read_text())


def test_shipped_run_is_told_as_good_with_its_report(shipped):
    rows, report = shipped
    story = reward_story(rows, report, "finished")
    assert (story.key, story.level) == ("finished", "good")
    right = round(report["accuracy"] * report["pairs"], 1)
    assert story.what == (
        f"The reward model gets {right / report['pairs']:.0%} of 1,256 held-out pairs right "
        f"[{100 * report['accuracy_low']:.0f}, {100 * report['accuracy_high']:.0f}]; "
        "just picking the longer response gets 52%."
    )


def test_no_step_of_the_shipped_run_is_told_as_a_fault(shipped):
    rows, _ = shipped
    told = [reward_story(rows[:count], None, "running") for count in range(len(rows) + 1)]
    keys = list(dict.fromkeys(story.key for story in told))
    assert keys == ["waiting", "early", "learning"]
    for story in told:
        assert_calm(story)


def test_shipped_report_has_what_a_report_of_today_has(shipped):
    """Its rows of pairs add up, and its figures are those of its own tables."""
    _, report = shipped
    today = report_of(400, 100)
    assert set(today) <= set(report)
    for table in ("reliability", "most_wrong"):
        assert list(report[table][0]) == list(today[table][0])
    count = sum(row["pairs"] for row in report["reliability"])
    assert count == report["pairs"] == report["different_pairs"]
    observed = sum(row["pairs"] * row["observed"] for row in report["reliability"]) / count
    assert observed == pytest.approx(report["accuracy"])
    stated = sum(row["pairs"] * row["predicted"] for row in report["reliability"]) / count
    assert stated == pytest.approx(report["stated"])


def test_sentences_are_short_and_calm():
    for report in (
        None, report_of(400, 100), report_of(53, 47), report_of(400, 100, longer=0.78),
        report_of(400, 100, margin=3.0),
    ):  # fmt: skip
        assert_calm(reward_story(GOOD_ROWS, report, "finished"))
