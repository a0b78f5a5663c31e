"""The sampler: pairs written ahead, once for all who wait, and troubles told in words."""

import threading
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.models.policy import load_policy
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.pair_choice import ENOUGH, difference
from rlhf_demo.server.sampler import (
    FOURS_AT_ONCE,
    MOST_EACH,
    OWN_PAIRS,
    SHIPPED_MODEL,
    PairRequest,
    Sampler,
)
from rlhf_demo.server.settings import Settings
from tests.fake_jobs import wait_until
from tests.voting import HAPPY


@pytest.fixture
def sampler(store, tiny_model_folder):
    """A sampler that knows the models one and two: both the tiny one."""
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))

    def find(name):
        if name not in ("one", "two"):
            raise ConfigError(f"{name!r} is not in the list: choose from it")
        return name

    choices = SimpleNamespace(policy=find, author=str, settings=Settings(public=False))
    models = SimpleNamespace(policy=lambda name: policy, warm=lambda: None)
    return Sampler(store, choices, models, ComputeLock())


def test_batch_is_written_once_for_all_who_wait_for_it(sampler, store):
    pair_request = PairRequest("one", "one")
    with sampler.compute_lock.hold(Priority.VISITORS):  # somebody computes
        sampler.want(pair_request, "here")
        sampler.want(pair_request, "here")
        assert sampler.under_way(pair_request)
    wait_until(lambda: not sampler.under_way(pair_request))
    written = store.pairs_waiting(store.visit("here"), HAPPY, model="one")
    assert 0 < written <= 8
    assert sampler.problem(pair_request) is None


def test_nobody_waits_while_a_model_comes_from_the_hub(sampler):
    asked, came = threading.Event(), threading.Event()
    policy = sampler.model_cache.policy

    def fetch(name):
        asked.set()
        came.wait(10)
        return policy(name)

    sampler.model_cache.policy = fetch
    sampler.want(PairRequest("one", "one"), "here")
    assert asked.wait(10)
    assert not sampler.compute_lock.held
    came.set()
    wait_until(lambda: not sampler.under_way(PairRequest("one", "one")))


def test_own_beginning_gets_its_pairs(sampler, store):
    voter = store.visit("here")
    pair_request = PairRequest("one", "one", "My cat says", voter)
    sampler.want(pair_request, "here")
    wait_until(lambda: not sampler.under_way(pair_request))
    assert 0 < store.pairs_waiting(voter, HAPPY, model="one") <= OWN_PAIRS
    assert store.pairs_waiting(store.visit("here"), HAPPY, model="one") == 0


def test_only_pairs_that_all_voters_wait_for_go_before_visitors_who_came_earlier():
    shipped = PairRequest(SHIPPED_MODEL, SHIPPED_MODEL)
    assert shipped.priority == Priority.VOTERS
    for other in (
        replace(shipped, prompt="My cat says", owner="secret"),
        PairRequest("one", "one"),
        PairRequest(SHIPPED_MODEL, "one"),
    ):
        assert other.priority == Priority.VISITORS


def test_batches_of_an_address_are_written_one_after_the_other(sampler, monkeypatch):
    begun, may_end = [], threading.Event()

    def write(pair_request, first, second):
        begun.append(pair_request)
        may_end.wait(10)
        return []

    monkeypatch.setattr(sampler, "_write", write)
    monkeypatch.setattr(
        sampler.compute_lock, "hold", lambda priority: nullcontext()
    )  # that all may compute
    orders = [PairRequest("one", "one"), PairRequest("one", "two"), PairRequest("two", "two")]
    sampler.want(orders[0], "here")
    wait_until(lambda: begun == orders[:1])
    sampler.want(orders[1], "here")
    sampler.want(orders[2], "there")
    wait_until(lambda: len(begun) == 2)
    assert begun == [orders[0], orders[2]]
    may_end.set()
    wait_until(lambda: not any(sampler.under_way(order) for order in orders))
    assert begun == [orders[0], orders[2], orders[1]] and sampler._served == set()


def test_batch_for_all_does_not_wait_for_its_askers_other_batches(sampler, monkeypatch):
    """All voters waited 10 s for texts to rank, behind four prompts of who asked first."""
    begun, may_end = [], threading.Event()

    def write(pair_request, first, second):
        begun.append(pair_request)
        may_end.wait(10)
        raise Refused("nothing")

    monkeypatch.setattr(sampler, "_written_for", write)
    monkeypatch.setattr(sampler.compute_lock, "hold", lambda priority: nullcontext())
    monkeypatch.setattr(sampler.choices, "policy", lambda name: name)
    for_all = [PairRequest(SHIPPED_MODEL, SHIPPED_MODEL, to_rank=to_rank) for to_rank in (0, 1)]
    own = replace(for_all[0], prompt="My cat says", owner="ann")
    sampler.want(own, "here")
    wait_until(lambda: begun == [own])
    for order in (replace(own, prompt="My dog says"), *for_all):
        sampler.want(order, "here")
    wait_until(lambda: len(begun) == 3)
    assert set(begun) == {own, *for_all}
    may_end.set()
    wait_until(lambda: not sampler._under_way)


def test_strangers_have_so_many_batches_written_and_then_wait(sampler, monkeypatch):
    monkeypatch.setattr(sampler, "_write", lambda *_: [])  # the two texts are always the same
    sampler.choices.settings = Settings(public=True)
    order = PairRequest("one", "two")
    for _ in range(8):
        sampler.want(order, "here")
        wait_until(lambda: not sampler.under_way(order))
    with pytest.raises(Refused, match="too many texts are written for this address: wait 10 s"):
        sampler.want(order, "here")
    sampler.want(order, "there")
    wait_until(lambda: not sampler.under_way(order))


def test_blind_pairs_are_on_prompts_that_nothing_is_trained_on(sampler, monkeypatch):
    monkeypatch.setattr(
        sampler,
        "_responses",
        lambda name, prompts, _: [f" {name} {n}" for n in range(len(prompts))],
    )
    blind = sampler._write(PairRequest("one", "two"), "one", "two")
    feedback = sampler._write(PairRequest("one", "one"), "one", "one")
    assert {pair.prompt for pair in blind} <= set(load_prompts("shipped", "test"))
    assert {pair.prompt for pair in feedback} <= set(load_prompts("shipped", "train"))
    assert len(blind) == len(feedback) == 8


def test_four_texts_to_rank_differ_and_wait_for_voters(sampler, store):
    order = PairRequest("one", "one", to_rank=True)
    sampler.want(order, "here")
    wait_until(lambda: not sampler.under_way(order))
    shown = store.rankings.next_four(store.visit("here"), HAPPY, model="one")
    assert shown["prompt"] in load_prompts("shipped", "train")
    for one, other in combinations(shown["texts"], 2):
        assert difference(one, other) >= ENOUGH
    assert store.rankings.waiting("one") <= FOURS_AT_ONCE - 1
    assert store.pairs_waiting(store.visit("here"), HAPPY, model="one") == 0


def test_model_that_writes_no_four_different_texts_is_said_to(sampler, monkeypatch):
    monkeypatch.setattr(sampler, "_responses", lambda _, prompts, seed: [" is good"] * len(prompts))
    order = PairRequest("one", "one", to_rank=True)
    sampler.want(order, "here")
    wait_until(lambda: not sampler.under_way(order))
    assert "too little to rank four of them" in sampler.problem(order)


def test_models_that_write_the_same_are_said_to(sampler):
    pair_request = PairRequest("one", "two")  # one model under two names, the same random numbers
    sampler.want(pair_request, "here")
    wait_until(lambda: not sampler.under_way(pair_request))
    assert "nearly the same or empty" in sampler.problem(pair_request)
    assert sampler.problem(pair_request) is None  # told once; then it may be tried again


def test_unknown_model_is_refused_before_anything_is_written(sampler):
    with pytest.raises(ConfigError, match="not in the list"):
        sampler.want(PairRequest("/etc", "/etc"), "here")


def test_line_of_batches_is_bounded(sampler, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.sampler.MOST_WAITING", 2)
    with sampler.compute_lock.hold(Priority.VISITORS):
        with pytest.raises(Refused, match="try again"):
            for n in range(99):
                sampler.want(PairRequest("one", "one", f"beginning {n}"), "here")
        waiting = list(sampler._under_way)
    wait_until(lambda: not any(sampler.under_way(pair_request) for pair_request in waiting))


def test_one_address_leaves_places_to_others(sampler):
    with sampler.compute_lock.hold(Priority.VISITORS):
        for n in range(MOST_EACH):
            sampler.want(PairRequest("one", "one", f"beginning {n}"), "here")
        assert "try again" in sampler.want_more(PairRequest("one", "one"), "here")
        assert sampler.want_more(PairRequest("one", "one"), "there") is None
        waiting = list(sampler._under_way)
    wait_until(lambda: not any(sampler.under_way(pair_request) for pair_request in waiting))
