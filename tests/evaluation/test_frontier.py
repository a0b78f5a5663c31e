"""The frontier: wins, interpolation, intervals, ties and costs, worked by hand."""

import math

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.evaluation.frontier import (
    arm_at,
    arms_of,
    cost_of,
    cost_rows,
    cost_table,
    difference,
    estimate,
    half_wins,
    judge_view,
    level_of,
    marks_of,
    notes_of,
    own_run,
    setting_of,
    table,
    title,
    wins_at,
    wins_of,
)
from rlhf_demo.intervals import t_quantile

FREE = {"generated": 0, "reward_calls": 0, "read": 0}


def point(step, kl, wins, **more):
    return {"step": step, "kl": kl, "wins": {"j": wins}, **more}


def run(arm, seed, *points, setting="", cost=FREE):
    return {
        "name": f"{arm}-{seed}", "arm": arm, "setting": setting, "seed": seed, "cost": cost,
        "points": list(points),
    }  # fmt: skip


def record(*runs, **more):
    return {"base": "b", "prompts": ["P", "Q"], "judges": ["j"], "runs": list(runs), **more}


# -- wins ------------------------------------------------------------------------------------------


def test_half_wins_counts_two_for_a_win_and_one_for_a_tie():
    # Above 3, equal to 1, below 4 of eight: 3 * 2 + 1 = 7. All eight beaten: 16 = g.
    others = [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert half_wins([1.0, 3.0, -1.0], [others] * 3) == "7g0"
    assert wins_of("7g0") == [7 / 16, 1.0, 0.0]


# -- at equal KL -----------------------------------------------------------------------------------


def test_wins_between_two_points_lie_on_a_line_over_the_root_of_kl():
    points = [(9.0, [1.0, 0.5]), (1.0, [0.0, 0.5]), (16.0, [0.0, 0.0])]
    # The root of 2.25 is 1.5: a fourth of the way from 1 to 3.
    assert wins_at(points, 2.25) == pytest.approx([0.25, 0.5])
    assert wins_at(points, 1.0) == [0.0, 0.5]
    assert wins_at(points, 9.0) == [1.0, 0.5]
    assert wins_at(points, 16.0) == [0.0, 0.0]


def test_nothing_is_extrapolated():
    points = [(1.0, [0.5]), (3.0, [0.7])]
    assert wins_at(points, 0.9) is None
    assert wins_at(points, 3.1) is None
    assert wins_at(points[:1], 1.0) is None
    assert wins_at([], 1.0) is None


def test_points_with_equal_kl_are_averaged():
    assert wins_at([(2.0, [0.0]), (2.0, [1.0])], 2.0) == [0.5]


def test_an_arm_has_one_curve_for_each_seed_over_all_its_settings():
    runs = [
        run("ppo", 0, point(10, 1.0, "00"), setting="strong"),
        run("ppo", 0, point(10, 4.0, "gg"), setting="weak"),
        run("ppo", 1, point(10, 2.0, "0g"), point(20, 4.0, "0g")),
        run("dpo", 0, point(10, 2.0, "gg"), point(20, 3.0, "gg")),
    ]
    assert arm_at(runs, "ppo", "j", 2.25) == [[0.5, 0.5], [0.0, 1.0]]
    assert arm_at(runs, "ppo", "j", 1.5) == []  # seed 1 does not reach down to it
    assert arm_at(runs, "rloo", "j", 2.0) == []


# -- intervals -------------------------------------------------------------------------------------

ROWS = [0.0, 0.25, 0.5, 0.75, 1.0] * 20
"""Mean 1/2; variance 12.5 / 99."""


def test_interval_of_one_seed_is_that_of_a_mean_over_prompts():
    found = estimate([ROWS])
    # Student's t with 99 degrees of freedom: 1.9842.
    half = 1.9842 * math.sqrt(12.5 / 99 / 100)
    assert found["mean"] == 0.5
    assert found["high"] - 0.5 == pytest.approx(half, rel=1e-4)
    assert 0.5 - found["low"] == pytest.approx(half, rel=1e-4)


def test_interval_of_several_seeds_adds_their_spread():
    # On every prompt the seeds win 0.4, 0.5 and 0.6: no variance over prompts, 0.01 over seeds.
    found = estimate([[0.4] * 4, [0.5] * 4, [0.6] * 4])
    # t with two degrees of freedom is 4.303.
    assert found["high"] - 0.5 == pytest.approx(4.303 * math.sqrt(0.01 / 3), rel=1e-3)


def test_interval_stays_between_0_and_1():
    found = estimate([[1.0, 0.9], [1.0, 0.2]])
    assert (found["low"], found["high"]) == (0.0, 1.0)


def test_degrees_of_freedom_of_a_sum_worked_by_hand():
    # Prompts 0 and 1 (means over the seeds): variance 1/2, of the mean 1/4 with 1 degree.
    # Seeds 1/4 and 3/4: variance 1/8, of the mean 1/16 with 1 degree.
    # Together 5/16; degrees (5/16)^2 / (1/16 + 1/256) = 25/17, cut to 1.
    found = difference([[-0.25, 0.75], [0.25, 1.25]], [[0.0, 0.0]])
    assert found["mean"] == 0.5
    assert found["high"] - 0.5 == pytest.approx(t_quantile(1, 0.05) * math.sqrt(5 / 16))


def test_difference_is_paired_by_prompt():
    # The prompts differ much, the arms by 0.1 on each: nothing varies.
    hard = [0.0, 0.2, 0.4, 0.6]
    found = difference([[wins + 0.1 for wins in hard]], [hard])
    assert found["mean"] == pytest.approx(0.1)
    assert found["high"] - found["low"] == pytest.approx(0.0, abs=1e-6)


def test_difference_counts_the_spread_of_both_arms_seeds():
    flat, spread = [[0.5] * 4] * 3, [[0.4] * 4, [0.5] * 4, [0.6] * 4]
    one = difference(spread, flat)
    other = difference(flat, spread)
    assert one["mean"] == pytest.approx(0.0) == other["mean"]
    assert one["high"] == pytest.approx(estimate(spread)["high"] - 0.5)
    assert other["high"] == pytest.approx(one["high"])
    # Two equal variances of 0.01 / 3 with two degrees of freedom each have four together.
    both = difference(spread, spread)["high"]
    assert both == pytest.approx(2.7764 * math.sqrt(0.02 / 3), rel=0.01)
    assert difference(flat, flat)["high"] == 0.0


def test_many_intervals_that_shall_hold_together_are_wider():
    rows = [0.0] * 100
    one, ten = difference([ROWS], [rows]), difference([ROWS], [rows], 10)
    # 0.975 and 0.9975 quantiles of Student's t with 99 degrees: 1.984 and 2.871.
    assert (ten["high"] - 0.5) / (one["high"] - 0.5) == pytest.approx(2.871 / 1.984, rel=1e-3)


# -- side by side ----------------------------------------------------------------------------------


def flat(arm, wins, seeds=3):
    """An arm whose wins are the same at each KL from 1 to 4, on two prompts and for each seed."""
    return [run(arm, seed, point(10, 1.0, wins), point(20, 4.0, wins)) for seed in range(seeds)]


def test_arms_come_in_the_order_of_the_stages():
    runs = [*flat("best-of-n", "88"), *flat("sft", "88"), *flat("ppo", "88"), *flat("dpo", "88")]
    assert arms_of(runs) == ["ppo", "dpo", "sft", "best-of-n"]
    assert [title(arm) for arm in ("ppo", "best-of-n", "ppo-x7")] == ["PPO", "best-of-N", "ppo-x7"]


def test_equal_arms_tie_and_the_sentence_says_so():
    level = level_of([*flat("ppo", "8a"), *flat("dpo", "a8"), *flat("best-of-n", "8a")], "j", 2.0)
    assert [one["tie"] for one in level["meetings"]] == [True, True, True]
    assert level["sentence"] == (
        "At 2 nats, PPO, DPO and best-of-N tie: every interval of a difference contains 0."
    )


def test_an_arm_that_wins_more_is_named_with_its_interval():
    runs = [*flat("ppo", "88"), *flat("dpo", "cc"), *flat("best-of-n", "8c")]
    level = level_of(runs, "j", 2.0)
    first = level["meetings"][0]
    assert first["arms"] == ("ppo", "dpo")
    assert (first["mean"], first["tie"]) == (-0.25, False)
    assert level["sentence"] == (
        "At 2 nats, DPO's share of wins is higher than PPO's by 25 percentage points [25, 25]; "
        "all other pairs tie."
    )
    both = level_of([*flat("ppo", "88"), *flat("dpo", "cc")], "j", 2.0)["sentence"]
    assert both == (
        "At 2 nats, DPO's share of wins is higher than PPO's by 25 percentage points [25, 25]."
    )


def test_pairs_at_a_level_are_corrected_for_their_number():
    # Seeds 0.25, 0.5 and 0.75 spread by 1/16; four degrees of freedom in each difference.
    spread = [
        run(arm, seed, point(10, 1.0, wins), point(20, 4.0, wins))
        for arm in ("ppo", "rloo", "grpo")
        for seed, wins in enumerate(("44", "88", "cc"))
    ]
    first = level_of(spread, "j", 2.0)["meetings"][0]
    expected = t_quantile(4, 0.05 / 3) * math.sqrt(2 / 16 / 3)
    assert first["high"] == pytest.approx(expected)


def test_an_arm_that_wins_more_than_several_is_named_once():
    runs = [*flat("ppo", "88"), *flat("dpo", "44"), *flat("best-of-n", "cc")]
    assert level_of(runs, "j", 1.0)["sentence"] == (
        "At 1 nat, PPO's share of wins is higher than DPO's by 25 percentage points [25, 25]; "
        "best-of-N's share of wins is higher than PPO's by 25 percentage points [25, 25] and than "
        "DPO's by 50 [50, 50]."
    )


@pytest.mark.parametrize(
    ("seeds", "start"),
    [
        ({"ppo": 1, "rloo": 1, "dpo": 1}, "Each method was trained with one seed. So the"),
        ({"ppo": 2, "rloo": 1, "dpo": 1}, "RLOO and DPO were trained with one seed. So their"),
        ({"ppo": 1, "rloo": 2, "dpo": 2}, "PPO was trained with one seed. So its"),
    ],
)
def test_methods_with_one_seed_are_named(seeds, start):
    runs = [one for arm, count in seeds.items() for one in flat(arm, "88", count)]
    assert notes_of([*runs, *flat("best-of-n", "88", seeds=1)]) == [
        f"{start} intervals cover the prompts only, and the sentences are about these runs, not "
        "about the methods."
    ]


def test_nothing_is_noted_of_several_seeds():
    assert notes_of([*flat("ppo", "88"), *flat("best-of-n", "88", seeds=1)]) == []


def test_a_method_below_every_level_is_named():
    low = [run("sft", seed, point(5, 0.1, "88"), point(9, 0.99, "88")) for seed in (0, 1)]
    at = [run("dpo", seed, point(5, 0.1, "88"), point(9, 1.0, "88")) for seed in (0, 1)]
    assert notes_of([*low, *at]) == ["SFT does not reach 1 nat, so it is not compared."]


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (flat("ppo", "88"), "At 2 nats, PPO alone is measured: nothing to compare."),
        ([], "At 2 nats, no method is measured: nothing to compare."),
    ],
)
def test_an_arm_alone_is_not_compared(runs, sentence):
    assert level_of(runs, "j", 2.0)["sentence"] == sentence


def test_own_run_is_compared_at_its_last_points_kl():
    runs = [*flat("ppo", "88"), *flat("dpo", "cc"), *flat("grpo", "8c")]
    own = run("ppo", 7, point(10, 0.5, "00"), point(20, 2.04, "88")) | {"name": "ppo-x7"}
    found = own_run(runs, own, "j")
    assert found["sentence"] == (
        "At its 2.0 nats, ppo-x7 wins 50% [50, 50]: DPO's share of wins is higher than ppo-x7's by "
        "25 percentage points [25, 25]; ppo-x7 ties with PPO and GRPO."
    )
    assert [mark["step"] for mark in found["marks"]] == [10, 20]
    far = run("ppo", 7, point(20, 9.0, "88")) | {"name": "ppo-x7"}
    assert own_run(runs, far, "j")["sentence"].endswith("; no method reaches that KL.")


def test_marks_average_the_seeds_of_a_setting_at_a_step():
    runs = [
        run("ppo", 0, point(10, 1.0, "88", distinct_2=0.8), point(20, 2.0, "cc")),
        run("ppo", 1, point(10, 1.5, "00", distinct_2=0.6)),
        run("ppo", 0, point(10, 9.0, "gg"), setting="other"),
    ]
    first, second, third = marks_of(runs, "j")
    assert (first["seeds"], first["kl"], first["kl_low"], first["kl_high"]) == (2, 1.25, 1.0, 1.5)
    assert (first["mean"], first["distinct_2"]) == (0.25, 0.7)
    assert (second["step"], second["mean"], second["distinct_2"]) == (20, 0.75, None)
    assert (third["setting"], third["kl"]) == ("other", 9.0)


def test_setting_names_what_differs_from_the_defaults():
    changed = PPOConfig(kl_coef=0.1, kl_target=5.0, seed=2, judge="none", checkpoint_every=5)
    assert setting_of("ppo", changed.to_dict()) == "kl coef 0.1, kl target 5"
    assert setting_of("ppo", PPOConfig().to_dict()) == ""
    assert setting_of("ppo", {"kl_coef": 0.25, "gone": 1}) == ""  # an option of an older version
    assert setting_of("dpo", DPOConfig(epochs=2, data="x").to_dict()) == "data x, epochs 2"
    learned = PPOConfig(reward="/home/ann/runs/reward-abc123").to_dict()
    assert setting_of("ppo", learned) == "reward reward-abc123"  # everyone may read it


# -- costs -----------------------------------------------------------------------------------------


def test_cost_of_ppo_counts_its_samples_and_those_of_the_scale():
    # 40 steps of 64 responses, read in 2 passes; 256 samples of the base give the scale.
    assert cost_of("ppo", PPOConfig().to_dict(), 40, 1241) == {
        "labels": 1241, "generated": 2816, "reward_calls": 2816, "read": 5120,
    }  # fmt: skip


def test_cost_of_learning_from_given_texts():
    # 156 steps of 8 pairs are 1,248, but there are 1,241; a pair has two texts.
    nothing = {"generated": 0, "reward_calls": 0}
    dpo, sft = DPOConfig().to_dict(), SFTConfig().to_dict()
    assert cost_of("dpo", dpo, 156, 1241) == {"labels": 1241, "read": 2482, **nothing}
    assert cost_of("dpo", dpo, 100, None) == {"read": 1600, **nothing}
    assert cost_of("dpo", dpo | {"epochs": 3}, 468, 1241)["read"] == 7446
    assert cost_of("sft", sft, 156, 1241)["read"] == 1241


def test_costs_list_the_reward_model_first_and_each_arms_longest_run():
    runs = [
        run("ppo", 0, point(10, 1.0, "88"), cost={"labels": 5, **FREE, "read": 3}),
        run("ppo", 1, point(10, 1.0, "88"), cost={"labels": 5, **FREE, "read": 4}),
        run("best-of-n", 0, point(1, 0.0, "88"), point(32, 2.5, "88")),
    ]
    made = record(*runs, reward_model={"labels": 9, **FREE, "read": 18}, seconds={"ppo": 60.5})
    reward, ppo, best = cost_rows(made)
    assert (reward["title"], reward["labels"], reward["read"]) == ("Reward model", 9, 18)
    assert (ppo["read"], ppo["seconds"], ppo["answer"]) == (4, 60.5, "1")
    assert (best["answer"], best["labels"], "seconds" in best) == ("1 to 32", 9, False)
    assert cost_table(made).splitlines()[2].split() == [
        "PPO", "5", "0", "0", "4", "60.5", "1",
    ]  # fmt: skip
    assert "seconds" not in cost_table(record(*runs))


# -- as text ---------------------------------------------------------------------------------------


def test_table_has_points_levels_sentences_and_own_runs():
    own = run("ppo", 7, point(20, 2.0, "88")) | {"name": "ppo-x7"}
    text = table(record(*flat("ppo", "88"), *flat("best-of-n", "88")), "j", [own])
    assert text.splitlines()[0] == "Wins against b by j, on 2 prompts"
    assert "best-of-N" in text
    assert "<= 4.00" in text
    assert "At 2 nats, PPO and best-of-N tie" in text
    assert "does not reach" not in text
    low = run("sft", 0, point(9, 0.2, "88"))
    assert "\nSFT does not reach 1 nat, so it is not compared.\n" in table(record(low), "j")
    assert text.splitlines()[-1].startswith("At its 2.0 nats, ppo-x7 wins 50%")
    view = judge_view(record(*flat("ppo", "88")), "j")
    assert [level["kl"] for level in view["levels"]] == [1.0, 2.0, 3.0]
