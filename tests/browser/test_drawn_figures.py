"""What the page draws of figures made up for it, read back from charts, bars, legends and words.

What must come out was worked out by hand.
"""

import json
import math
import shutil

import pytest

from rlhf_demo.ui.panels.charts import PPO
from rlhf_demo.ui.shared import EXAMPLES
from tests.browser.made_up import (
    COLOURED,
    COMPARED,
    DETAILS,
    EXTENDED,
    HELPERS,
    HONESTY,
    IN_SIGHT,
    INSIDE,
    MANY,
    OVER_ALL_STEPS,
    REPORT,
    SCORED,
    VOTES,
)
from tests.browser.visitor import Visitor
from tests.tiny import read_rows

pytestmark = pytest.mark.browser

RUN = EXAMPLES / "ppo-quick"


@pytest.fixture(scope="module")
def visitor(chromium, app, tmp_path_factory):
    """One open page for all of these tests, which shows a finished run."""
    folder = app.runs / "ppo-drawn"
    shutil.copytree(RUN, folder)
    note = {"title": "Drawn", "owner": None, "queued_at": 0, "after": None, "most_minutes": None}
    (folder / "job.json").write_text(json.dumps(note))
    context = chromium.new_context()
    visitor = Visitor(context, app.url, "", tmp_path_factory.mktemp("pictures"))
    visitor.open(run=folder.name).page.evaluate(HELPERS)
    yield visitor
    context.close()
    assert visitor.outside == []
    assert visitor.errors == []


def points(trace):
    """Return where a trace is above 0, by x."""
    both = zip(trace["x"], trace["y"], strict=True)
    return {round(x, 3): y for x, y in both if y > 0}


# -- the board -------------------------------------------------------------------------------------


def test_board_draws_score_with_its_error_exact_kl_and_both_over_kl(visitor):
    rows = read_rows(RUN / "metrics.jsonl")
    visitor.wait_for_step(rows[-1]["step"])
    visitor.board.locator("summary", has_text="Inside a step").click()
    visitor.wait_for(f"({IN_SIGHT}['Score and judge by KL']?.traces[0].x || []).length")

    drawn = visitor.page.evaluate(f"() => {IN_SIGHT}")

    judged_rows = [row for row in rows if "judge/score" in row]
    assert 1 < len(judged_rows) < len(rows)

    def written(name, of=rows):
        return pytest.approx([row[name] for row in of], abs=1e-3)

    step, score, error, kl = map(
        written, ("step", "objective/score", "objective/score_se", "objective/kl")
    )
    of_score, of_kl = (drawn[title]["traces"][0] for title in ("Score", "KL from the base"))
    assert (of_score["x"], of_score["y"], of_score["customdata"]) == (step, score, error)
    assert (of_kl["x"], of_kl["y"]) == (step, kl)
    over_kl = drawn["Score and judge by KL"]
    scored, judged, _ = over_kl["traces"]  # the last one holds the yardstick in view
    assert (scored["name"], scored["x"], scored["y"]) == ("score", kl, score)
    assert judged["x"] == written("objective/kl", judged_rows)
    assert judged["y"] == written("judge/score", judged_rows)
    assert scored["error_y"]["array"] == error
    assert judged["error_y"]["array"] == written("judge/score_se", judged_rows)
    assert over_kl["xTitle"].startswith("KL from the base")


def test_curves_have_one_standard_error_each_way_means_of_ten_and_their_yardsticks(visitor):
    band = {"title": "Band", "head": True, "series": [{"color": "score"}]}
    mean = {"title": "Mean", "series": [{"color": "ppo", "smooth": 10}]}
    over = {"title": "Over", "x": "kl", "series": [{"color": "warn"}]}
    over["lines"] = [{"y": 0.75, "label": "target"}]
    first = [{"x": [1, 2], "y": [0.5, 0.25], "spread": [0.125, 0.0625]}]
    more = [{"x": [3], "y": [1.0], "spread": [0.25]}]
    squares = [{"x": [*range(12)], "y": [n * n for n in range(12)]}]

    drawn = visitor.page.evaluate(
        EXTENDED, {"specs": [band, mean, over], "points": [[first, more], [squares], [first, more]]}
    )

    line, head, around = drawn["Band"]["traces"]
    assert (line["x"], line["y"], line["colour"]) == ([1, 2, 3], [0.5, 0.25, 1.0], "score")
    assert (head["x"], head["y"]) == ([3], [1.0])
    assert around["x"] == [1, 2, 3, 3, 2, 1]  # there along the upper edge, back along the lower
    assert around["y"] == [0.625, 0.3125, 1.25, 0.75, 0.1875, 0.375]
    assert (around["fill"], around["colour"]) == ("toself", "score")
    assert drawn["Mean"]["traces"][0]["y"][1:4] == [0.5, 5 / 3, 3.5]
    assert drawn["Mean"]["traces"][0]["y"][-1] == 50.5  # of 4, 9, ... 121
    over, _ = drawn["Over"]["traces"]
    assert (over["x"], over["y"]) == ([1, 2, 3], [0.5, 0.25, 1.0])
    assert over["error_y"]["array"] == [0.125, 0.0625, 0.25]
    assert "arrayminus" not in over["error_y"]
    (target,) = drawn["Over"]["shapes"]
    assert (target["y0"], target["y1"]) == (0.75, 0.75)


# -- inside a step ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inside(visitor):
    """What the fold "Inside a step" shows of the step above."""
    return visitor.page.evaluate(INSIDE, {"details": DETAILS, "specs": PPO["inside"]})


def test_scores_of_the_first_step_and_of_this_one_have_their_own_outlines(inside):
    chart = inside["charts"]["Scores of the responses"]

    then, now = chart["traces"]
    assert (then["name"], then["colour"], now["name"], now["colour"]) == (
        "step 3", "soft", "step 7", "score",
    )  # fmt: skip
    assert points(then) == {-0.375: 0.5, -0.125: 0.3, 0.125: 0.2}
    assert points(now) == {-0.375: 0.1, -0.125: 0.15, 0.125: 0.75}
    assert then["line"]["shape"] == "hvh"  # so a bin reaches half its width to either side
    assert chart["key"] == [
        ["step 3", "3px solid var(--rl-soft)"], ["step 7", "3px solid var(--rl-score)"],
    ]  # fmt: skip


def test_ratios_of_first_epoch_last_epoch_and_afterwards_stand_over_the_clip_range(inside):
    chart = inside["charts"]["How far tokens moved"]

    first, last, after = chart["traces"]
    assert [one["name"] for one in (first, last, after)] == [
        "when read in epoch 1", "when read in epoch 3", "after the step",
    ]  # fmt: skip
    assert points(first) == {1.025: 1.0}
    assert points(last) == {0.875: 0.25, 1.125: 0.75}
    assert points(after) == {0.525: 0.35, 1.525: 0.65}
    assert [one["colour"] for one in (first, last, after)] == ["soft", "soft", "ppo"]
    assert [line.split()[1] for _, line in chart["key"]] == ["dotted", "solid", "solid"]
    assert (first["line"]["dash"], "dash" in last["line"]) == ("dot", False)
    (band,) = chart["shapes"]
    assert (band["x0"], band["x1"]) == (pytest.approx(0.85), pytest.approx(1.15))
    assert "31.0% of the tokens are outside 0.85 to 1.15" in chart["note"]
    assert "the middle 98% are between 0.41 and 1.93" in chart["note"]


def test_update_is_told_epoch_by_epoch_and_afterwards(inside):
    assert [row[1:] for row in inside["table"]] == [
        ["epoch 1", "epoch 2", "epoch 3", "after"],
        ["0.0011", "0.0222", "0.0333", "0.0555"],
        ["2.1%", "10.7%", "12.5%", "\u2013"],
        ["\u2013", "\u2013", "\u2013", "31.0%"],
    ]


def test_values_lie_along_and_realised_returns_up(inside):
    chart = inside["charts"]["What the value head expected"]

    responses, equal = chart["traces"]
    assert (responses["x"], responses["y"]) == ([0.5, -0.75, 0.125], [1.25, 0.25, -2.0])
    assert (equal["x"], equal["y"]) == ([-2.0, 1.25], [-2.0, 1.25])
    assert chart["xTitle"].startswith("value")
    assert chart["note"].startswith("Vertical axis: the reward that came in")
    assert "the fit (R\u00b2) is 0.43: 1 is perfect" in chart["note"]


def test_words_pushed_up_and_down_have_bars_as_long_as_their_means(inside):
    up, down = inside["lists"]
    assert (up["title"], down["title"]) == ("pushed up", "pushed down")
    assert up["words"] == [
        ["good", "", "+1.50", "30 times", "100%", "var(--rl-ppo)"],
        ["fine", "", "+0.75", "25 times", "50%", "var(--rl-ppo)"],
    ]
    assert down["words"] == [["bad", "", "\u22120.50", "40 times", "100%", "var(--rl-below)"]]


@pytest.mark.parametrize(
    ("kind", "judge", "empty", "note"),
    [
        ("ppo", None, "this run has no judge", "The limit applies to the sum of the gradients"),
        ("dpo", {"note": "It is made up."}, "not measured in this run so far", ""),
    ],
)
def test_curves_over_all_steps_say_what_the_run_lacks(visitor, kind, judge, empty, note):
    asked = {"specs": PPO["inside"], "kind": kind, "judge": judge}
    told = visitor.page.evaluate(OVER_ALL_STEPS, asked)
    assert told[0] == empty
    assert told[1].startswith(note) and bool(told[1]) == bool(note)


# -- tokens ----------------------------------------------------------------------------------------


def test_legends_and_tokens_have_the_same_colours_at_the_same_ends(visitor):
    drawn = visitor.page.evaluate(COLOURED)

    told = {by: (*one["words"], *one["tokens"][1:]) for by, one in drawn.items()}
    assert told == {  # of at most 46%
        "kl": ("same as the base", "1 nat away", "none", "--rl-kl) 14%"),
        "log_ratio": (
            "less likely than under the base", "more likely", "--rl-below) 5%", "--rl-kl) 5%",
        ),
        "logprob": ("expected", "6 nats of surprise", "--rl-soft) 2%", "none"),
        "value": (
            "expects a low score", "expects a high score", "--rl-below) 9%", "--rl-score) 9%",
        ),
        "score_if_ended": ("\u22120.30", "+0.30", "--rl-below) 46%", "--rl-score) 46%"),
        "contribution": (
            "lowers the score", "raises it", "--rl-below) 23%", "--rl-score) 23%",
        ),
        "advantage": ("pushed down", "pushed up", "--rl-below) 7%", "--rl-ppo) 7%"),
        "reward": ("costs", "earns", "--rl-below) 9%", "--rl-score) 9%"),
    }  # fmt: skip
    assert {one["tokens"][0] for one in drawn.values()} == {"none"}
    for by, one in drawn.items():
        low, high = one["tokens"][1:]
        if by == "logprob":  # here what is lower is further along
            low, high = high, low
        ends = [end.partition(")")[0] for end in (low, high) if end != "none"]
        assert one["ramp"] == ["90deg", *ends], by


# -- the reward model ------------------------------------------------------------------------------


def bars(trace, shares="y"):
    """Return the ends of a trace's error bars: [(low, high), ...]."""
    error = trace[f"error_{shares}"]
    both = zip(trace[shares], error["arrayminus"], error["array"], strict=True)
    return [
        (None, None) if up is None else pytest.approx((at - down, at + up)) for at, down, up in both
    ]


def test_honesty_panel_draws_accuracy_and_reliability_with_their_intervals(visitor):
    drawn = visitor.page.evaluate(HONESTY, {"report": REPORT, "votes": VOTES})

    right, sure, close = drawn["charts"].values()
    (shares,) = right["traces"]
    assert [*zip(shares["y"], shares["x"], shares["each"])] == [
        ("a coin flip", 0.5, "soft"), ("the longer text", 0.55, "soft"),
        ("other people", 0.75, "base"), ("highest possible", 0.95, "soft"),
        ("reward model", 0.8, "score"),
    ]  # fmt: skip
    assert bars(shares, "x") == [*4 * [(None, None)], (0.7, 0.85)]
    honest, told = sure["traces"]
    assert (honest["x"], honest["y"]) == ([0.5, 1], [0.5, 1])
    assert (told["x"], told["y"]) == ([0.55, 0.95], [0.5, 0.8])
    assert bars(told) == [(0.3, 0.65), (0.7, 0.85)]
    assert told["customdata"] == ["[30, 65] of 40 pairs", "[70, 85] of 50 pairs"]
    assert sure["xTitle"] == "its stated probability of being right"
    (quarters,) = close["traces"]
    assert [*zip(quarters["x"], quarters["y"])] == [
        ("closest", 0.5), ("close", 0.6), ("clear", 0.8), ("clearest", 0.9),
    ]  # fmt: skip
    assert bars(quarters) == [(0.4, 0.55), (0.5, 0.65), (0.7, 0.85), (0.8, 0.95)]


def test_score_is_told_as_a_probability_and_the_rejected_text_as_what_it_preferred(visitor):
    drawn = visitor.page.evaluate(HONESTY, {"report": REPORT, "votes": None})

    assert "75% if it scores 0.5 higher, and 90% if it scores 1 higher" in drawn["unit"]
    assert "90% if it scores 1 higher: sigmoid(2.20 \u00d7 difference)" in drawn["unit"]
    assert "\u22120.50" in drawn["worst"]
    assert "the label preferred  good." in drawn["worst"]
    assert "the model preferred  bad." in drawn["worst"]
    assert "a probability of 75.0% that the rejected one is better" in drawn["title"]


def test_words_of_a_text_add_up_from_the_empty_texts_score_to_its_own(visitor):
    words = [{"piece": "Good", "contribution": 0.95}, {"piece": " film", "contribution": -0.3}]
    answer = {
        "score": 0.4, "empty": -0.25, "words": words, "exact": True, "words_together": 1,
        "factor": math.log(9),
    }  # fmt: skip

    score, adds, _, unit = visitor.page.evaluate(SCORED, answer)

    assert score == "+0.40"
    assert adds == "The empty text scores \u22120.25; the words add +0.65."
    assert "75% if it scores 0.5 higher" in unit


# -- many prompts ----------------------------------------------------------------------------------


def test_win_rates_have_bars_and_intervals_to_scale_and_each_model_its_column(visitor):
    drawn = visitor.page.evaluate(MANY, COMPARED)

    first, second = drawn["judges"]
    ppo, tie, base = "var(--rl-ppo)", "var(--rl-line)", "var(--rl-base)"
    assert first["bars"] == [["62.5%", ppo], ["12.5%", tie], ["25%", base]]
    assert second["bars"] == [["18.75%", ppo], ["0%", tie], ["81.25%", base]]
    assert first["interval"] == {"left": "37.5%", "width": "50%"}
    assert second["interval"] == {"left": "6.25%", "width": "37.5%"}
    assert "69% [38, 88]" in first["text"] and "won by PPO against the base" in first["text"]
    assert "PPO 10" in first["text"] and "the base 4" in first["text"]
    assert "The interval includes 50%" in first["text"]
    assert "The whole interval is on one side of 50%" in second["text"]
    assert [row[1:] for row in drawn["figures"]] == [
        ["the base", "PPO"], ["\u22120.25", "+1.25"], ["\u22121.50", "\u22120.50"],
        ["0.00 \u00b1 0.00", "3.75 \u00b1 0.25"], ["8.0", "12.5"], ["90%", "70%"],
        ["20%", "10%"], ["60%", "40%"], ["5.5", "7.0"],
    ]  # fmt: skip
    assert drawn["answers"][1:] == [
        ["One", "+0.5 a.", "+2.0 wins b.", "+1.5"], ["Two", "+1.0 wins c.", "+0.3 d.", "\u22120.8"],
    ]  # fmt: skip
