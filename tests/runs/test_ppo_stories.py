"""Each rule on a series where it speaks and on one where it is silent; then which one is told."""

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs import ppo_stories
from rlhf_demo.runs.ppo_stories import ppo_story
from rlhf_demo.runs.run import Run
from rlhf_demo.runs.story import Story
from rlhf_demo.train.ppo import train_ppo

OPTIONS = PPOConfig(
    total_steps=40, kl_target=3.0, kl_budget=10.0, kl_coef=0.2, learning_rate=5e-4,
    entropy_coef=0.05,
).to_dict()  # fmt: skip
LONGEST_WHAT, LONGEST_TRY = 160, 120


def rise(start, end, steps):
    """Return `steps` numbers in a straight line."""
    return [start + (end - start) * step / max(1, steps - 1) for step in range(steps)]


def run_rows(steps, **series):
    """Return rows of a healthy run in which nothing moves, but for the series that are given."""
    still = {
        "objective/score": 0.0,
        "objective/kl": 3.0,
        "objective/distinct_2": 0.68,
        "policy/entropy": 2.0,
        "policy/update_kl": 0.04,
        "policy/outside_clip": 0.3,
        "response/length": 13.0,
        "value/explained_variance": 0.4,
    }
    named = {next(key for key in still if key.endswith(name)): x for name, x in series.items()}
    return [
        {"step": step + 1, **still, **{key: values[step] for key, values in named.items()}}
        for step in range(steps)
    ]


def without_values(rows):
    """Return rows as RLOO and GRPO write them."""
    return [{key: row[key] for key in row if not key.startswith("value/")} for row in rows]


def healthy_rows(steps):
    """Return rows of a run that learns well: the score rises by a tenth each step."""
    return run_rows(steps, score=rise(0.0, 0.1 * (steps - 1), steps))


# -- PPO's rules: where each speaks, where it is silent --------------------------------------------

FIRES = {
    "kl_runs_away": run_rows(3, kl=[6.1, 6.5, 7.0]),
    # Ends of 5 of 20 steps: distinct-2 goes from about 0.66 to about 0.42, 64% of it.
    "diversity_falls": run_rows(20, score=rise(0.0, 1.9, 20), distinct_2=rise(0.68, 0.40, 20)),
    # Up by 2 and down to 0 again, with jumps of 0.2: all of the gain is lost.
    "score_fell_back": run_rows(21, score=rise(0.0, 2.0, 11) + rise(1.8, 0.0, 10)),
    "length_drifts": run_rows(15, length=rise(13.0, 30.0, 15)),
    "updates_too_large": run_rows(3, update_kl=[0.11, 0.15, 0.18]),
    "entropy_collapses": run_rows(15, entropy=rise(2.0, 0.5, 15)),
    "policy_unmoved": run_rows(10, kl=[0.01, -0.01] * 5),
    "nothing_learned": run_rows(20, score=[0.1, -0.1] * 10),
    "value_head_blind": run_rows(10, score=[0.1, -0.1] * 5, explained_variance=[0.02] * 10),
}

SILENT = {
    "kl_runs_away": run_rows(3, kl=[6.1, 5.9, 7.0]),  # not three steps in a row
    # The same score; distinct-2 falls to about 0.58, 87% of its start.
    "diversity_falls": run_rows(20, score=rise(0.0, 1.9, 20), distinct_2=rise(0.68, 0.57, 20)),
    # Up by 2, then back to 1.6.
    "score_fell_back": run_rows(21, score=rise(0.0, 2.0, 11) + rise(2.0, 1.6, 10)),
    "length_drifts": run_rows(15, length=rise(13.0, 17.0, 15)),
    "updates_too_large": run_rows(3, update_kl=[0.11, 0.10, 0.18]),
    "entropy_collapses": run_rows(15, entropy=rise(2.0, 1.6, 15)),
    "policy_unmoved": run_rows(10, kl=rise(0.0, 2.0, 10)),
    "nothing_learned": healthy_rows(20),
    "value_head_blind": run_rows(10, score=[0.1, -0.1] * 5),
}


def test_every_ppo_rule_has_both_series():
    names = [rule.__name__ for rule in ppo_stories.PPO_RULES]
    assert sorted(names) == sorted(FIRES) == sorted(SILENT)


@pytest.mark.parametrize("name", FIRES)
def test_ppo_rule_on_its_pattern_says_so_with_its_own_key(name):
    story = getattr(ppo_stories, name)(FIRES[name], OPTIONS)
    assert story.key == name
    assert story.level == ("info" if name == "value_head_blind" else "warning")
    assert story.what and story.try_


@pytest.mark.parametrize("name", SILENT)
def test_ppo_rule_without_its_pattern_is_silent(name):
    assert getattr(ppo_stories, name)(SILENT[name], OPTIONS) is None


@pytest.mark.parametrize("name", FIRES)
@pytest.mark.parametrize("steps", [1, 2])
def test_ppo_rule_on_the_first_steps_of_a_healthy_run_is_silent(name, steps):
    assert getattr(ppo_stories, name)(healthy_rows(steps), OPTIONS) is None


@pytest.mark.parametrize("name", FIRES)
def test_ppo_rule_on_a_run_that_learns_well_is_silent(name):
    assert getattr(ppo_stories, name)(healthy_rows(40), OPTIONS) is None


def test_run_without_a_value_head_is_told_of_like_any_other_but_for_that_head():
    rows = without_values(FIRES["value_head_blind"])
    assert ppo_stories.value_head_blind(rows, OPTIONS) is None
    assert ppo_story(rows, OPTIONS, "finished").key == "finished"


def test_diversity_falls_while_the_score_does_not_rise_is_silent():
    rows = run_rows(20, distinct_2=rise(0.68, 0.40, 20))
    assert ppo_stories.diversity_falls(rows, OPTIONS) is None


def test_length_drifts_to_short_responses_says_shorter():
    story = ppo_stories.length_drifts(run_rows(15, length=rise(13.0, 4.0, 15)), OPTIONS)
    assert "getting shorter" in story.what


def test_kl_runs_away_without_a_target_is_silent():
    rows = run_rows(3, kl=[6.1, 6.5, 7.0])
    assert ppo_stories.kl_runs_away(rows, OPTIONS | {"kl_target": 0.0}) is None


def test_policy_unmoved_with_a_tiny_target_that_is_met_is_silent():
    rows = run_rows(12, kl=[0.03] * 12)
    assert ppo_stories.policy_unmoved(rows, OPTIONS | {"kl_target": 0.03}) is None
    assert ppo_stories.policy_unmoved(rows, OPTIONS | {"kl_target": 0.0}) is not None


def test_nothing_learned_waits_for_ten_steps_and_for_half_of_them():
    noise = run_rows(20, score=[0.1, -0.1] * 10)
    assert ppo_stories.nothing_learned(noise[:19], OPTIONS) is None
    assert ppo_stories.nothing_learned(noise[:9], OPTIONS | {"total_steps": 12}) is None
    assert ppo_stories.nothing_learned(noise[:10], OPTIONS | {"total_steps": 12}) is not None


def test_nothing_learned_of_a_score_that_fell_advises_a_lower_learning_rate():
    story = ppo_stories.nothing_learned(run_rows(20, score=rise(1.0, 0.0, 20)), OPTIONS)
    # Ends of 5 steps: 1 - 2/19 and 2/19 on average, so it fell by 15/19 = 0.79.
    assert "fell by 0.79 SD" in story.what
    assert "below 0.0005" in story.try_


# -- PPO: which story is told ----------------------------------------------------------------------


def test_ppo_story_before_step_one_says_what_is_awaited():
    assert ppo_story([], OPTIONS, "queued").what == "Waiting for step 1: the run is queued."
    assert ppo_story([], OPTIONS, "running").what.startswith("Waiting for step 1: models")
    assert ppo_story([], OPTIONS, "stopped").what == "The run ended before step 1."


def test_ppo_story_of_the_first_steps_gives_figures_and_no_judgement():
    story = ppo_story(run_rows(3, score=[0.0, 0.4, 0.8]), OPTIONS, "running")
    assert story == Story(
        "early",
        "info",
        "At step 3 of 40: score 0.80, KL 3.0 nats, too few steps to tell a trend from noise.",
        "Wait for step 6.",
    )


@pytest.mark.parametrize("steps", [3, 12])
def test_ppo_story_of_the_last_step_waits_for_no_further_step(steps):
    options = OPTIONS | {"total_steps": steps}
    story = ppo_story(healthy_rows(steps), options, "running")
    assert story.what.startswith(f"At step {steps} of {steps}: ")
    assert story.try_ == "Wait while the run saves and measures the model."


def test_ppo_story_of_a_run_that_learns_gives_gain_and_kl_beside_its_target():
    # 12 steps, ends of 4: the score goes from 0.15 to 0.95.
    story = ppo_story(healthy_rows(12), OPTIONS, "running")
    assert (story.key, story.level) == ("learning", "good")
    assert story.what == (
        "At step 12 of 40: averaged over a few steps, the score rose by 0.80 SD, from "
        "0.15 to 0.95 (base: 0), while KL reached 3.0 nats, near its target of 3."
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [(5.0, "below its target of 5."), (1.9, "above its target of 1.9."),
     (0.0, "with no target set.")],
)  # fmt: skip
def test_ppo_story_says_where_kl_stands(target, expected):
    story = ppo_story(healthy_rows(12), OPTIONS | {"kl_target": target}, "running")
    assert story.what.endswith(f"KL reached 3.0 nats, {expected}")


def test_ppo_story_of_noise_before_half_of_the_steps_asks_for_patience():
    story = ppo_story(run_rows(8, score=[0.1, -0.1] * 4), OPTIONS, "running")
    assert (story.key, story.level) == ("no_trend", "info")


@pytest.mark.parametrize(
    ("status", "opening"), [("finished", "Finished at step 40"), ("stopped", "Stopped at step 40")]
)
def test_ppo_story_of_an_ended_run_says_how_it_ended(status, opening):
    story = ppo_story(healthy_rows(40), OPTIONS, status)
    assert (story.key, story.level) == (status, "good")
    assert story.what.startswith(opening)


def test_ppo_story_of_a_diverged_run_names_step_and_figure():
    message = (
        "training diverged at step 7: policy/loss became nan; the last saved state is kept, "
        "try a lower learning rate or a higher KL coefficient"
    )
    story = ppo_story(FIRES["diversity_falls"], OPTIONS, "failed", message)
    assert (story.key, story.level) == ("diverged", "warning")
    assert story.what == "Training diverged at step 7: policy/loss became nan."


def test_ppo_story_of_any_other_failure_gives_its_reason_cut_to_length():
    assert ppo_story([], OPTIONS, "failed").what == (
        "The run failed after step 0: no reason was recorded."
    )
    story = ppo_story(healthy_rows(12), OPTIONS, "failed", "OSError: no space left " * 20)
    assert story.key == "failed"
    assert story.what.startswith("The run failed after step 12: OSError: no space left")
    assert len(story.what) <= LONGEST_WHAT


OVER = "ended after step 3 of 40: the KL of the next texts, 10.4 nats, is over the budget of 10"


def test_ppo_story_with_two_patterns_tells_the_more_important_one():
    both = run_rows(3, kl=[6.1, 8.0, 9.4], update_kl=[0.4, 0.4, 0.4])
    assert ppo_story(both, OPTIONS, "finished", OVER).key == "kl_over_budget"
    assert ppo_story(both, OPTIONS, "running").key == "kl_runs_away"
    assert ppo_story(both, OPTIONS, "finished", "finished").key == "kl_runs_away"


def test_a_run_over_its_budget_says_so_in_its_own_words():
    story = ppo_story(run_rows(3, kl=[5.0, 8.0, 9.4]), OPTIONS, "finished", OVER)
    assert (story.level, story.what) == ("warning", f"The run {OVER}.")
    assert ppo_story([], OPTIONS, "finished", OVER.replace("step 3", "step 0")).what == (
        "The run ended after step 0 of 40: the KL of the next texts, 10.4 nats, is over the budget "
        "of 10."
    )
    until_november_2026 = "ended after step 3 of 40: KL 10.4 nats is over the budget of 10"
    assert ppo_story([], OPTIONS, "finished", until_november_2026).key == "kl_over_budget"


def test_advice_where_kl_leapt_over_its_budget_is_a_lower_learning_rate():
    leap = run_rows(2, kl=[1.0, 5.0])  # 10.4 is more than twice 5
    assert "a learning rate below" in ppo_story(leap, OPTIONS, "finished", OVER).try_


def test_advice_without_a_kl_penalty_is_to_have_one():
    free = OPTIONS | {"kl_coef": 0.0, "kl_target": 0.0}
    story = ppo_story(run_rows(3, kl=[5.0, 8.0, 9.4]), free, "finished", OVER)
    assert story.try_ == "Next run: a KL coefficient above 0."


def test_the_message_of_a_real_run_over_its_budget_is_understood(tiny_model_folder, tmp_path):
    config = PPOConfig(
        policy=str(tiny_model_folder), reward="longer", total_steps=9, batch_size=8,
        minibatch_size=8, max_new_tokens=4, learning_rate=1e-2, warmup_steps=0, lora_rank=0,
        kl_coef=0.0, kl_target=0.0, kl_budget=1.0, dtype="float32",
    )  # fmt: skip
    run = Run.create(tmp_path / "run", "ppo", config.to_dict())
    train_ppo(config, run, scorer=length_scores)
    said = run.status["status"], run.status["message"]
    assert ppo_story(run.read("metrics"), config.to_dict(), *said).key == "kl_over_budget"


EXAMPLES = CHECKPOINTS / "examples"


@pytest.mark.parametrize(
    ("name", "told", "advice"),
    [
        ("ppo-quick", {"finished"}, "prompts that it was not trained on"),
        ("ppo-no-kl", {"diversity_falls", "length_drifts"}, "Next run: a KL coefficient above 0."),
        # Tried: with a KL coefficient of 1 and a target of 1 nat it leaves as fast; with a tenth of
        # the learning rate it stays at 2.2 nats.
        ("ppo-fast", {"kl_over_budget"}, "Next run: a learning rate below 0.01, because"),
    ],
)
def test_shipped_runs_are_told_as_what_they_are(name, told, advice):
    run = Run(EXAMPLES / name)
    said = run.status["status"], run.status["message"]
    story = ppo_story(run.read("metrics"), run.config["options"], *said)
    assert story.key in told
    assert advice in story.try_
    assert_calm(story)


# -- all of them -----------------------------------------------------------------------------------


def assert_calm(story):
    """Make sure that a story's sentences are short, whole, and free of noise."""
    assert len(story.what) <= LONGEST_WHAT and len(story.try_) <= LONGEST_TRY, story
    assert story.what.endswith(".") and story.try_.endswith((".", "?")), story
    assert "!" not in story.what + story.try_ and "nan" not in story.what, story


def test_sentences_are_short_and_calm():
    rows = [*FIRES.values(), *SILENT.values(), healthy_rows(40), healthy_rows(3), []]
    told = [
        ppo_story(series, OPTIONS, status)
        for series in rows
        for status in ("queued", "running", "finished", "stopped", "failed")
    ]
    told += [rule(FIRES[rule.__name__], OPTIONS) for rule in ppo_stories.PPO_RULES]
    for story in told:
        assert_calm(story)
