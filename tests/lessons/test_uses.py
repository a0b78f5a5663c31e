"""Whose taste: the answer is the formula's, and the answers say what the choices mean."""

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.lessons import uses


def test_two_voters_with_a_fifth_wrong_agree_on_68_percent(models):
    result = uses.outcome(models)
    assert LESSONS["uses"].answers[result["answer"]] == "68%"
    assert "64% of the pairs and both are wrong on 4%" in result["result"]
    assert [f"{share:.0%}" for share in uses.CHOICES] == list(LESSONS["uses"].answers)


def test_rates_run_from_none_wrong_to_a_coin(models):
    look = uses.look(models, {})
    assert look["error_rates"][0] == 0
    assert (look["agreement"][0], look["ceiling"][0]) == (1, 1)
    assert look["error_rates"][-1] == 0.5
    assert look["agreement"][-1] == pytest.approx(0.5)
