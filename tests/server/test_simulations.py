"""Simulated students in a class: one group at a time, marked wherever their votes are counted."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.server import simulations
from tests.class_page import (  # noqa: F401  (some are fixtures)
    HERE,
    class_mode,
    fake,
    finish,
    join,
    loops_left_open,
    new_jobs,
    open_class,
    shared_page,
    vote_all,
)
from tests.fake_jobs import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


def wish(made, **changes):
    """Return the request for two simulated students."""
    return {
        "token": made.token, "students": 2, "taste": "longer", "noise": 0.1, "careless": 0,
    } | changes  # fmt: skip


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "simulated"]


@pytest.fixture(autouse=True)
def all_leave(mode):
    """Let no simulated student outlive a test."""
    yield
    for collection in list(mode.simulations._running):
        mode.simulations.stop(collection)


def test_second_click_finds_the_place_taken_while_the_first_still_joins(mode, monkeypatch):
    made = open_class(mode)
    joining, go_on = threading.Event(), threading.Event()
    join_simulated = mode.classes.join_simulated

    def slow(*names, **traits):
        joining.set()
        assert go_on.wait(10)
        return join_simulated(*names, **traits)

    monkeypatch.setattr(mode.classes, "join_simulated", slow)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(mode.simulate, wish(made))
        assert joining.wait(10)
        with pytest.raises(ConfigError, match="stop them first"):
            mode.simulate(wish(made))
        go_on.set()
        first.result()
    assert len(mode.class_state({"token": made.token})["voters"]) == 2


def test_students_who_cannot_join_leave_the_place_free(mode):
    made = open_class(mode)
    with pytest.raises(ConfigError, match=r"noise is 0\.7"):
        mode.simulate(wish(made, noise=0.7))
    assert mode.class_state({"token": made.token})["simulation"] is None
    mode.simulate(wish(made))


def test_simulated_students_of_a_class_that_is_gone_end(mode, monkeypatch):
    monkeypatch.setattr(simulations, "ANSWER_SECONDS", 0.01)
    made, before = open_class(mode), len(threads())
    mode.simulate(wish(made))
    assert len(threads()) == before + 1
    mode.classes.delete_class(made.token)  # past the page, which would have stopped them
    wait_until(lambda: len(threads()) == before)
    assert mode.simulations.running(made.collection) is None


def test_simulated_votes_are_counted_beside_every_figure(mode):
    made = open_class(mode, overlap=1, each=8)
    ann = join(mode, made)
    joined = mode.classes.join_simulated(
        made.token, "Simulated", taste="longer", noise=0.0, careless=False
    )
    mode.training.look_after(made.collection)
    vote_all(mode, [ann, joined.secret])
    votes = mode.classes.votes(made.token)
    by_machine = sum(vote.simulated for vote in votes)
    told = mode.class_state({"token": made.token})
    assert 0 < by_machine < len(votes)
    assert (told["votes"], told["simulated"]) == (len(votes), by_machine)
    assert told["quality"]["simulated"] == by_machine

    mode.training.look_after(made.collection)
    training = mode.training.records.read(made.collection)["training"]
    taught_by = [vote for vote in votes if vote.teaches]
    assert training["simulated"] == sum(vote.simulated for vote in taught_by)
    title = f"{len(taught_by)} votes, {training['simulated']} of them simulated"
    assert mode.training.row(training["run"])["title"] == f"Class {made.collection}, {title}"
    finish(mode, training["run"])
    mode.training.look_after(made.collection)
    [seen] = mode.class_state({"token": made.token})["history"]
    assert seen["simulated"] == training["simulated"]
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    assert mode.training.row(run)["title"] == f"Class {made.collection}, round 1, {title}"

    finish(mode, run)
    mode.open_blind({"token": made.token})
    mode.training.look_after(made.collection)
    vote_all(mode, [ann, joined.secret])
    told = mode.class_state({"token": made.token})
    assert (told["blind"]["votes"], told["blind"]["simulated"]) == (16, 8)
    assert (told["votes"], told["simulated"]) == (16, 8)
    mode.reveal({"token": made.token})
    result = mode.student.student_state({"secret": ann})["result"]
    assert (result["votes"], result["simulated"]) == (16, 8)


def test_nickname_of_a_simulated_student_is_refused_to_people(mode):
    made = open_class(mode)
    with pytest.raises(Refused, match="for simulated students"):
        join(mode, made, "Simulated 3")
