"""What each chart draws is what its title says."""

import pytest

from rlhf_demo.ui.panels.board import _lines
from rlhf_demo.ui.panels.charts import PARTS_OF_BOARD, PPO, REWARD, keys

DRAWN = {
    "Score": ["objective/score"],
    "KL from the base": ["objective/kl"],
    "Implicit rewards": ["dpo/chosen", "dpo/rejected"],
    "Accuracy on pairs": ["dpo/accuracy"],
    "DPO loss": ["dpo/loss"],
    "KL coefficient": ["objective/kl_coef"],
    "Entropy": ["policy/entropy"],
    "Stopped by the clip": ["policy/clip_fraction"],
    "Length": ["response/length"],
    "Value\u2019s fit (R\u00b2)": ["value/explained_variance"],
    "Policy loss": ["policy/loss"],
    "Loss on texts": ["sft/heldout_loss", "sft/loss"],
    "Token accuracy": ["sft/accuracy"],
    "KL in the loss": ["policy/kl_k3"],
    "Value loss": ["value/loss"],
    "KL of the step": ["policy/update_kl"],
    "Distinct-2": ["objective/distinct_2"],
    "Ended by itself": ["response/eos_rate"],
    "Step time": ["time/step_seconds"],
    "Score and judge by KL": ["objective/score", "judge/score"],
    "Do reward and judge agree?": ["judge/agreement"],
    "Gradient norm": [
        "policy/gradient_norm", "policy/gradient_norm_policy", "policy/gradient_norm_value",
    ],
    "Gradients scaled down": ["policy/gradient_cut"],
    "Loss": ["heldout/loss", "reward/loss"],
    "Accuracy": ["heldout/accuracy", "reward/accuracy"],
    "Margin": ["reward/margin"],
}  # fmt: skip
ERRORS = {
    "objective/score": "objective/score_se",
    "judge/score": "judge/score_se",
    "judge/agreement": "judge/agreement_se",
}
SPECS = [spec for board in (PPO, REWARD) for part in PARTS_OF_BOARD for spec in board[part]]


def test_each_chart_draws_the_metrics_of_its_title_with_their_own_errors():
    drawn = {spec["title"]: [one["key"] for one in spec["series"]] for spec in SPECS}
    series = [one for spec in SPECS for one in spec["series"]]
    errors = {one["key"]: one["spread_key"] for one in series if "spread_key" in one}
    assert drawn == DRAWN
    assert errors == ERRORS


def test_reward_and_judge_are_drawn_over_the_exact_kl_and_all_else_over_steps():
    over = {spec["title"]: spec["x"] for spec in SPECS if "x" in spec}
    assert over == {"Score and judge by KL": "objective/kl"}


@pytest.mark.parametrize("board", [PPO, REWARD], ids=["ppo", "reward"])
def test_yardsticks_belong_to_charts_that_are_there(board):
    options = {"kl_budget": 8.0, "kl_target": 2.0, "kl_coef": 0.1, "max_grad_norm": 1.0}
    lines = _lines(board["kind"], options | {"data": "shipped"}, [], None)
    assert set(lines) <= set(keys(board))
