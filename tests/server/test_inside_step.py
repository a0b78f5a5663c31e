"""What the page tells of the inside of a PPO step, worked out by hand."""

import pytest

from bench import pushed_words as pushed_words_bench
from rlhf_demo.errors import JobError
from rlhf_demo.files import write_json
from rlhf_demo.server import inside_step
from rlhf_demo.server.inside_step import InsideStep, pushed_words, score_histogram
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels import board as board_module
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.parts import answering
from tests.fake_jobs import fake, new_jobs, start  # noqa: F401  (two are fixtures)

FIGURES = {
    "objective/score": 0.5, "objective/score_se": 0.125, "objective/kl": 1.0,
    "objective/distinct_2": 0.6, "policy/entropy": 1.0, "policy/clip_fraction": 0.06,
    "policy/clip_fraction_by_epoch": [0.02, 0.1], "policy/update_kl": 0.05,
    "policy/update_kl_by_epoch": [0.001, 0.02], "policy/outside_clip": 0.3,
    "policy/ratio_p01": 0.4, "policy/ratio_p99": 1.9, "value/explained_variance": 0.4,
    "response/length": 9.0, "time/step_seconds": 2.0,
}  # fmt: skip


def metrics(*steps):
    return [{"step": step, **FIGURES} for step in steps]


def distribution(step, **changes):
    counts = [0] * 60
    counts[19], counts[20] = 1, 3  # ratios from 0.95 to 1 and from 1 to 1.05
    return {
        "step": step, "scores": [0.0, 0.3], "ratio": [counts, counts, [4, *[0] * 59]],
        "words": [["good", 15, 1.0], ["the", 30, 0.1]], "values": [[0.5, 1.0], [-0.5, 0.0]],
    } | changes  # fmt: skip


@pytest.fixture
def board(new_jobs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(board_module, "STATE_SECONDS", 0.0)
    return Board(new_jobs(scheduling=False), Settings())


@pytest.fixture
def run(board):
    """A run after three steps; the third one's figures are not written yet."""
    run = board.jobs.find(start(board.jobs))
    run.append("metrics", metrics(1, 2))
    run.append("distributions", [distribution(step) for step in (1, 2, 3)])
    return run


def ask(board, run, **more):
    name = run.folder.name
    return board.board_rows({"kind": "ppo", "run": name, "since": -1, "created": None} | more)


# -- sums ------------------------------------------------------------------------------------------


def test_scores_of_two_steps_are_counted_in_the_same_bins():
    shown = score_histogram([-0.3, 0.0, 0.24, 0.25], [0.25, 0.49])
    assert shown == {
        "middles": [-0.375, -0.125, 0.125, 0.375], "width": 0.25,
        "then": [0.25, 0.0, 0.5, 0.25], "now": [0.0, 0.0, 0.0, 1.0],
    }  # fmt: skip


def test_bins_grow_wider_until_there_are_at_most_forty():
    shown = score_histogram([0.0], [29.9])  # 120 bins of 0.25, 60 of 0.5, 30 of 1
    assert (shown["width"], len(shown["middles"])) == (1.0, 30)
    assert (shown["then"][0], shown["now"][-1]) == (1.0, 1.0)


def test_words_are_weighted_by_how_often_they_stood():
    rows = [
        {"words": [["good", 10, 2.0], ["bad", 10, -1.0]]},
        {"words": [["good", 30, 1.0], ["bad", 30, -0.6]]},
    ]
    shown = pushed_words(rows)
    assert shown["up"] == [("good", 40, 1.25)]  # (20 + 30) / 40
    assert shown["down"] == [("bad", 40, -0.7)]  # (-10 - 18) / 40
    assert shown["steps"] == 2


def test_a_word_is_told_from_twenty_times_on_and_beyond_three_standard_errors():
    words = [
        ["rare", 19, 3.0], ["enough", 20, 3.0],
        # Three times sqrt(2 / 100) is 0.424.
        ["chance", 100, 0.42], ["more", 100, 0.43], ["less", 100, -0.43],
    ]  # fmt: skip
    shown = pushed_words([{"words": words}])
    assert [word for word, *_ in shown["up"]] == ["enough", "more"]
    assert [word for word, *_ in shown["down"]] == ["less"]


@pytest.mark.parametrize(
    "odd",
    [
        ["a", 4_000_000_000, "x"], ["a", 2**31, 1.0], ["a", -1, 1.0], ["a", 1.5, 1.0],
        ["a", True, 1.0], ["a", 30, [0]], ["a", 30, 1e300], [["a"], 30, 1.0], ["a", 30], "abc", 7,
        ["a\u05d0" * 51, 30, 1.0],
    ],
)  # fmt: skip
def test_words_that_cannot_be_counted_are_left_out(odd):
    shown = pushed_words([{"words": [odd, ["good", 30, 1.0]]}])
    assert (shown["up"], shown["down"]) == ([("good", 30, 1.0)], [])


def test_variance_of_a_words_mean_is_measured_with_responses_as_units(monkeypatch):
    monkeypatch.setattr(pushed_words_bench, "FEWEST", 3)
    rows = [
        {"token": [" good", " good", " film", "<|endoftext|>"], "advantage": [1.0, 2.0, 5.0, 9.0]},
        {"token": [" Go", "od"], "advantage": [-1.0, -3.0]},
    ]
    # Totals 1 + 2 and the mean of -1 and -3: (9 + 4) / 3 occurrences.
    assert pushed_words_bench.variances(rows) == {"good": (3, pytest.approx(13 / 3))}


def test_ten_words_are_told_each_way_the_strongest_first():
    words = [[f"w{n}", 100, n / 10] for n in range(-15, 16)]
    shown = pushed_words([{"words": words}])
    assert [word for word, *_ in shown["up"]] == [f"w{n}" for n in range(15, 5, -1)]
    assert [word for word, *_ in shown["down"]] == [f"w{n}" for n in range(-15, -5)]


# -- one step --------------------------------------------------------------------------------------


def test_a_step_is_told_with_its_figures_and_the_words_up_to_it(board, run):
    first, shown = (
        board.board_inside({"run": run.folder.name, "step": step})["details"] for step in (1, 2)
    )
    assert first["words"]["up"] == []  # 15 times are too few
    assert (shown["scores"]["first"], shown["scores"]["now"]) == (1, [0.5, 0.5])
    assert shown["ratio"][0][19:21] == [0.25, 0.75]
    assert shown["ratio"][2][0] == 1.0
    assert shown["words"]["up"] == [("good", 30, 1.0)]  # of two steps; "the" is no more than chance
    assert shown["values"] == [(0.5, 1.0), (-0.5, 0.0)]
    assert shown["figures"]["policy/update_kl_by_epoch"] == [0.001, 0.02]
    assert shown["clip_range"] == 0.2


def test_a_step_without_a_value_head_has_all_but_the_values(board, run):
    other = board.jobs.find(start(board.jobs))
    row, figures = distribution(1), dict(FIGURES)
    del row["values"], figures["value/explained_variance"]
    other.append("metrics", [{"step": 1, **figures}])
    other.append("distributions", [row])
    shown = board.board_inside({"run": other.folder.name, "step": 1})["details"]
    assert shown["values"] is shown["figures"]["value/explained_variance"] is None
    assert shown["scores"]["now"] == [0.5, 0.5]


@pytest.mark.parametrize("step", [3, 4, 0, -1])
def test_a_step_that_is_not_finished_or_was_not_kept_has_nothing_to_tell(board, run, step):
    assert board.board_inside({"run": run.folder.name, "step": step}) == {
        "step": step, "details": None,
    }  # fmt: skip


def test_a_step_is_computed_once_for_all_viewers(board, run, monkeypatch):
    first = board.board_inside({"run": run.folder.name, "step": 2})
    monkeypatch.setattr(InsideStep, "_read", None)
    assert board.board_inside({"run": run.folder.name, "step": 2}) == first


def test_of_a_step_a_few_kilobytes_travel(board, run):
    import json

    many = [distribution(
        4, scores=[n / 100 for n in range(256)], values=[[0.123, -1.234]] * 256,
        words=[[f"word{n}", 100, 0.5] for n in range(1000)],
    )]  # fmt: skip
    run.append("metrics", metrics(4))
    run.append("distributions", many)
    assert len(json.dumps(board.board_inside({"run": run.folder.name, "step": 4}))) < 8000


@pytest.mark.parametrize(
    "scores", [[0.0] * 4097, [0.0, 1e307], [0.0, "x"], [0.0, True], {"0": 1.0}, 7]
)
def test_scores_that_no_step_of_ours_has_are_not_binned(board, run, monkeypatch, scores):
    binned = []
    monkeypatch.setattr("rlhf_demo.server.inside_step.score_histogram", lambda *_: binned.append(1))
    run.append("metrics", metrics(3, 4))
    run.append("distributions", [distribution(4, scores=scores)])
    shown = ask(board, run, inside_after=-1)
    assert shown["inside"] == {"step": 4, "details": None} and not binned


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ({"values": [[0.5, 1.0]] * 4097}, {}),
        ({"values": [[0.5, 1.0, 2.0]]}, {}),
        ({"values": [[0.5, "1<br>x"]]}, {}),
        ({"ratio": [[1]] * 101}, {}),
        ({"ratio": [[1] * 101]}, {}),
        ({}, {"policy/update_kl_by_epoch": [0.1] * 101}),
        ({}, {"policy/clip_fraction_by_epoch": [0.1] * 60_000}),
    ],
)
def test_longer_lists_than_those_of_our_steps_do_not_travel(board, run, change, figures):
    """A tab that drew 60,000 epochs of a copied run did not answer for 15 seconds."""
    run.append("metrics", [row | figures for row in metrics(3, 4)])
    run.append("distributions", [distribution(4, **change)])
    assert board.board_inside({"run": run.folder.name, "step": 4})["details"] is None


@pytest.mark.parametrize("odd", ["1<br>x", [[0.1]], {"a": 1}])
def test_figures_of_a_step_that_are_none_are_left_out(board, run, odd):
    """The charts drew a text as markup: a tab did not answer for 20 seconds."""
    names = ("policy/update_kl", "policy/update_kl_by_epoch")
    run.append("metrics", [row | dict.fromkeys(names, odd) for row in metrics(3, 4)])
    run.append("distributions", [distribution(4)])
    figures = board.board_inside({"run": run.folder.name, "step": 4})["details"]["figures"]
    assert [figures[name] for name in names] == [[None] if type(odd) is list else None] * 2


def test_odd_step_is_looked_at_once(board, run, monkeypatch):
    run.append("metrics", metrics(3, 4))
    run.append("distributions", [distribution(4, words=7)])
    wanted = {"run": run.folder.name, "step": 4}
    assert board.board_inside(wanted)["details"] is None
    monkeypatch.setattr("rlhf_demo.server.inside_step.pushed_words", lambda rows: 1 / 0)
    assert board.board_inside(wanted)["details"] is None


@pytest.mark.parametrize("request_", [{}, {"run": "ppo-nobody", "step": 1}, {"step": "x"}, None])
def test_a_request_that_names_no_step_of_a_run_is_answered_in_words(board, request_):
    assert answering(board.board_inside)(request_)["error"]


# -- with the rows ---------------------------------------------------------------------------------


def test_the_newest_finished_step_comes_with_the_rows_where_it_is_wanted(board, run):
    answer = ask(board, run, inside_after=-1)
    assert (answer["inside_step"], answer["inside"]["step"]) == (2, 2)
    known = {"created": answer["created"], "since": 2}
    assert ask(board, run, **known, inside_after=2)["inside"] is None
    assert ask(board, run, **known, inside_after=1)["inside"]["step"] == 2
    assert ask(board, run, **known)["inside"] is None  # the fold is closed


def test_of_a_long_run_the_newest_steps_words_and_the_first_ones_scores_are_shown(
    board, run, monkeypatch
):
    """At 3,289 steps of the default run, the live board stopped: 100 MB of words were in memory."""
    run.append("distributions", [distribution(4, scores=[1.0, 1.0])])
    last = (run.folder / "distributions.jsonl").read_bytes().splitlines()[-2:]
    monkeypatch.setattr(inside_step, "MOST_SUMMED", sum(map(len, last)))
    run.append("metrics", metrics(3, 4))
    shown = board.board_inside({"run": run.folder.name, "step": 4})["details"]
    assert shown["words"]["steps"] == 2
    assert shown["scores"]["first"] == 1
    assert shown["scores"]["then"][0] > 0 == shown["scores"]["now"][0]


def test_distributions_that_cannot_be_read_leave_the_board_as_it_is(board, run):
    (run.folder / "distributions.jsonl").write_text("[]\n")
    assert ask(board, run, inside_after=-1)["columns"]["step"] == [1, 2]
    assert board.board_inside({"run": run.folder.name, "step": 2})["details"] is None


def test_a_run_that_kept_no_distributions_is_shown_without(board):
    run = board.jobs.find(start(board.jobs))
    run.append("metrics", metrics(1))
    answer = ask(board, run, inside_after=-1)
    assert (answer["inside_step"], answer["inside"]) == (-1, None)
    assert answer["columns"]["policy/update_kl"] == [0.05]
    assert answer["columns"]["judge/score"] == [None]


def test_a_step_of_a_run_that_is_gone_is_refused(board, run):
    board.jobs.stop(run.folder.name, "ann")
    board.jobs.delete(run.folder.name, "ann")
    with pytest.raises(JobError):
        board.board_inside({"run": run.folder.name, "step": 2})


# -- figures and yardsticks ------------------------------------------------------------------------


def scaled(run):
    scale = {"mean": 31.8, "std": 12.3, "samples": 256}
    write_json(run.folder / "reward_scale.json", {"reward": scale, "judge": scale})
    return scale


def test_score_stands_with_its_standard_error_and_its_unit(board, run):
    scale = scaled(run)
    answer = ask(board, run)
    number, unit = answer["figures"][0]
    assert number == "+0.50 \u00b1 0.12"
    assert "standard deviations of the base" in unit
    assert answer["scale"] == {"mean": scale["mean"], "std": scale["std"]}
    assert answer["lines"]["objective/score"] == [{"y": 0.0, "label": "base", "dash": "dot"}]


def test_a_run_without_a_scale_has_no_line_of_the_base(board, run):
    answer = ask(board, run)
    assert answer["lines"]["objective/score"] == []
    assert "own units" in answer["figures"][0][1]


@pytest.mark.parametrize(
    ("options", "target"),
    [({}, ["target 2.5"]), ({"kl_target": 0.0}, []), ({"kl_coef": 0.0, "kl_target": 0.0}, [])],
)
def test_target_is_drawn_where_a_controller_aims_at_it(board, options, target):
    run = board.jobs.find(start(board.jobs, **options))
    run.append("metrics", metrics(1))
    answer = ask(board, run)
    labels = [line["label"] for line in answer["lines"]["objective/kl"]]
    assert [one for one in labels if one.startswith("target")] == target
    assert ("target" in answer["figures"][1][1].replace("no target", "")) == bool(target)


def test_target_beside_a_coefficient_of_0_in_a_run_of_before_is_not_drawn():
    options = {"kl_target": 2.5, "kl_coef": 0.0, "kl_budget": 10.0, "max_grad_norm": 1.0}
    assert board_module._lines("ppo", options, [], None)["objective/kl"] == []


@pytest.mark.parametrize(
    ("judge", "reward", "told"),
    [
        ("star-rater", "reward-mini", ["star-rater, a simulated judge,", "it is the teacher"]),
        ("auto", "reward-mini", ["star-rater, a simulated judge,", "it is the teacher"]),
        ("auto", "star-rater", ["word-judge, a simulated judge,", "did not teach the reward"]),
        ("word-judge", "word-judge", ["word-judge, a simulated", "It is the reward itself"]),
        ("/runs/reward-a1b2c3", "longer", ["reward-a1b2c3 scores", "did not teach the reward"]),
        ("word-judge", "reward-mini", ["word-judge, a simulated judge,", "did not teach"]),
        (
            "star-rater",
            "/runs/reward-on-an-upload",
            ["star-rater, a simulated", "do not know who labelled"],
        ),
    ],
)
def test_judge_is_named_with_its_part_and_without_its_folder(board, judge, reward, told):
    run = board.jobs.find(start(board.jobs, judge=judge, reward=reward))
    found = ask(board, run)["judge"]
    assert all(words in found["note"] for words in told)
    assert ("not trained on it" in found["note"]) == (judge != reward)
    assert "/" not in found["name"] + found["note"]


@pytest.mark.parametrize(("judge", "reward"), [("none", "reward-mini"), ("auto", "longer")])
def test_where_nobody_judges_that_is_told(board, judge, reward):
    run = board.jobs.find(start(board.jobs, judge=judge, reward=reward))
    assert ask(board, run)["judge"] is None


def test_finished_run_tells_what_its_saved_model_is_worth(board, run):
    shown = {
        "kl": 2.912, "kl_se": 0.1, "score": -1.134, "score_se": 0.05, "raw_score": 1.0,
        "prompts": 256, "held_out": True,
    }  # fmt: skip
    write_json(run.folder / "report.json", shown)
    words = ask(board, run)["result"]
    assert "256 held-out prompts" in words
    assert "score \u22121.13 \u00b1 0.05" in words
    assert "KL 2.91 \u00b1 0.10 nats" in words
    write_json(run.folder / "report.json", shown | {"held_out": False})
    assert "256 of its training prompts" in ask(board, run)["result"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("report.json", {"score": "x"}), ("report.json", {"kl": [0] * 9}),
        ("reward_scale.json", {"reward": {"mean": "x", "std": 1.0}}),
        ("reward_scale.json", {"reward": {"mean": 0.0, "std": [0] * 9}}),
    ],
)  # fmt: skip
def test_odd_figures_of_a_copied_run_are_refused(board, run, name, change):
    write_json(run.folder / name, change)
    with pytest.raises(JobError, match=r"are damaged or too large: choose another run"):
        ask(board, run)


def test_odd_words_do_not_take_the_rows_of_the_board_away(board, run):
    run.append("metrics", metrics(3, 4))
    run.append("distributions", [distribution(4, words=7)])
    shown = ask(board, run, inside_after=-1)
    assert shown["columns"]["step"] == [1, 2, 3, 4]
    assert shown["inside"] == {"step": 4, "details": None}
