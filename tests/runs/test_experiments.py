"""Which answer came true: the figures, their noise and the sentences, worked out by hand."""

import math
from dataclasses import replace

import pytest

from rlhf_demo.config.experiments import EXPERIMENTS
from rlhf_demo.runs.experiments import End, Measured, Outcome, compared, end_of, outcome, yardstick

NO_KL, NOISE_20, LENGTH, CLIP = (
    EXPERIMENTS[name] for name in ("no-kl", "flipped-20", "length-rule", "clip-10")
)
UNIT = "standard deviations of the base's scores"


def steady(metric, value, **more):
    """Five rows of the same value: its error is 0."""
    return Measured([{"step": step, metric: value} for step in range(1, 6)], **more)


def answer(experiment, value, usual):
    return outcome(
        experiment, steady(experiment.metric, value), steady(experiment.metric, usual)
    ).answer


# -- the end of a run ------------------------------------------------------------------------------


def test_end_is_the_mean_of_the_last_five_values_with_its_standard_error():
    """1, 2, 3, 4, 5: mean 3, variance (4+1+0+1+4)/4 = 2.5, error sqrt(2.5/5) = sqrt(0.5)."""
    rows = [{"step": step, "objective/kl": value} for step, value in enumerate([99, 1, 2, 3, 4, 5])]
    end = end_of(rows, "objective/kl")
    assert end.mean == 3
    assert end.error == pytest.approx(math.sqrt(0.5))


def test_steps_without_the_value_do_not_count():
    """The judge reads every second step: 2 and 4 are all values; error sqrt(2/2) = 1."""
    rows = [{"step": 1, "judge/score": 2.0}, {"step": 2}, {"step": 3, "judge/score": 4.0}]
    assert end_of([*rows, {"step": 4, "judge/score": None}], "judge/score") == End(3.0, 1.0)


def test_one_value_has_no_error_and_no_value_no_end():
    end = end_of([{"step": 1, "objective/kl": 7.0}], "objective/kl")
    assert end.mean == 7.0 and math.isnan(end.error)
    assert end_of([{"step": 1}], "objective/kl") is None
    assert outcome(NO_KL, Measured([]), steady("objective/kl", 1.0)) is None
    assert outcome(NO_KL, steady("objective/kl", 1.0), Measured([])) is None


# -- the rules of decision -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kl", "wanted"), [(3.9, 0), (4.0, 1), (19.9, 1), (20.0, 2), (60.0, 2), (0.0, 0)]
)
def test_without_kl_penalty_the_multiple_of_the_default_kl_decides(kl, wanted):
    """The default run ended at 2 nats: twice is 4, ten times 20."""
    assert answer(NO_KL, kl, 2.0) == wanted


@pytest.mark.parametrize("name", ["flipped-20", "flipped-40", "pairs-100"])
@pytest.mark.parametrize(
    ("judge", "wanted"), [(-0.5, 0), (0.49, 0), (0.5, 1), (0.89, 1), (0.9, 2), (1.4, 2)]
)
def test_of_another_reward_model_the_share_of_the_judges_gain_decides(name, judge, wanted):
    assert answer(EXPERIMENTS[name], judge, 1.0) == wanted
    assert answer(EXPERIMENTS[name], 2 * judge, 2.0) == wanted


@pytest.mark.parametrize(("judge", "wanted"), [(-0.31, 0), (-0.3, 1), (0.29, 1), (0.3, 2)])
def test_of_the_length_rule_the_judges_score_alone_decides(judge, wanted):
    assert answer(LENGTH, judge, 1.3) == wanted


@pytest.mark.parametrize("name", ["clip-10", "rloo"])
@pytest.mark.parametrize(
    ("score", "wanted"), [(0.5, 0), (0.75, 0), (0.81, 1), (1.19, 1), (1.25, 2), (2.0, 2)]
)
def test_of_clip_and_rloo_the_difference_of_the_scores_decides(name, score, wanted):
    """Between 0.8 and 1.2 it is about the default run's 1."""
    assert answer(EXPERIMENTS[name], score, 1.0) == wanted


# -- chance ----------------------------------------------------------------------------------------


def test_noise_is_two_standard_errors_of_what_decides():
    """Alone 2 * 3; a difference 2 * sqrt(3^2 + 4^2); of 12 / 4, with errors 3 and 4, the quotient
    has 2 * sqrt((3 / 4)^2 + (12 * 4 / 4^2)^2) = 2 * sqrt(0.5625 + 9).
    """
    end, usual = End(12.0, 3.0), End(4.0, 4.0)
    assert compared(LENGTH, end, usual) == (12.0, 6.0)
    assert compared(CLIP, end, usual) == (8.0, 10.0)
    figure, noise = compared(NO_KL, end, usual)
    assert (figure, noise) == (3.0, pytest.approx(2 * math.sqrt(9.5625)))


@pytest.mark.parametrize(
    ("end", "close"),
    [
        (0.5, ""),  # 0.3 from the bound at 0.2
        (0.3, " This is close: chance alone could have made it \u201cB\u201d."),
        (0.15, " This is close: chance alone could have made it \u201cC\u201d."),
        (-0.15, " This is close: chance alone could have made it \u201cA\u201d."),
    ],
)
def test_answer_within_two_standard_errors_of_another_is_called_close(end, close):
    """The five values end - 0.2, end (three times) and end + 0.2 have the variance 0.08 / 4 = 0.02,
    so the error sqrt(0.02 / 5) = 0.063, and the noise is 0.126.
    """
    values = [end - 0.2, end, end, end, end + 0.2]
    rows = [{"step": step, "judge/score": value} for step, value in enumerate(values)]
    experiment = replace(LENGTH, answers=("A", "B", "C"), bounds=(-0.2, 0.2))
    sentence = outcome(experiment, Measured(rows), steady("judge/score", 1.0)).sentence
    assert sentence.partition("the default run 1.00.")[2] == close


def test_very_noisy_end_may_be_any_answer():
    """-2 and 2: mean 0, error sqrt(8/2) = 2, noise 4."""
    rows = [{"step": 1, "judge/score": -2.0}, {"step": 2, "judge/score": 2.0}]
    experiment = replace(LENGTH, answers=("A", "B", "C"))
    result = outcome(experiment, Measured(rows), steady("judge/score", 1.0))
    assert result.answer == 1
    assert result.sentence.endswith("could have made it \u201cA\u201d or \u201cC\u201d.")


def test_single_value_is_not_called_close():
    result = outcome(
        LENGTH, Measured([{"step": 1, "judge/score": 0.0}]), steady("judge/score", 1.0)
    )
    assert "close" not in result.sentence


# -- sentences -------------------------------------------------------------------------------------


def test_sentence_has_both_runs_figures_and_their_unit():
    assert outcome(NO_KL, steady("objective/kl", 60.0), steady("objective/kl", 2.5)) == Outcome(
        2,
        "The KL from the reference ended at 60.0 nats per response, 24.0 times the default "
        "run\u2019s 2.50.",
    )
    score = steady("objective/score", 1.25)
    less, more = steady("objective/score", 0.75), steady("objective/score", 2.0)
    assert outcome(CLIP, less, score).sentence == (
        f"The score ended at 0.75 {UNIT}, 0.50 less than the default run\u2019s 1.25."
    )
    assert outcome(CLIP, more, score).sentence == (
        f"The score ended at 2.00 {UNIT}, 0.75 more than the default run\u2019s 1.25."
    )
    assert (
        outcome(LENGTH, steady("judge/score", -0.5), steady("judge/score", 1.5)).sentence
        == f"The judge's score ended at -0.50 {UNIT}; the base has 0, the default run 1.50."
    )


def test_sentence_on_another_reward_model_says_how_often_both_are_right():
    run = steady("judge/score", 0.6, accuracy=0.7049)
    default = steady("judge/score", 1.2, accuracy=0.8698)
    assert outcome(NOISE_20, run, default) == Outcome(
        1,
        f"The judge's score ended at 0.60 {UNIT}, 0.50 times the default run\u2019s 1.20. The "
        "reward model was right on 70% of the held-out pairs; the default one is right on 87%.",
    )
    assert "pairs" not in outcome(NOISE_20, steady("judge/score", 0.6), default).sentence
    assert "pairs" not in outcome(LENGTH, run, default).sentence


def test_yardstick_says_where_the_default_run_ended():
    assert yardstick(NO_KL, steady("objective/kl", 2.75)) == (
        "In the default run, the KL from the reference ended at 2.75 nats per response."
    )
    assert yardstick(NO_KL, Measured([])) == ""
