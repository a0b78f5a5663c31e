"""The blind vote in Compare: no names before the answer, and whose wins are counted."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

from dataclasses import replace

import pytest

from rlhf_demo.intervals import watched_interval
from rlhf_demo.server.sampler import PairRequest
from rlhf_demo.ui.panels.blind_vote import BlindVote
from rlhf_demo.votes.vote import DUEL
from tests.vote_page import BASE, HTTP, PPO, fake, new_jobs, shared, tab  # noqa: F401  (fixtures among them)
from tests.voting import HAPPY, new_pairs


@pytest.fixture
def blind(shared):
    return BlindVote(shared)


def duel_pairs(store, count):
    pairs = new_pairs(count)
    store.add_pairs(
        [
            type(pair)(pair.prompt, f" base {n}", f" ppo {n}", BASE, PPO)
            for n, pair in enumerate(pairs)
        ],
        kind=DUEL,
    )


def vote_blind(blind, voter, clock, wanted):
    """Prefer the text that begins with a word; return what the page is told."""
    clock.now += 1
    models = {"left": BASE, "right": PPO}
    assignment = blind.blind_next({"voter": voter, "question": HAPPY, **models}, HTTP)["assignment"]
    choice = wanted if wanted == "tie" else "left" if wanted in assignment["left"] else "right"
    return choice, blind.blind_vote(
        {"voter": voter, "assignment": assignment["id"], "choice": choice}, HTTP
    )


def test_names_come_after_the_answer_and_on_the_right_sides(blind, store, clock):
    duel_pairs(store, 4)
    voter = store.visit("here")
    for _ in range(4):
        choice, told = vote_blind(blind, voter, clock, "ppo")
        assert told["names"][0 if choice == "left" else 1] == PPO


def test_votes_on_an_earlier_model_of_a_run_are_shown_to_nobody_and_do_not_count(
    blind, store, clock, shared, monkeypatch
):
    """A run that was stopped, voted on and resumed had the earlier model's wins."""
    now = {"model": f"{PPO}#00000001"}
    monkeypatch.setattr(
        shared.choices, "author", lambda name: now["model"] if name == PPO else name
    )
    old, new = (
        [type(pair)(pair.prompt, " base", " ppo", BASE, f"{PPO}#00000001") for pair in some]
        for some in (new_pairs(4), new_pairs(4, start=4))
    )
    store.add_pairs(old, kind=DUEL)
    voter = store.visit("here")
    _, told = vote_blind(blind, voter, clock, "ppo")
    assert sorted(told["names"]) == sorted((BASE, PPO))
    now["model"] = PPO  # it has finished
    asked = {"voter": voter, "question": HAPPY, "left": BASE, "right": PPO}
    assert blind.blind_next(asked, HTTP)["assignment"] is None
    told = blind.blind_result({"left": BASE, "right": PPO})
    assert (told["votes"], told["earlier"]) == (0, 1)
    store.add_pairs([replace(pair, second_model=PPO) for pair in new], kind=DUEL)
    vote_blind(blind, voter, clock, "base")
    told = blind.blind_result({"left": BASE, "right": PPO})
    assert (told["wins"], told["losses"], told["earlier"]) == (0, 1, 1)


def test_win_rate_is_for_the_right_model_whichever_that_is(blind, store, clock):
    duel_pairs(store, 4)
    voter = store.visit("here")
    for wanted in ("ppo", "ppo", "base", "tie"):
        vote_blind(blind, voter, clock, wanted)
    told = blind.blind_result({"left": BASE, "right": PPO})
    assert (told["rate"], told["votes"]) == ((2 + 0.5) / 4, 4)
    assert (told["low"], told["high"]) == watched_interval([1, 1, 0, 0.5], range(4))
    turned = blind.blind_result({"left": PPO, "right": BASE})
    assert (turned["rate"], turned["wins"], turned["losses"]) == ((1 + 0.5) / 4, 1, 2)


def test_duel_of_other_models_is_not_shown(blind, store):
    duel_pairs(store, 1)
    request = {"voter": store.visit("here"), "question": HAPPY, "left": BASE, "right": "ppo-other"}
    assert blind.blind_next(request, HTTP)["assignment"] is None
    assert blind.sampler.orders == [PairRequest(BASE, "ppo-other")]


def test_duel_that_waits_is_shown_where_no_more_can_be_written(blind, store):
    duel_pairs(store, 1)
    blind.sampler.full = True
    request = {"voter": store.visit("here"), "question": HAPPY, "left": BASE, "right": PPO}
    assert blind.blind_next(request, HTTP)["assignment"]
    told = blind.blind_next(request | {"right": "ppo-other"}, HTTP)
    assert told == {"assignment": None, "message": "many texts are waiting to be written"}


def test_model_against_itself_is_refused(blind):
    assert "against itself" in blind.begin(BASE, BASE, HAPPY)["error"]


def test_blind_votes_teach_nothing(blind, tab, store, clock):
    duel_pairs(store, 8)
    voter = store.visit("here")
    for _ in range(8):
        vote_blind(blind, voter, clock, "ppo")
    told = tab.quality({"question": HAPPY})
    assert (told["votes"], told["preferences"]) == (8, 0)
