"""Each story of a DPO run on rows where it is told; score and KL are in some rows only."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.runs.dpo_stories import dpo_story, measured

OPTIONS = DPOConfig(beta=0.5, learning_rate=1e-3).to_dict()


def run_rows(scores, kl=2.0, distinct=0.75, length=9.0, every=10):
    """Rows of a run that measures every so many steps, from step 0 on."""
    rows = []
    for number, score in enumerate(scores):
        step = number * every
        of_policy = {
            "objective/score": score, "objective/kl": kl if number else 0.0,
            "objective/distinct_2": distinct if number else 0.75, "response/length": length,
        }  # fmt: skip
        rows += [{"step": step - i, "dpo/accuracy": 0.75} for i in range(every - 1, 0, -1) if step]
        rows.append({"step": step, **of_policy} | ({"dpo/accuracy": 0.75} if step else {}))
    rows[0]["dpo/total_steps"] = every * (len(scores) - 1)
    return rows


RISE = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.2, 1.2]


def test_only_rows_with_a_score_are_measurements():
    rows = run_rows([0.0, 0.5])
    assert len(rows) == 11 and [row["step"] for row in measured(rows)] == [0, 10]


def test_finished_run_tells_pairs_score_and_kl():
    story = dpo_story(run_rows(RISE), OPTIONS, "finished")
    assert (story.key, story.level) == ("finished", "good")
    # Ends of three measurements: from (0 + 0.2 + 0.4) / 3 to 1.2.
    assert story.what == (
        "Finished at step 80 of 80: 75% of the last pairs are in the judge's order; the score rose "
        "by 1.00 SD to 1.2 (base: 0); KL is 2.0 nats."
    )


@pytest.mark.parametrize(
    ("rows", "status", "key"),
    [
        ([], "queued", "waiting"),
        (run_rows(RISE[:3]), "running", "learning"),
        (run_rows(RISE), "stopped", "stopped"),
        (run_rows(RISE, kl=12.0), "running", "far_from_the_base"),
        (run_rows([0.0] * 12, kl=0.01), "running", "policy_unmoved"),
        (run_rows([0.0] * 12, kl=1.0), "running", "learning"),
        (run_rows([*RISE, 1.2, 0.4, 0.3, 0.2, 0.1, 0.0]), "running", "score_fell_back"),
    ],
)
def test_story_is_that_of_its_rows(rows, status, key):
    assert dpo_story(rows, OPTIONS, status).key == key


def test_what_to_try_names_beta_and_no_option_that_dpo_lacks():
    for rows in (run_rows(RISE, kl=12.0), run_rows([0.0] * 12, kl=0.01)):
        story = dpo_story(rows, OPTIONS, "running")
        assert "beta" in story.try_ and "KL coefficient" not in story.try_
    alike = run_rows(RISE)
    for number, row in enumerate(measured(alike)):
        row["objective/distinct_2"] = 0.75 - 0.05 * number
    story = dpo_story(alike, OPTIONS, "running")
    assert story.key == "diversity_falls" and "a beta above 0.5" in story.try_


def test_diverged_run_says_so():
    message = "training diverged at step 3: dpo/loss became nan; the last checkpoint is kept"
    assert dpo_story(run_rows(RISE[:2]), OPTIONS, "failed", message).key == "diverged"
