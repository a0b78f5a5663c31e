"""The Compare tab's frontier: the shipped record, and runs that visitors let be measured."""

import shutil

import pytest

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import DemoError
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.frontier import AGAINST
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import frontier as module
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.frontier import Frontier
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared

COST = {"labels": 5, "generated": 0, "reward_calls": 0, "read": 7}


def arm_run(arm, seed):
    points = [{"step": step, "kl": kl, "wins": {"longer": "8888"}} for step, kl in ((1, 0), (2, 9))]
    return {
        "name": f"{arm}{seed}", "arm": arm, "setting": "", "seed": seed, "cost": COST,
        "points": points,
    }  # fmt: skip


@pytest.fixture
def shared(tmp_path):
    made = Shared.open(Settings(runs=tmp_path / "runs"))
    made.model_cache._check = None  # trying a model in a process of its own takes long
    return made


@pytest.fixture
def frontier(shared):
    made = Frontier(shared.choices, shared.model_cache, ComputeLock())
    made._record = {
        "base": "gpt2-mini", "prompts": ["I", "We", "It", "In"], "max_new_tokens": 3,
        "temperature": 0.7, "judges": ["longer"], "against": {"longer": [[5.0] * AGAINST] * 4},
        "runs": [arm_run(arm, seed) for arm in ("ppo", "best-of-n") for seed in (0, 1)],
    }  # fmt: skip
    return made


def add_run(shared, run_id="ppo-abc123", status=Status.FINISHED, saved=(2, 4, 6, 8)):
    """Make a finished PPO run of 10 steps whose models are the untrained base with an adapter."""
    run = Run.create(shared.settings.runs / run_id, "ppo", PPOConfig().to_dict())
    run.append("metrics", [{"step": step} for step in range(1, 11)])
    policy = load_policy(
        "gpt2-mini", device=shared.model_cache.device, for_training=True, lora_rank=2
    )
    for folder in (run.model_folder, *map(run.step_folder, saved)):
        policy.save(folder)
    run.set_status(status)
    return run_id


def test_state_has_every_arm_with_its_title_and_is_made_once(frontier, monkeypatch):
    state = frontier.state()
    assert state["arms"] == [
        {"arm": "ppo", "title": "PPO"}, {"arm": "best-of-n", "title": "best-of-N"},
    ]  # fmt: skip
    assert (state["base"], state["prompts"], state["seeds"]) == ("gpt2-mini", 4, 2)
    assert state["judges"][0]["levels"][0]["sentence"].startswith("At 1 nat, PPO and best-of-N tie")
    monkeypatch.setattr(module, "judge_view", None)
    assert frontier.state() == state


def test_run_is_measured_piece_by_piece_and_then_shown(shared, frontier):
    run_id = add_run(shared)
    before = frontier.state()
    assert frontier.measurable() == [(f"{run_id} ({run_id})", run_id)]
    seen = []
    for progress in frontier.measure(run_id):
        assert not frontier.compute_lock.held
        seen.append(progress["done"])
    assert seen == [0, 4, 8, 12, 16]  # four models answer four prompts each
    own = frontier.state(run_id)["judges"][0]["own"]
    assert [mark["step"] for mark in own[0]["marks"]] == [2, 4, 8, 10]
    assert own[0]["marks"][-1]["kl"] == pytest.approx(0.0, abs=1e-4)  # it is the base
    assert own[0]["sentence"].startswith(f"At its 0.0 nats, {run_id} wins ")
    assert before["judges"][0]["own"] == frontier.state()["judges"][0]["own"] == []
    frontier.model_cache = None  # a second time, nothing is computed
    assert [progress["done"] for progress in frontier.measure(run_id)] == [16]
    assert frontier.state(run_id)["judges"][0]["own"] == own
    shutil.rmtree(shared.settings.runs / run_id)
    shared.jobs._rows_at = 0.0  # the list of runs is read again
    assert frontier.state(run_id)["judges"][0]["own"] == []


def test_only_who_names_a_measured_run_sees_it(shared, frontier):
    """A stranger's run of 300 nats made the chart useless for every visitor."""
    ann, bob = add_run(shared, saved=()), add_run(shared, "ppo-bbbbbb", saved=())
    for run_id in (ann, bob):
        for _ in frontier.measure(run_id):
            pass
    for named, shown in (("", []), (ann, [ann]), (bob, [bob]), ("ppo-none", []), ([ann], [])):
        assert [run["name"] for run in frontier.state(named)["judges"][0]["own"]] == shown


def test_only_the_newest_measurements_are_kept(shared, frontier, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    runs = [add_run(shared, f"ppo-{letter * 6}", saved=()) for letter in "ab"]
    for run_id in runs:
        for _ in frontier.measure(run_id):
            pass
    assert [len(frontier.state(run_id)["judges"][0]["own"]) for run_id in runs] == [0, 1]


def test_what_cannot_be_measured_is_refused_with_one_sentence(shared, frontier):
    stopped = add_run(shared, "ppo-cccccc", Status.STOPPED, saved=(2,))
    pairs = Run.create(shared.settings.runs / "pairs-abc123", "pairs", PairsConfig().to_dict())
    pairs.set_status(Status.FINISHED)
    for asked, sentence in (
        (stopped, "is stopped: wait until it has finished"),
        (f"{stopped}@2", "without a step"),
        ("gpt2-mini-ppo", "is not a run: choose a finished run"),
        ("pairs-abc123", "has no model that can be used here"),
        ("../x", "is neither in the list nor a Hub id"),
        ("os:system", "is neither in the list nor a Hub id"),
    ):
        with pytest.raises(DemoError) as error:
            next(frontier.measure(asked))
        assert sentence in str(error.value)
    assert stopped not in [run_id for _, run_id in frontier.measurable()]


def test_missing_record_is_one_sentence(shared, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SHIPPED_FRONTIER", tmp_path / "gone.json")
    with pytest.raises(DemoError, match=r"there is no shipped frontier: .*restore"):
        Frontier(shared.choices, shared.model_cache, ComputeLock()).state()
