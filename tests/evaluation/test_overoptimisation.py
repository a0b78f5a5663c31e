"""The curves of over-optimisation: fitted to points with known answers, binned and put in words."""

import json
import math

import numpy as np
import pytest

from rlhf_demo.config.overoptimise import SIZES
from rlhf_demo.errors import JobError, Refused
from rlhf_demo.evaluation import overoptimisation as module
from rlhf_demo.evaluation.overoptimisation import (
    FEWEST_POINTS,
    Bin,
    Curve,
    Way,
    bins,
    fit,
    gains,
    in_bins,
    in_words,
    phase,
    read_attempt,
    record,
    study,
    study_of,
    telling_texts,
    turn,
)
from rlhf_demo.runs.run import Run

E = math.e
BY_HAND = [
    (0.0, 0.0), (1 / E, 3 / E), (1.0, 2.0), (E, E), (E**2, 0.0), (E**3, -(E**3)), (E**4, -2 * E**4)
]  # fmt: skip
"""d (2 - log d): log d is a whole number at each distance."""
BEST_BY_HAND = [
    (0.0, 0.0), (1.0, 1.5), (2.0, 2.0), (3.0, 1.5), (4.0, 0.0), (5.0, -2.5), (6.0, -6.0)
]  # fmt: skip
"""d (2 - d / 2)."""


# -- the fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "points", "beta"), [(Way.PPO, BY_HAND, 1.0), (Way.BEST_OF_N, BEST_BY_HAND, 0.5)]
)
def test_points_on_a_curve_give_it_back(way, points, beta):
    curve = fit(way, points)
    assert (curve.alpha, curve.beta, curve.r2) == pytest.approx((2.0, beta, 1.0))
    assert [curve.gain(distance) for distance, _ in points] == pytest.approx(
        [gain for _, gain in points]
    )


@pytest.mark.parametrize("way", Way)
def test_fit_is_that_of_least_squares(way):
    """numpy solves the same problem by another method (singular values)."""
    rng = np.random.default_rng(0)
    d = rng.uniform(0.1, 8, 30)
    gain = d * (1.3 - 0.4 * np.log(d)) + rng.normal(0, 1, 30)
    second = d * np.log(d) if way is Way.PPO else d**2
    (alpha, minus_beta), missed, *_ = np.linalg.lstsq(np.stack([d, second], 1), gain)
    curve = fit(way, list(zip(d.tolist(), gain.tolist())))
    assert (curve.alpha, curve.beta) == pytest.approx((alpha, -minus_beta))
    assert curve.r2 == pytest.approx(1 - missed[0] / ((gain - gain.mean()) ** 2).sum())


def test_r2_is_the_share_of_the_variance_about_the_mean():
    """0.8 d (1 - d / 12) at 1 to 6 and 0, moved by 1 up and down: the fit leaves what it cannot."""
    points = [(float(d), 5.0) for d in range(1, 7)] + [(0.0, -5.0)]
    curve = fit(Way.BEST_OF_N, points)
    missed = sum((gain - curve.gain(d)) ** 2 for d, gain in points)
    mean = 25 / 7
    assert curve.r2 == pytest.approx(1 - missed / (6 * (5 - mean) ** 2 + (-5 - mean) ** 2))


def test_too_few_different_distances_are_not_fitted():
    assert FEWEST_POINTS == 6
    few = BEST_BY_HAND[:6]  # one of them at 0, which says nothing of alpha and beta
    assert fit(Way.BEST_OF_N, few) is None
    assert fit(Way.BEST_OF_N, few + few) is None
    assert fit(Way.BEST_OF_N, BEST_BY_HAND) is not None


def test_equal_gains_are_not_fitted():
    assert fit(Way.PPO, [(float(d), 1.0) for d in range(1, 9)]) is None


def test_curve_is_highest_where_its_slope_is_zero():
    assert Curve(Way.PPO, alpha=2, beta=1, r2=1).top == pytest.approx(E)
    assert Curve(Way.PPO, alpha=1, beta=2, r2=1).top == pytest.approx(1 / math.sqrt(E))
    assert Curve(Way.BEST_OF_N, alpha=2, beta=0.5, r2=1).top == pytest.approx(2.0)


def test_curve_that_falls_from_the_start_is_highest_there():
    assert Curve(Way.BEST_OF_N, alpha=-1, beta=0.5, r2=1).top == 0


@pytest.mark.parametrize("way", Way)
def test_curve_that_never_falls_has_no_top(way):
    assert Curve(way, alpha=2, beta=0, r2=1).top is None
    assert Curve(way, alpha=2, beta=-1, r2=1).top is None


def test_top_that_no_number_can_name_is_infinitely_far():
    assert Curve(Way.PPO, alpha=2, beta=1e-4, r2=1).top == math.inf


# -- means and turns -------------------------------------------------------------------------------


def test_bins_are_means_of_neighbours_and_the_nearest_points_are_left_over():
    points = [(3.0, 6.0), (0.0, 9.0), (1.0, 1.0), (4.0, 2.0), (2.0, 3.0)]
    assert in_bins(points, 2) == [Bin(1.5, 2.0, 1.0), Bin(3.5, 4.0, 2.0)]


def test_a_fall_counts_if_it_is_more_than_two_standard_errors():
    """Errors of 0.3 and 0.4 make 0.5 together, so a fall has to be more than 1."""
    rise, top = Bin(0.5, 0.2, 0.3), Bin(1.0, 2.0, 0.3)
    assert turn([rise, top, Bin(2.0, 1.0, 0.4)]) is None
    turned = turn([rise, top, Bin(2.0, 0.99, 0.4)])
    assert (turned.top, turned.fall) == (top, pytest.approx(1.01))


def test_a_curve_that_ends_at_its_top_has_not_turned():
    assert turn([Bin(1.0, 1.0, 0.0), Bin(2.0, 2.0, 0.0)]) is None
    assert turn([]) is None


# -- attempts --------------------------------------------------------------------------------------


def attempt(seed=0, judge=1.0):
    """Two steps of PPO and two sizes of best-of-n."""
    return {
        "pairs": 100, "seed": seed, "judge": "fluency-judge", "accuracy": 0.7 + seed / 10,
        "ppo": [
            {"step": 2, "kl": 4.0, "proxy": 2.0, "judge": judge},
            {"step": 1, "kl": -1e-9, "proxy": 0.0, "judge": 0.0},
        ],
        "best_of_n": [
            {"n": 2, "kl": 0.25, "proxy": 1.0, "judge": judge, "proxy_se": 0.3, "judge_se": 0.4},
            {"n": 1, "kl": 0.0, "proxy": 0.0, "judge": 0.0, "proxy_se": 0.0, "judge_se": 0.0},
        ],
        "texts": [],
    }  # fmt: skip


def test_points_stand_at_the_root_of_their_kl():
    assert gains(Way.PPO, [attempt()], "proxy") == [(0.0, 0.0), (2.0, 2.0)]
    both = [attempt(), attempt(seed=1, judge=3.0)]
    assert gains(Way.BEST_OF_N, both, "judge") == [(0.0, 0.0), (0.0, 0.0), (0.5, 1.0), (0.5, 3.0)]


def test_best_of_n_is_averaged_over_seeds_for_each_n():
    """Two means with an error of 0.4 each have a mean with an error of 0.4 / sqrt 2."""
    both = [attempt(), attempt(seed=1, judge=3.0)]
    near, far = bins(Way.BEST_OF_N, both, "judge")
    assert near == Bin(0.0, 0.0, 0.0)
    assert (far.distance, far.gain, far.se) == pytest.approx((0.5, 2.0, 0.4 / math.sqrt(2)))
    assert bins(Way.BEST_OF_N, both, "proxy")[1].se == pytest.approx(0.3 / math.sqrt(2))


def test_bins_of_ppo_are_averaged_over_seeds_whose_spread_is_the_error(monkeypatch):
    """Gains of 1 and 3 at the end have a mean of 2 with an error of sqrt(2) / sqrt(2)."""
    monkeypatch.setattr(module, "IN_A_BIN", 1)
    both = [attempt(), attempt(seed=1, judge=3.0)]
    assert bins(Way.PPO, both, "judge") == [Bin(0.0, 0.0, 0.0), Bin(2.0, 2.0, pytest.approx(1.0))]
    both[1]["ppo"][0]["kl"] = 16.0  # the farther seed does not fill the last bin alone
    assert bins(Way.PPO, both, "judge")[-1] == Bin(3.0, 2.0, pytest.approx(1.0))


def test_a_seed_alone_has_the_error_of_its_own_steps(monkeypatch):
    monkeypatch.setattr(module, "IN_A_BIN", 2)
    assert bins(Way.PPO, [attempt()], "judge") == [Bin(1.0, 0.5, pytest.approx(0.5))]


def test_study_puts_seeds_together():
    made = study([attempt(), attempt(seed=1)])
    assert (made["pairs"], made["seeds"], made["judge"]) == (100, 2, "fluency-judge")
    assert made["accuracy"] == pytest.approx(0.75)
    assert made["best_of_n"]["judge"]["line"] == [(0.0, 0.0), (0.5, 1.0)]
    assert not made["best_of_n"]["judge"]["fitted"]


def test_study_of_a_run_without_points_says_nothing():
    empty = attempt() | {"ppo": [], "best_of_n": [], "accuracy": None}
    made = study([empty])
    nothing = {"points": [], "line": [], "fitted": False}
    assert made["ppo"] == {"proxy": nothing, "judge": nothing, "words": ""}
    assert made["accuracy"] is None and made["texts"] == []


def points_of(curve):
    return [
        {"step": step, "kl": d * d, "proxy": gain, "judge": gain}
        for step, (d, gain) in enumerate(curve)
    ]


def test_line_is_the_fitted_curve_only_if_it_describes_the_points():
    fitting = study([attempt() | {"ppo": points_of(BY_HAND)}])["ppo"]["judge"]
    assert fitting["fitted"] and len(fitting["line"]) == 50
    assert fitting["line"][-1] == pytest.approx(BY_HAND[-1])
    up_and_down = [(float(d), (-1.0) ** d) for d in range(1, 10)]
    other = study([attempt() | {"ppo": points_of(up_and_down)}])["ppo"]["judge"]
    assert not other["fitted"]
    thirds = [-1 / 3, 1 / 3, -1 / 3]
    assert [distance for distance, _ in other["line"]] == [2.0, 5.0, 8.0]
    assert [gain for _, gain in other["line"]] == pytest.approx(thirds)


def test_texts_are_of_the_first_the_best_and_the_last_step():
    texts = [{"step": step, "prompt": "This", "response": f" is {step}"} for step in range(1, 6)]
    ppo = [
        {"step": step, "kl": 1.0, "proxy": 0.0, "judge": judge}
        for step, judge in zip(range(1, 6), (0.0, 0.5, 2.0, 1.0, -3.0))
    ]
    told = telling_texts(attempt() | {"ppo": ppo, "texts": texts})
    assert [text["step"] for text in told] == [1, 3, 5]


# -- in words --------------------------------------------------------------------------------------

PROXY = [Bin(1.0, 0.5, 0.1), Bin(6.0, 3.0, 0.1)]


PROXY_ENDS = "The proxy\u2019s gain is +3.00 at 36 nats."
TURNED = [Bin(2.0, 0.5, 0.1), Bin(6.0, -2.0, 0.1)]
UNTURNED = [Bin(2.0, 0.5, 1.0), Bin(6.0, 0.4, 1.0)]


def test_words_for_a_curve_that_turns():
    """d (1 - log d) is highest at d = 1."""
    assert in_words(Way.PPO, PROXY, TURNED, Curve(Way.PPO, alpha=1.0, beta=1.0, r2=0.9)) == (
        f"{PROXY_ENDS} The judge\u2019s gain peaks and then falls. The highest mean of "
        "neighbouring points is +0.50, at about 4.0 nats; the last is \u22122.00 at 36 nats. "
        "Gao\u2019s curve describes the judge\u2019s gain (R\u00b2 0.90, \u03b1 +1.00, "
        "\u03b2 +1.00). The fitted curve is highest at 1.0 nats; the points scatter, so the two "
        "places differ."
    )


def test_words_for_a_curve_that_turns_where_the_fitted_one_does():
    """d (4 - d) is highest at d = 2, which is 4 nats."""
    curve = Curve(Way.BEST_OF_N, alpha=4.0, beta=1.0, r2=0.9)
    said = in_words(Way.BEST_OF_N, PROXY, TURNED, curve)
    assert "The highest mean for one n is +0.50, at about 4.0 nats;" in said
    assert said.endswith(
        "The fitted curve is highest at 4.0 nats too. "
        "A good fit means little here: the points share their samples."
    )


def test_words_for_a_fitted_curve_whose_fall_is_within_chance():
    assert in_words(Way.PPO, PROXY, UNTURNED, Curve(Way.PPO, alpha=1.0, beta=1.0, r2=0.9)) == (
        f"{PROXY_ENDS} The judge\u2019s gain never falls by more than chance; it ends at +0.40 "
        "at 36 nats. Gao\u2019s curve describes the judge\u2019s gain (R\u00b2 0.90, \u03b1 +1.00, "
        "\u03b2 +1.00). The fitted curve peaks at 1.0 nats, but the fall after it is "
        "within chance."
    )


def test_words_for_a_curve_that_does_not_turn_or_fit():
    bad = Curve(Way.PPO, alpha=1.0, beta=1.0, r2=-0.2)
    assert in_words(Way.PPO, PROXY, UNTURNED, bad) == (
        f"{PROXY_ENDS} The judge\u2019s gain never falls by more than chance; it ends at +0.40 "
        "at 36 nats. Gao\u2019s curve does not describe the judge\u2019s gain (R\u00b2 \u22120.20, "
        "below 0.7), so the line joins means of the points instead."
    )
    none = in_words(Way.PPO, PROXY, UNTURNED, None)
    assert none.endswith("too few points for Gao\u2019s curve.")


def test_a_fit_just_below_the_bound_is_not_shown_as_the_bound():
    said = in_words(Way.PPO, PROXY, PROXY, Curve(Way.PPO, alpha=1.0, beta=1.0, r2=0.6999))
    assert "(R\u00b2 0.69, below 0.7)" in said


@pytest.mark.parametrize("beta", [-1.0, 0.01])
def test_words_for_a_fitted_curve_whose_top_is_not_reached(beta):
    said = in_words(Way.PPO, PROXY, PROXY, Curve(Way.PPO, alpha=1.0, beta=beta, r2=0.9))
    assert said.endswith("The fitted curve has no peak up to 36 nats.")


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    options = {
        "train_pairs": 400, "seed": 3, "judge": "longer", "best_of": 8, "best_of_prompts": 4,
        "total_steps": 2,
    }  # fmt: skip
    return Run.create(tmp_path / "run", "overoptimise", options)


def put(run, name, value):
    (run.folder / name).parent.mkdir(exist_ok=True)
    (run.folder / name).write_text(json.dumps(value))


def test_attempt_is_read_from_the_files_of_a_run(run):
    assert read_attempt(run) == {
        "pairs": 400, "seed": 3, "judge": "longer", "accuracy": None, "ppo": [], "best_of_n": [],
        "texts": [],
    }  # fmt: skip
    put(run, "proxy/report.json", {"train_pairs": 399, "accuracy": 0.8})
    put(run, "best_of_n.json", [{"n": 1}])
    run.append(
        "metrics",
        [{"step": 1, "objective/kl": 2.0, "objective/score": 0.5, "judge/score": 0.25, "more": 0}],
    )
    first, second = ({"step": 1, "prompt": "It", "response": text} for text in (" is", " was"))
    run.append("samples", [first, second, {**first, "step": 2}])
    read = read_attempt(run)
    assert (read["pairs"], read["accuracy"], read["best_of_n"]) == (399, 0.8, [{"n": 1}])
    assert read["ppo"] == [{"step": 1, "kl": 2.0, "proxy": 0.5, "judge": 0.25}]
    assert read["texts"] == [first, {**first, "step": 2}]


def test_study_of_a_run_of_another_kind_or_with_damaged_files_is_refused(run, tmp_path):
    assert study_of(run)["pairs"] == 400
    other = Run.create(tmp_path / "ppo-a", "ppo", {})
    with pytest.raises(JobError, match=r"^ppo-a pushes no reward too far: choose an overoptimise"):
        study_of(other)
    damaged = "^the files of run are damaged: choose another run$"
    for points in ("[{", [{"n": 1, "kl": "far"}], {"n": 1}, [[]]):
        put(run, "best_of_n.json", points)
        with pytest.raises(JobError, match=damaged):
            study_of(run)


def test_phase_is_told_by_the_files_that_are_there(run):
    assert phase(run) == "1 of 3: loading its models"
    proxy = Run.create(run.folder / "proxy", "reward", {})
    proxy.append("metrics", [{"step": 0, "reward/total_steps": 13}, {"step": 7}])
    assert phase(run) == "1 of 3: the proxy, step 7 of 13"
    put(run, "proxy/report.json", {})
    assert phase(run).startswith("2 of 3: best-of-N: the base writes 8 responses to each of 4 ")
    put(run, "best_of_n.json", [])
    assert phase(run) == "3 of 3: PPO without a KL penalty, 2 steps"


@pytest.mark.parametrize(
    "row",
    [
        b'{"step": 1, "reward/total_steps": 9, "x": [' + b"[]," * 10_000 + b"[]]}",
        b'{"step": 1}',
        b'{"step": 1, "reward/total_steps": "many"}',
        b'{"step": 1, "reward/total_steps": []}',
        b"[]",
        b"{",
    ],
    ids=["bloated", "no total", "a text", "a list", "no object", "no JSON"],
)
def test_phase_of_a_run_whose_proxy_has_odd_rows_is_empty(run, row):
    proxy = Run.create(run.folder / "proxy", "reward", {})
    (proxy.folder / "metrics.jsonl").write_bytes(row + b"\n")
    assert phase(run) == ""


def test_bloated_rows_are_damage_however_the_run_is_read(run):
    figures = b'"objective/kl": 2, "objective/score": 1, "judge/score": 1'
    lists = b"[]," * 9_000
    row = b'{"step": 1, ' + figures + b', "x": [' + lists + b"[]]}"
    (run.folder / "metrics.jsonl").write_bytes(row + b"\n")
    with pytest.raises(JobError, match="the files of run are damaged"):
        study_of(run)


def test_odd_report_of_the_proxy_is_damage(run):
    for report in ({"train_pairs": [1], "accuracy": 0.8}, {"train_pairs": 1, "accuracy": "x"}, [1]):
        put(run, "proxy/report.json", report)
        with pytest.raises(JobError, match="the files of run are damaged"):
            study_of(run)


def test_points_of_a_long_run_are_thinned_evenly_and_end_with_the_last(run, monkeypatch):
    monkeypatch.setattr(module, "MOST_POINTS", 4)
    figures = {"objective/kl": 1.0, "objective/score": 0.5, "judge/score": 0.25}
    run.append("metrics", [{"step": step} | figures for step in range(1, 10)])
    put(run, "best_of_n.json", [{"n": n} for n in range(1, 5)])
    read = read_attempt(run)
    assert [point["step"] for point in read["ppo"]] == [3, 6, 9]
    assert [point["n"] for point in read["best_of_n"]] == [1, 2, 3, 4]


# -- the record ------------------------------------------------------------------------------------


def test_shipped_record_has_all_sizes_with_three_seeds():
    shipped = record()
    assert [(one["pairs"], one["seeds"]) for one in shipped] == [(size, 3) for size in SIZES]
    assert all(len(one["ppo"]["judge"]["points"]) == 3 * 30 for one in shipped)
    assert all(len(one["best_of_n"]["judge"]["points"]) == 3 * 7 for one in shipped)


def test_record_groups_attempts_by_size(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "RECORD", tmp_path / "record.json")
    assert record() == []
    attempts = [attempt() | {"pairs": 400}, attempt(), attempt(seed=1) | {"pairs": 400}]
    module.RECORD.write_text(json.dumps(attempts))
    assert [(one["pairs"], one["seeds"]) for one in record()] == [(100, 1), (400, 2)]


def test_whoever_read_too_much_hears_that_and_not_that_files_are_damaged(run):
    def refuse(path):
        raise Refused("try again in a minute")

    with pytest.raises(Refused, match="try again in a minute"):
        study_of(run, refuse)
