"""What the boards are told: new rows only, to everybody the same but for who may stop."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.errors import JobError, Refused
from rlhf_demo.runs.run import Status
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels import board as module
from rlhf_demo.ui.panels.board import Board, _time
from rlhf_demo.ui.parts import answering
from tests.fake_jobs import fake, new_jobs, row, start  # noqa: F401  (two are fixtures)

FIGURES = {
    "objective/score": 0.5, "objective/kl": 1.0, "objective/kl_coef": 0.2,
    "objective/distinct_2": 0.6, "policy/entropy": 1.0, "policy/clip_fraction": 0.1,
    "policy/update_kl": 0.01, "response/length": 9.0, "response/eos_rate": 1.0,
    "value/explained_variance": 0.4, "time/step_seconds": 2.0,
}  # fmt: skip


@pytest.fixture
def board(new_jobs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(module, "STATE_SECONDS", 0.0)
    return Board(new_jobs(scheduling=False), Settings())


def write(board, run, *steps):
    board.jobs.find(run).append("metrics", [{"step": step, **FIGURES} for step in steps])


def ask(board, run, kind="ppo", **more):
    return board.board_rows({"kind": kind, "run": run, "since": -1, "created": None} | more)


def test_only_rows_after_the_last_known_step_travel(board):
    run = start(board.jobs)
    write(board, run, 1, 2)
    first = ask(board, run)
    assert first["columns"]["step"] == [1, 2]
    write(board, run, 3)
    known = {"since": 2, "created": first["created"]}
    assert ask(board, run, **known)["columns"]["step"] == [3]
    assert ask(board, run, **known | {"since": 3})["columns"] == {}


def test_row_of_step_0_travels_once(board):
    run = start(board.jobs, "reward")
    board.jobs.find(run).append(
        "metrics", [{"step": 0, "heldout/accuracy": 0.5, "heldout/loss": 0.7}]
    )
    first = ask(board, run, "reward")
    assert first["columns"]["step"] == [0]
    known = {"since": 0, "created": first["created"]}
    assert ask(board, run, "reward", **known)["columns"] == {}


def test_a_page_that_knows_another_run_of_that_name_gets_all_rows(board):
    run = start(board.jobs)
    write(board, run, 1, 2)
    assert ask(board, run, since=2, created="2020-01-01T00:00:00Z")["columns"]["step"] == [1, 2]


def test_only_the_owner_is_told_that_the_run_is_theirs(board):
    run = start(board.jobs, secret="ann")
    assert ask(board, run, secret="ann")["run"]["mine"]
    assert not ask(board, run, secret="bob")["run"]["mine"]
    with pytest.raises(JobError, match="belongs to someone else"):
        board.stop_job({"run": run, "secret": "bob"})


def test_without_a_wish_the_newest_run_with_something_to_show_is_shown(board):
    shown, empty = start(board.jobs), start(board.jobs)
    write(board, shown, 1)
    assert ask(board, "")["run"]["id"] == shown
    assert ask(board, empty)["run"]["id"] == empty


def test_unknown_run_is_answered_in_one_sentence(board):
    answer = answering(board.board_rows)({"kind": "ppo", "run": "ppo-nobody"})
    assert "there is no run 'ppo-nobody' here" in answer["error"]


def test_run_whose_texts_cannot_be_read_keeps_its_curves_and_says_why(board):
    """A run of 4,100 steps lost its whole board when its texts grew beyond 34 MB."""
    run = start(board.jobs)
    write(board, run, 1, 2)
    folder = board.jobs.find(run).folder
    (folder / "samples.jsonl").write_text("[]\n")
    (folder / "distributions.jsonl").write_text("[]\n")
    shown = ask(board, run)
    assert shown["columns"]["step"] == [1, 2]
    assert (shown["sample_steps"], shown["inside_step"], shown["texts"]) == ([], -1, None)
    assert shown["texts_problem"].endswith(
        "samples.jsonl line 1 is not a row of a run: restore or delete the file."
    )


def test_run_that_can_be_shown_only_later_is_not_given_up(board, monkeypatch):
    run = start(board.jobs)

    def refuse(_):
        raise Refused("try again in a minute")

    monkeypatch.setattr(board.tails, "rows", refuse)
    assert ask(board, run) == {"error": "try again in a minute", "later": True}


def test_texts_of_a_step_are_those_of_that_step(board):
    run = start(board.jobs)
    rows = [{"step": 1, "response": "a"}, {"step": 2, "response": "b"}]
    board.jobs.find(run).append("samples", rows)
    shown = board.board_samples({"run": run, "step": 2})
    assert (shown["step"], shown["left_out"]) == (2, "")
    assert [(text["step"], text["response"]) for text in shown["rows"]] == [(2, "b")]


def sampled(tokens):
    figures = {"token": [" a"] * tokens, "kl": [0.5] * tokens}
    return {"step": 1, "prompt": "x", "response": "a" * 300, "score": 1.0} | figures


@pytest.mark.parametrize(
    ("tokens", "left_out"),
    [
        ([9] * 8, ""),
        ([256] * 16, ""),
        ([9] * 17, "Of the 17 texts of this step, the first 16 are shown."),
        ([9, 257], "Of each text, the first 256 tokens are shown."),
        (
            [2000] * 34,
            "Of the 34 texts of this step, the first 16 are shown. "
            "Of each text, the first 256 tokens are shown.",
        ),
    ],
)
def test_browser_draws_a_bounded_part_of_a_step(board, tokens, left_out):
    run = start(board.jobs)
    board.jobs.find(run).append("samples", [sampled(count) for count in tokens])
    shown = board.board_samples({"run": run, "step": 1})
    assert [len(text["token"]) for text in shown["rows"]] == [min(n, 256) for n in tokens[:16]]
    assert all(len(text["kl"]) == len(text["token"]) for text in shown["rows"])
    assert shown["rows"][0]["response"] == "a" * 300
    assert shown["left_out"] == left_out


def test_without_a_wish_a_visitors_own_waiting_run_is_shown_and_what_it_waits_for(board):
    other = start(board.jobs, secret="bob")
    write(board, other, 1, 2)
    reward = start(board.jobs, "reward", secret="ann", title="Ann\u2019s reward model")
    own = start(board.jobs, secret="ann", after=reward)
    shown = ask(board, "", secret="ann")
    assert shown["run"]["id"] == own and shown["columns"] == {}
    told = "Waiting for step 1: it starts when Ann\u2019s reward model has finished."
    assert shown["story"]["what"] == told
    steps = [{"step": n, "reward/total_steps": 156, "heldout/loss": 0.7} for n in (0, 40)]
    board.jobs.find(reward).append("metrics", steps)
    told = (
        "Waiting for step 1: it starts when Ann\u2019s reward model (step 40 of 156) has finished."
    )
    assert ask(board, own, secret="ann")["story"]["what"] == told
    assert ask(board, "", secret="bob")["run"]["id"] == other
    assert ask(board, "", secret="carl")["run"]["id"] == other  # nothing of Carl's waits


def test_texts_of_the_newest_step_come_with_the_rows_where_they_are_wanted(board):
    run = start(board.jobs)
    write(board, run, 1, 2)
    rows = [{"step": 1, "response": "a"}, {"step": 2, "response": "b"}]
    board.jobs.find(run).append("samples", rows)
    known = {"since": 2, "created": ask(board, run)["created"]}
    newest = ask(board, run, texts_after=-1)["texts"]
    assert [text["response"] for text in newest["rows"]] == ["b"]
    assert ask(board, run, **known, texts_after=1)["texts"] == newest
    assert ask(board, run, **known, texts_after=2)["texts"] is None
    assert ask(board, run, **known)["texts"] is None  # an earlier step is looked at
    assert ask(board, run, texts_after=2)["texts"] == newest  # of another run of that name


@pytest.mark.parametrize(
    ("age", "pace", "wait"),
    [(0.5, 2.0, 1.5), (1.9, 2.0, 1.0), (60.0, 2.0, 1.0), (0.0, 30.0, 5.0), (3.0, 6.0, 3.0)],
)
def test_page_is_told_to_ask_again_when_the_next_row_is_due(board, monkeypatch, age, pace, wait):
    run = start(board.jobs)
    write(board, run, 1)
    path = board.jobs.find(run).folder / "metrics.jsonl"
    monkeypatch.setattr(module.time, "time", lambda: path.stat().st_mtime + age)
    rows = [{"time/step_seconds": pace}]
    running = {"id": run, "status": Status.RUNNING}
    assert board._ask_again(running, rows) == pytest.approx(wait, abs=0.01)


def test_pages_of_a_run_take_turns_and_none_waits_long(board, monkeypatch):
    run, other = start(board.jobs), start(board.jobs)
    write(board, run, 1)
    write(board, other, 1)
    now = [(board.jobs.find(run).folder / "metrics.jsonl").stat().st_mtime]
    monkeypatch.setattr(module.time, "time", lambda: now[0])

    def told(run):
        running = {"id": run, "status": Status.RUNNING}
        return board._ask_again(running, [{"time/step_seconds": 2.0}])

    thirty = [told(run) for _ in range(30)]
    assert thirty[:3] == pytest.approx([2.0, 2.1, 2.2], abs=0.01)
    assert thirty[-1] == pytest.approx(4.9, abs=0.01)
    assert max(told(run) for _ in range(100)) == pytest.approx(5.0)
    assert told(other) == pytest.approx(2.0, abs=0.1)  # its viewers are others
    now[0] += 60
    assert told(run) == 1.0  # long past: nobody's turn is left


def test_page_of_a_run_at_rest_is_told_to_ask_seldom(board):
    run = start(board.jobs)
    write(board, run, 1)
    assert ask(board, run)["run"]["status"] == "queued"
    assert ask(board, run)["ask_again"] == 3.0


def test_page_asks_again_soon_while_no_row_tells_the_pace(board):
    run = start(board.jobs)
    assert board._ask_again({"id": run, "status": Status.RUNNING}, []) == 1.0


# -- other methods on PPO's board ------------------------------------------------------------------


def test_runs_of_all_methods_are_on_one_board(board):
    ppo, reward = start(board.jobs), start(board.jobs, "reward")
    rloo = board.jobs.start("rloo", RLOOConfig(), title="", secret="ann")
    write(board, rloo, 1)
    listed = [one["id"] for one in ask(board, rloo)["runs"]]
    assert {ppo, rloo} <= set(listed) and reward not in listed
    assert rloo not in [one["id"] for one in ask(board, reward, "reward")["runs"]]
    assert ask(board, "")["run"]["id"] == rloo  # the only one with figures


def test_what_a_method_does_not_have_is_absent_and_not_zero(board):
    run = board.jobs.start("rloo", RLOOConfig(), title="", secret="ann")
    figures = {key: value for key, value in FIGURES.items() if not key.startswith("value/")}
    board.jobs.find(run).append("metrics", [{"step": 1, **figures}])
    columns = ask(board, run)["columns"]
    assert columns["value/loss"] == columns["value/explained_variance"] == [None]
    assert columns["objective/score"] == [0.5]


@pytest.mark.parametrize("odd", ["2<br>x", [1.0], {"a": 1}, True, 1e300])
def test_what_a_copied_run_has_in_place_of_a_figure_is_not_drawn(board, odd):
    """Plotly drew a text of 800 kB as markup: 2.2 GB, and half a minute without an answer."""
    run = start(board.jobs)
    board.jobs.find(run).append("metrics", [{"step": 1, **FIGURES, "policy/loss": odd}])
    columns = ask(board, run)["columns"]
    assert columns["policy/loss"] == [None]
    assert columns["objective/score"] == [0.5]


def test_board_of_sft_shows_its_loss_on_held_out_texts(board):
    run = board.jobs.start("sft", SFTConfig(), title="", secret="ann")
    measured = {"objective/score": 0.4, "objective/score_se": 0.1, "objective/kl": 1.5}
    board.jobs.find(run).append(
        "metrics",
        [
            {"step": 0, "sft/total_steps": 9, "sft/heldout_loss": 2.0, **measured},
            {"step": 1, "sft/loss": 1.75, "sft/accuracy": 0.5},
        ],
    )
    seen = ask(board, run)
    assert seen["figures"][1] == (
        "1.5",
        "KL from gpt2-mini in nats; nothing holds SFT near the base",
    )
    assert seen["columns"]["sft/heldout_loss"] == [2.0, None]
    assert seen["columns"]["sft/loss"] == [None, 1.75]
    assert seen["lines"]["objective/kl"] == [] and seen["inside_step"] == -1


@pytest.mark.parametrize(
    ("policy", "name"),
    [("/runs/sft-k3f9ab", "sft-k3f9ab"), ("/runs/ppo-x/steps/20", "ppo-x at step 20"),
     ("owner/model", "model")],
)  # fmt: skip
def test_kl_names_the_model_that_it_is_counted_from(board, policy, name):
    run = board.jobs.start("ppo", PPOConfig(policy=policy), title="", secret="ann")
    words = ask(board, run)["figures"][1][1]
    assert words == f"KL from {name} in nats; target 2.5; the run stops at 10"


def test_board_of_dpo_takes_its_figures_from_the_last_measurement(board):
    run = board.jobs.start("dpo", DPOConfig(beta=0.25), title="", secret="ann")
    of_pairs = {"dpo/loss": 0.6, "dpo/accuracy": 0.75, "dpo/chosen": -0.5, "dpo/rejected": -1.0}
    measured = {"objective/score": 0.4, "objective/score_se": 0.1, "objective/kl": 1.5}
    board.jobs.find(run).append(
        "metrics",
        [
            {"step": 0, "dpo/total_steps": 9, **measured, "objective/score": 0.0},
            {"step": 1, **of_pairs, **measured},
            {"step": 2, **of_pairs},
        ],
    )
    seen = ask(board, run)
    assert seen["figures"][0][0] == "+0.40 \u00b1 0.10"
    assert seen["figures"][1] == ("1.5", "KL from gpt2-mini in nats; DPO\u2019s beta is 0.25")
    assert seen["run"]["total_steps"] == 9
    pairs = "At step 2 of 9: in 75% of the last pairs, the preferred text has the higher"
    assert seen["story"]["what"].startswith(pairs)
    assert seen["columns"]["objective/kl"] == [1.5, 1.5, None]
    assert seen["columns"]["dpo/chosen"] == [None, -0.5, -0.5]
    assert seen["columns"]["objective/kl_coef"] == [None] * 3
    assert seen["lines"]["objective/kl"] == [] and seen["inside_step"] == -1
    assert seen["judge"]["name"] == "star-rater"
    assert "labelled the pairs that the policy learned from" in seen["judge"]["note"]
    other = board.jobs.start("dpo", DPOConfig(data="votes.jsonl"), title="", secret="ann")
    assert "learns neither from it nor from the reward" in ask(board, other)["judge"]["note"]


def test_page_is_told_that_a_finished_model_is_being_measured():
    at_end = {"status": Status.RUNNING, "seconds_left": 0.0, "step": 8, "total_steps": 8}
    words = ("8", "of 8 steps done; saving the model and measuring it")
    assert _time([{"step": 8, "time/step_seconds": 7.0}], at_end) == words
    before = at_end | {"step": 7, "seconds_left": 7.0}
    assert _time([{"step": 7, "time/step_seconds": 7.0}], before) == ("7 s", "left, 7.0 s a step")
