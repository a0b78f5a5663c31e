"""Each story of a DPO or SFT run on rows where it is told; score and KL are in some rows only."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.runs.offline_stories import measured, offline_story

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
    story = offline_story(run_rows(RISE), OPTIONS, "finished")
    assert (story.key, story.level) == ("finished", "good")
    # Ends of three measurements: from (0 + 0.2 + 0.4) / 3 to 1.2.
    assert story.what == (
        "Finished at step 80 of 80: in 75% of the last pairs, the preferred text has the higher "
        "implicit reward; averaged over a few measurements, the score rose by 1.00 SD, from 0.20 "
        "to 1.2 (base: 0); KL is 2.0 nats."
    )


@pytest.mark.parametrize(("error", "sure"), [(0.49, True), (0.51, False)])
def test_rise_within_two_standard_errors_is_told_as_a_move(error, sure):
    rows = run_rows(RISE)
    rows[-1]["objective/score_se"] = error
    story = offline_story(rows, OPTIONS, "finished")
    assert ("the score rose by 1.00 SD" in story.what) == sure
    assert ("moved by +1.00 SD, less than 2 times its standard error" in story.what) == (not sure)
    assert story.level == ("good" if sure else "info")


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
    assert offline_story(rows, OPTIONS, status).key == key


def test_what_to_try_names_beta_and_no_option_that_dpo_lacks():
    for rows in (run_rows(RISE, kl=12.0), run_rows([0.0] * 12, kl=0.01)):
        story = offline_story(rows, OPTIONS, "running")
        assert "beta" in story.try_ and "KL coefficient" not in story.try_
    alike = run_rows(RISE)
    for number, row in enumerate(measured(alike)):
        row["objective/distinct_2"] = 0.75 - 0.05 * number
    story = offline_story(alike, OPTIONS, "running")
    assert story.key == "diversity_falls" and "a beta above 0.5" in story.try_


def sft_rows(losses, scores=RISE, **changes):
    rows = [
        {key: value for key, value in row.items() if not key.startswith("dpo/")}
        for row in run_rows(scores, **changes)
    ]
    rows[0]["sft/total_steps"] = rows[-1]["step"]
    for row, loss in zip(measured(rows), losses, strict=True):
        row["sft/heldout_loss"] = loss
    return rows


SFT = SFTConfig(learning_rate=1e-3).to_dict()
FALL = [2.0, 1.9, 1.8, 1.7, 1.6, 1.6, 1.6, 1.6, 1.6]


def test_finished_sft_run_tells_the_loss_on_texts_that_it_did_not_learn():
    story = offline_story(sft_rows(FALL), SFT, "finished")
    assert story.what == (
        "Finished at step 80 of 80: the loss on held-out texts went from 2.000 to 1.600 nats per "
        "token; averaged over a few measurements, the score rose by 1.00 SD, from 0.20 to 1.2 "
        "(base: 0); KL is 2.0 nats."
    )


def test_sft_run_whose_held_out_loss_rises_has_learned_its_texts_by_heart():
    story = offline_story(sft_rows([*FALL[:-2], 1.65, 1.7]), SFT, "running")
    assert story.key == "learned_by_heart"  # 1.7 is more than 1.05 times 1.6
    assert "lowest at step 40 (1.6 nats per token) and is now 1.7" in story.what
    assert offline_story(sft_rows([*FALL[:-1], 1.67]), SFT, "running").key == "learning"


def test_score_of_sft_may_fall_again_without_a_warning():
    fallen = [*RISE, 1.2, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert offline_story(sft_rows([1.6] * 15, fallen), SFT, "running").key == "learning"


def test_what_sft_should_try_names_no_option_that_it_lacks():
    far, still = sft_rows(FALL, kl=12.0), sft_rows([2.0] * 12, [0.0] * 12, kl=0.01)
    for rows, words in [(far, "a learning rate below 0.001, or fewer epochs"), (still, "above")]:
        story = offline_story(rows, SFT, "running")
        assert words in story.try_ and "beta" not in story.try_


def test_diverged_run_says_so():
    message = "training diverged at step 3: dpo/loss became nan; the last checkpoint is kept"
    assert offline_story(run_rows(RISE[:2]), OPTIONS, "failed", message).key == "diverged"
