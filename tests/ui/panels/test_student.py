"""The students' page: what a phone may ask, and what it is told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf_demo.votes.vote import NewPair
from tests.class_page import (  # noqa: F401  (some are fixtures)
    HERE,
    class_mode,
    fake,
    join,
    loops_left_open,
    new_jobs,
    open_class,
    page_over_http,
    shared_page,
    taught,
)
from tests.voting import new_pairs

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


def test_joining_needs_the_code(post, mode):
    open_class(mode)
    assert "no class has this code" in post("join", code="ABCDEF", nickname="Ann")["error"]
    assert "lacks a part" in post("join", nickname="Ann")["error"]


def test_student_votes_once_for_nobody_else_and_sees_nothing_of_others(post, mode):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="Ann<b>")
    bob = post("join", code=made.code, nickname="Bob")["secret"]
    assert ann["nickname"] == "Ann<b>"
    mode.training.look_after(made.collection)
    shown = post("next_pair", secret=ann["secret"])["assignment"]
    assert set(shown) == {"id", "question", "prompt", "left", "right", "written"}
    assert "not yours" in post("vote", secret=bob, assignment=shown["id"], choice="left")["error"]
    assert post("vote", secret=ann["secret"], assignment=shown["id"], choice="left") == {
        "kept": True
    }
    assert post("vote", secret=ann["secret"], assignment=shown["id"], choice="left") == {
        "kept": False
    }
    again = post("vote", secret=ann["secret"], assignment=shown["id"], choice="right")
    assert "undo that first" in again["error"]
    assert set(post("student_state", secret=bob)) == {
        "nickname", "votes", "done", "state", "round", "kind", "round_state", "question", "result",
        "code", "goal", "ppo", "lesson",
    }  # fmt: skip
    assert "Ann" not in str(post("student_state", secret=bob)) + str(post("next_pair", secret=bob))
    assert mode.class_state({"token": made.token})["votes"] == 1


def test_paused_class_shows_no_pair_and_says_so(mode):
    made = open_class(mode)
    ann = join(mode, made)
    mode.training.look_after(made.collection)
    mode.pause({"token": made.token})
    answer = mode.student.next_pair({"secret": ann})
    assert answer["assignment"] is None and "paused" in answer["message"]
    mode.reopen({"token": made.token})
    assert mode.student.next_pair({"secret": ann})["assignment"]


def test_student_follows_ppo_by_its_figures(mode):
    made, [ann, _] = taught(mode)
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    row = {"step": 2, "objective/score": 0.5, "objective/kl": 1.25}
    mode.shared.jobs.find(run).append("metrics", [row])
    ppo = mode.student.student_state({"secret": ann})["ppo"]
    assert (ppo["step"], ppo["total_steps"], ppo["score"], ppo["kl"]) == (2, 5, 0.5, 1.25)
    assert ppo["busy"] and "secret" not in str(ppo)


def test_pairs_of_the_open_page_are_not_shown_to_a_class(mode):
    made = open_class(mode)
    ann = join(mode, made)
    mode.store.add_pairs([*new_pairs(1), NewPair("p", " a", " b", "m", "n")])
    assert mode.student.next_pair({"secret": ann})["assignment"] is None


def test_text_that_fools_the_model_is_shown_without_a_name_and_can_be_removed(
    post, mode, monkeypatch
):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="Ann")["secret"]
    learn = mode.shared.learn
    outcome = {"answer": 2, "result": "So it is."}
    monkeypatch.setattr(learn, "outcome", lambda name, *, priority: outcome)
    monkeypatch.setattr(learn, "score", lambda text: 1.5)
    post("send_lesson", token=made.token, lesson="reward_head")
    assert "is not accepting texts now" in post("try_text", secret=ann, text="Bad.")["error"]
    post("reveal_lesson", token=made.token)
    told = post("try_text", secret=ann, text="Bad <b>text</b>.")
    assert (told["score"], told["best"]["text"]) == (1.5, "Bad <b>text</b>.")
    assert "lacks a part" in post("try_text", secret=ann)["error"]
    assert "does not know you" in post("try_text", secret=made.token, text="Bad.")["error"]
    [shown] = post("class_state", token=made.token)["lesson"]["tries"]
    assert shown == told["best"] and set(shown) == {"id", "text", "score"}
    assert post("student_state", secret=ann)["lesson"]["tries"] == [shown]
    assert "does not know you" in post("remove_text", token=ann, text=shown["id"])["error"]
    assert post("remove_text", token=made.token, text=shown["id"]) == {"removed": True}
    assert post("class_state", token=made.token)["lesson"]["tries"] == []
    bob = post("join", code=made.code, nickname="Bob")["secret"]
    post("try_text", secret=bob, text="Worse.")
    assert "does not know you" in post("remove_texts", token=bob)["error"]
    assert post("remove_texts", token=made.token) == {"removed": 1}
    assert post("class_state", token=made.token)["lesson"]["tries"] is None
    assert post("student_state", secret=bob)["lesson"]["tries"] is None
    told = post("try_text", secret=bob, text="Worse.")["error"]
    assert "your instructor is not accepting more texts" in told


def test_lesson_comes_with_the_state_and_its_answer_is_on_disk(post, mode, monkeypatch):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="Ann")["secret"]
    assert post("student_state", secret=ann)["lesson"] is None
    outcome = {"answer": 1, "result": "So it is."}
    monkeypatch.setattr(mode.shared.learn, "outcome", lambda name, *, priority: outcome)
    assert post("send_lesson", token=made.token, lesson="attention") == {"done": True}
    asked = {"secret": ann, "lesson": "attention"}
    assert post("predict", answer=0, **asked) == {"kept": True}
    assert "choose -1" in post("predict", answer="0", **asked)["error"]
    assert "lacks a part" in post("predict", **asked)["error"]
    shown = post("student_state", secret=ann)["lesson"]
    assert (shown["id"], shown["said"], shown["counts"]) == ("attention", 0, None)
    assert post("class_state", token=made.token)["lesson"]["counts"][0] == 1
    assert post("reveal_lesson", token=made.token) == {"done": True}
    shown = post("student_state", secret=ann)["lesson"]
    assert (shown["came"], shown["result"], shown["counts"][0]) == (1, "So it is.", 1)
    assert "revealed" in post("predict", answer=1, **asked)["error"]
    assert post("end_lesson", token=made.token) == {"done": True}
    assert post("student_state", secret=ann)["lesson"] is None
    assert "Ann" not in str(shown)


def test_lesson_is_revealed_while_a_student_holds_the_place_for_costly_requests(
    post, mode, monkeypatch
):
    """All share one address, as behind a school's router."""
    made, computing, hold = open_class(mode), threading.Event(), threading.Event()
    ann = post("join", code=made.code, nickname="Ann")["secret"]
    outcome = {"answer": 2, "result": "So it is."}
    monkeypatch.setattr(mode.shared.learn, "outcome", lambda name, *, priority: outcome)

    def score(text):
        computing.set()
        assert hold.wait(60)
        return 1.5

    monkeypatch.setattr(mode.shared.learn, "score", score)
    sent = {"token": made.token, "lesson": "reward_head"}
    post("send_lesson", **sent)
    post("reveal_lesson", token=made.token)
    with ThreadPoolExecutor(1) as phone:
        tried = phone.submit(post, "try_text", secret=ann, text="Bad.")
        assert computing.wait(60)
        assert post("send_lesson", **sent) == {"done": True}
        assert post("reveal_lesson", token=made.token) == {"done": True}
        hold.set()
        assert tried.result()["score"] == 1.5
