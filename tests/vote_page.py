"""A page over a store of votes in which nothing is sampled, and people who vote on it."""

from types import SimpleNamespace

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.demonstration_data import DemonstrationData
from rlhf_demo.server.sampler import Sampler
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.vote_data import VoteData
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.feedback import FeedbackTab
from rlhf_demo.votes.vote import ATTENTION_CHECK
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)
from tests.voting import HAPPY, answer, new_pairs

HTTP = SimpleNamespace(client=SimpleNamespace(host="here"))
BASE, PPO = "gpt2-mini", "gpt2-mini-ppo"


class NoSampler(Sampler):
    """Notes what it is asked to write, and writes nothing."""

    def __init__(self, store):
        super().__init__(store, None, None, None)
        self.orders, self.trouble, self.busy, self.full = [], None, False, False

    def want(self, order, address):
        if self.full:
            raise Refused("many texts are waiting to be written")
        self.orders.append(order)

    def problem(self, order):
        return self.trouble

    def under_way(self, order):
        return self.busy


@pytest.fixture
def shared(store, new_jobs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("rlhf_demo.votes.result_cache.LIFETIME", 0)
    settings = Settings(runs=tmp_path / "runs")
    jobs = new_jobs(scheduling=False)
    data = VoteData(store, settings.runs / "votes", jobs)
    texts = DemonstrationData(store, settings.runs / "demonstrations", jobs)
    choices = Choices(settings, jobs, data, texts)
    return Shared(
        settings, jobs, choices, None, ComputeLock(), store, data, NoSampler(store), None, None
    )


@pytest.fixture
def tab(shared):
    return FeedbackTab(shared)


def ask(voter, question=HAPPY, model="m", **more):
    return {"voter": voter, "question": question, "model": model, **more}


def people_vote(store, pairs, people=2, question=HAPPY, choose=lambda person: "left"):
    """Let people answer that many pairs each; the text that was on the left may differ."""
    store.add_pairs(new_pairs(pairs))
    secrets = [store.visit("here") for _ in range(people)]
    for person, secret in enumerate(secrets):
        before = first_words(store)
        while first_words(store) < before + pairs:
            answer(store, secret, choose(person), question)
    return secrets


def first_words(store):
    """Count the answers without the attention checks and repeats that come in between."""
    return sum(vote.kind != ATTENTION_CHECK and not vote.repeat for vote in store.votes())
