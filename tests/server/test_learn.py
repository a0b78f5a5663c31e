"""The lessons on the models in memory: found by name, computed once, refused with a sentence."""

import json
import shutil
from dataclasses import replace

import pytest

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.lessons import attention
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server import learn as learn_module
from rlhf_demo.server import payloads
from rlhf_demo.server.choices import LABELS, Choices
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.learn import Learn, find, listed
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.result_cache import ResultCache
from tests.declared import misfits
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)


@pytest.fixture(scope="module")
def model_cache():
    return ModelCache()


@pytest.fixture
def learn(model_cache, new_jobs, tmp_path):  # noqa: F811
    jobs = new_jobs(scheduling=False)
    return Learn(Choices(Settings(runs=tmp_path / "runs"), jobs), model_cache, ComputeLock())


@pytest.mark.parametrize("odd", [None, "", "Attention", "../request", "looks", 3, ["attention"]])
def test_only_lessons_are_found(learn, odd):
    with pytest.raises(ConfigError, match="there is no lesson"):
        find(odd)
    for ask in (learn.outcome, learn.code, lambda name: learn.look(name, {})):
        with pytest.raises(ConfigError, match="there is no lesson"):
            ask(odd)


def test_the_same_look_is_computed_once(learn, monkeypatch):
    counted = []
    compute = attention.look
    monkeypatch.setattr(attention, "look", lambda *given: counted.append(given) or compute(*given))
    first = learn.look("attention", {"text": "A film"})
    assert learn.look("attention", {"text": "A film"}) is first
    assert len(counted) == 1
    learn.look("attention", {"text": "A film", "layer": 2})
    assert len(counted) == 2


def test_run_that_trained_on_is_looked_at_anew(learn, monkeypatch):
    """A run was looked at while it was stopped; once it had finished, nothing else was shown."""
    counted = []
    compute = attention.look
    monkeypatch.setattr(attention, "look", lambda *given: counted.append(given) or compute(*given))
    jobs = learn.choices.jobs
    run = jobs.find(jobs.start("ppo", PPOConfig(), title="", secret="ann"))
    shutil.copytree(CHECKPOINTS / "gpt2-mini-ppo", run.model_folder)
    jobs.overview()
    for count in (1, 1):
        learn.look("attention", {}, run.folder.name)
        assert len(counted) == count
    weights = run.model_folder / "adapter_model.safetensors"
    shutil.copy(weights, weights.with_suffix(".new"))
    weights.with_suffix(".new").replace(weights)
    learn.look("attention", {}, run.folder.name)
    assert len(counted) == 2


def test_memory_of_looks_is_bounded(learn, monkeypatch):
    monkeypatch.setattr(learn_module, "MOST_KEPT", 2)
    for layer in (1, 2, 3):
        learn.look("attention", {"layer": layer})
    assert len(learn._kept) == 2


def test_large_looks_leave_room_for_few(learn, monkeypatch):
    learn.look("attention", {"layer": 1})
    [(_, size)] = learn._kept.values()
    monkeypatch.setattr(learn_module, "MOST_KEPT_SIZE", 2 * size + 100)
    for layer in (2, 3, 4):
        learn.look("attention", {"layer": layer})
    assert [json.loads(asked)["layer"] for _, _, asked in learn._kept] == [3, 4]
    monkeypatch.setattr(learn_module, "MOST_KEPT_SIZE", 10)
    learn.look("attention", {"layer": 5})
    assert len(learn._kept) == 0


def test_a_refused_look_is_not_kept(learn):
    for _ in range(2):
        with pytest.raises(ConfigError, match="the text is empty"):
            learn.look("attention", {"text": ""})
    with pytest.raises(ConfigError, match="shorten the text"):
        learn.look("attention", {"text": "x" * 5000})
    assert len(learn._kept) == 0


def test_outcome_and_code(learn):
    assert learn.outcome("attention")["answer"] == 1
    code = learn.code("attention")
    assert list(misfits(code, payloads.LessonCode)) == []
    assert code["file"] == "rlhf_demo/explain/gpt2.py"
    assert code["source"].startswith("def attend(")


def test_outcome_for_a_class_is_computed_before_visitors(learn, monkeypatch):
    held, hold = [], learn.compute_lock.hold
    monkeypatch.setattr(learn.compute_lock, "hold", lambda who: held.append(who) or hold(who))
    learn.outcome("attention", priority=Priority.CLASS)
    learn.outcome("ppo_step")
    assert held == [Priority.CLASS, Priority.VISITORS]


def test_lesson_is_imported_only_after_what_models_need(learn, monkeypatch):
    """Two threads that import transformers at once find it half made."""
    order = []
    warm = learn.model_cache.warm
    monkeypatch.setattr(learn.model_cache, "warm", lambda: order.append("models") or warm())
    imported = learn_module.module
    monkeypatch.setattr(learn_module, "module", lambda name: order.append(name) or imported(name))
    learn.outcome("tokens")
    assert order.index("models") < order.index("tokens")


def test_score_of_a_text_that_a_class_sends(learn):
    assert learn.score("The acting was not terrible.") == pytest.approx(-1.16, abs=0.006)
    assert not learn.compute_lock.held


def test_all_lessons_are_listed_as_declared():
    rows = listed()
    assert [row["id"] for row in rows] == list(LESSONS)
    for row in rows:
        assert list(misfits(row, payloads.ListedLesson)) == []


def test_a_run_is_shown_beside_what_it_was_trained_from(learn):
    shipped = "gpt2-mini-ppo"
    assert learn.trained() == [(LABELS[shipped], shipped)]
    jobs = learn.choices.jobs
    run = jobs.start("ppo", PPOConfig(policy="gpt2-mini"), title="mine", secret="ann")
    shutil.copytree(CHECKPOINTS / "gpt2-mini", jobs.find(run).model_folder, dirs_exist_ok=True)
    learn = Learn(learn.choices, learn.model_cache, learn.compute_lock)  # its list is a new one
    assert [name for _, name in learn.trained()] == [shipped, run]
    base = learn.look("next_token", {}, run)["logits"]
    assert learn.look("next_token", {"model": "ppo"}, run)["logits"] == base  # a copy of the base
    assert learn.look("next_token", {"model": "ppo"}, shipped)["logits"] != base
    assert learn.look("next_token", {}, shipped)["logits"] == base


def test_list_of_models_is_read_once_for_all_who_ask(learn, monkeypatch):
    read, policies = [], learn.choices.policies
    monkeypatch.setattr(learn, "_lists", ResultCache(clock=lambda: 0.0))
    monkeypatch.setattr(learn.choices, "policies", lambda: read.append(1) or policies())
    assert learn.trained() == learn.trained() != []
    assert len(read) == 1


def test_copied_run_whose_base_is_not_here_takes_no_list_away(learn):
    jobs = learn.choices.jobs
    run = jobs.find(jobs.start("ppo", PPOConfig(policy="evil/huge"), title="mine", secret="ann"))
    shutil.copytree(CHECKPOINTS / "gpt2-mini", run.model_folder, dirs_exist_ok=True)
    (run.folder / "job.json").unlink()  # as in a folder that was copied here
    with pytest.raises(ConfigError, match="would have to be fetched"):
        learn.choices.base_of(run.folder.name)
    assert [name for _, name in learn.trained()] == ["gpt2-mini-ppo"]


def test_no_lesson_trains_on_a_public_page(learn):
    assert learn.look("loss", {"teach": True})["taught"]
    settings = learn.choices.settings
    learn.choices.settings = replace(settings, public=True)
    public = Learn(learn.choices, learn.model_cache, learn.compute_lock)
    with pytest.raises(ConfigError, match="this page is public, so teaching is off here"):
        public.look("loss", {"teach": True})
    assert public.look("loss", {})["taught"] is None


@pytest.mark.parametrize(
    "odd", ["gpt2-mini", "reward-mini", "../x", "", 3, None, ["gpt2-mini-ppo"]]
)
def test_only_a_model_that_was_trained_from_another_is_shown(learn, odd):
    for ask in (learn.outcome, lambda name, trained: learn.look(name, {}, trained)):
        with pytest.raises(DemoError):
            ask("attention", odd)


@pytest.mark.parametrize("name", LESSONS)
def test_every_lessons_code_can_be_read(learn, name):
    code = learn.code(name)
    function = LESSONS[name].code.partition(":")[2]
    assert code["file"].startswith("rlhf_demo/")
    assert f"def {function}(" in code["source"]
