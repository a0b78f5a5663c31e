"""What the PPO form lets through: names from its lists, and settings that fit together."""

import gc
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs import ppo
from rlhf_demo.ui.tabs.ppo import NAMES, OFFLINE_NAMES, PPOTab
from tests.fake_jobs import HERE, fake, new_jobs  # noqa: F401  (two are fixtures)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def tab(new_jobs, tmp_path):  # noqa: F811
    settings, jobs = Settings(runs=tmp_path / "runs", public=True), new_jobs(scheduling=False)
    choices = Choices(settings, jobs)
    tab = PPOTab(Shared(settings, jobs, choices, None, ComputeLock(), *[None] * 5))
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later
    return tab


def start(tab, judge="star-rater", kind="ppo", data="shipped", **changes):
    """Press the button; return the notice under it."""
    values = RLOOConfig().to_dict() | PPOConfig().to_dict() | changes  # all fields of the form
    offline = SFTConfig().to_dict() | DPOConfig().to_dict() | changes
    rest = [values[name] for name in NAMES] + [offline[name] for name in OFFLINE_NAMES]
    return tab.start(HERE, kind, "gpt2-mini", data, "reward-mini", judge, "", "", *rest, "ann")


def test_models_are_chosen_before_the_page_has_asked_for_the_lists(tab):
    chosen = [picker.value for picker in (tab.policy, tab.data, tab.reward, tab.judge)]
    assert chosen == ["gpt2-mini", "shipped", "reward-mini", "auto"]


@pytest.mark.parametrize("judge", ["star-rater", "longer", "none"])
def test_judge_of_the_list_becomes_the_runs(tab, judge):
    run = start(tab, judge)["run"]
    assert tab.shared.jobs.find(run).config["options"]["judge"] == judge
    assert judge in [one for _, one in tab.shared.choices.judges()]


@pytest.mark.parametrize("judge", ["os:getcwd", "/etc", "gpt2-mini", "", None, "somebody/judge"])
def test_judge_that_is_in_no_list_is_refused_in_a_sentence(tab, judge):
    assert "choose" in start(tab, judge)["error"]


def test_target_without_a_coefficient_is_refused_in_a_sentence(tab):
    error = start(tab, kl_coef=0.0)["error"]
    assert "2.5" in error and error.startswith("kl coef is 0,") and error.count(". ") == 0
    assert "run" in start(tab, kl_coef=0.0, kl_target=0.0)


def test_preset_chooses_a_reward_and_its_label_and_the_next_preset_takes_them_back(tab):
    _, _, reward, label, *_ = tab.take_preset("less-harsh", "reward-mini")
    assert (reward, label) == ("harshness", "not harsh")
    _, _, reward, label, *_ = tab.take_preset("quick", "harshness")
    assert (reward, label) == ("reward-mini", None)
    _, _, *kept = tab.take_preset("no-kl", "reward-of-mine")[:4]
    assert kept == [gr.skip(), gr.skip()]


def test_duels_of_saved_steps_are_computed_once_and_fifty_are_kept(tab, monkeypatch):
    run, computed = start(tab)["run"], []
    newest = [0]
    monkeypatch.setattr(ppo, "newest_model", lambda run, rows: (newest[0], run.folder))
    monkeypatch.setattr(tab.shared.choices, "path", lambda folder: "model")
    monkeypatch.setattr(tab, "_load", lambda run, name: True)
    monkeypatch.setattr(
        tab, "_duel", lambda options, name: computed.append(newest[0]) or {"state": "x"}
    )
    for newest[0] in [*range(1, 51), 1, 51, 2, 1]:  # the 51st takes the place of the second
        assert tab.board_duel({"run": run}) == {"state": "x", "step": newest[0]}
    assert computed == [*range(1, 52), 2]
    assert len(tab._duels) == 50


def test_board_of_a_copied_run_loads_nothing_that_has_to_be_fetched(tab, monkeypatch):
    started = tab.shared.jobs.find(start(tab)["run"])
    copied = started.folder.with_name("ppo-copied")
    shutil.copytree(started.folder, copied)
    config = json.loads((copied / "config.json").read_text())
    config["options"]["policy"] = "evil/huge"
    (copied / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(ppo, "newest_model", lambda run, rows: (1, CHECKPOINTS / "gpt2-mini"))
    with pytest.raises(ConfigError, match="'evil/huge' would have to be fetched"):
        tab.board_duel({"run": "ppo-copied"})


def test_duel_names_a_base_without_its_folder_on_the_server(tab, monkeypatch):
    state = SimpleNamespace(to_dict=dict)
    monkeypatch.setattr("rlhf_demo.evaluation.duel.duel", lambda *what, **more: iter([state]))
    cache = SimpleNamespace(warm=lambda: None, policy=str, scorer=lambda *one: None)
    tab.shared = replace(tab.shared, model_cache=cache)
    options = PPOConfig().to_dict()
    for base, shown in (("/srv/page/runs/ppo-ab", "runs/ppo-ab"), ("gpt2-mini", "gpt2-mini")):
        assert tab._duel(options | {"policy": base}, "x")["settings"]["base"] == shown


def test_board_waits_for_no_trial_of_a_model(tab, monkeypatch):
    """It would keep the place of costly requests that the next click needs."""
    run, passed, asked, loaded = start(tab)["run"], [], [], []

    def has_passed(*model):
        asked.append(model)
        return model[1] in passed

    cache = SimpleNamespace(
        has_passed=has_passed, policy=loaded.append, scorer=lambda *one: loaded.append(one[0])
    )
    tab.shared = replace(tab.shared, model_cache=cache)
    monkeypatch.setattr(ppo, "newest_model", lambda run, rows: (1, run.folder))
    monkeypatch.setattr(tab.shared.choices, "path", lambda folder: "given")
    monkeypatch.setattr("rlhf_demo.server.choices.is_here", lambda name: True)
    monkeypatch.setattr(tab, "_duel", lambda options, name: {"state": "x"})
    base, reward = (
        tab.shared.jobs.find(run).config["options"][name] for name in ("policy", "reward")
    )
    for name in (base, "given", reward):
        assert tab.board_duel({"run": run}) == {"state": None, "later": True}
        passed.append(name)
    assert asked[-1] == ("scorer", reward, None) and not loaded
    assert tab.board_duel({"run": run}) == {"state": "x", "step": 1}
    assert loaded == [base, "given", reward]


@pytest.mark.parametrize(("kind", "config"), [("rloo", RLOOConfig), ("grpo", GRPOConfig)])
def test_method_of_the_list_starts_its_own_stage(tab, kind, config):
    run = start(tab, kind=kind, samples_per_prompt=8, seed=3, value_coef=9.0)["run"]
    saved = tab.shared.jobs.find(run).config
    assert saved["kind"] == kind and run.startswith(f"{kind}-")
    expected = config(samples_per_prompt=8, seed=3, judge="star-rater").to_dict()
    named = {"policy", "reward"}  # by what they stand for on this machine
    assert {k: v for k, v in saved["options"].items() if k not in named} == {
        k: v for k, v in expected.items() if k not in named
    }


def test_one_response_to_a_prompt_is_refused_in_a_sentence_before_anything_starts(tab):
    error = start(tab, kind="rloo", samples_per_prompt=1)["error"]
    assert error == "samples per prompt is 1: the lowest value is 2"
    assert "multiple of" in start(tab, kind="grpo", samples_per_prompt=5)["error"]
    assert not [row for row in tab.shared.jobs.overview() if not row["example"]]


def test_dpo_starts_with_its_pairs_and_its_own_settings(tab):
    run = start(tab, kind="dpo", beta=0.1, train_pairs=64, seed=3)["run"]
    saved = tab.shared.jobs.find(run).config
    assert saved["kind"] == "dpo" and run.startswith("dpo-")
    expected = DPOConfig(beta=0.1, train_pairs=64, seed=3, judge="star-rater").to_dict()
    named = {"policy", "reward", "data"}  # by what they stand for on this machine
    assert {k: v for k, v in saved["options"].items() if k not in named} == {
        k: v for k, v in expected.items() if k not in named
    }
    listed = next(row for row in tab.shared.jobs.overview() if row["id"] == run)
    assert listed["title"] == "gpt2-mini by DPO on shipped pairs"


def test_sft_starts_with_its_texts_and_its_own_settings(tab):
    run = start(tab, kind="sft", train_texts=64, epochs=3, beta=None)["run"]  # DPO's is not asked
    saved = tab.shared.jobs.find(run).config
    assert saved["kind"] == "sft" and run.startswith("sft-")
    assert (saved["options"]["train_texts"], saved["options"]["epochs"]) == (64, 3)
    assert "beta" not in saved["options"]
    listed = next(row for row in tab.shared.jobs.overview() if row["id"] == run)
    assert listed["title"] == "gpt2-mini by SFT on shipped pairs"
    assert "is not in the list" in start(tab, kind="sft", data="/etc/passwd")["error"]
    assert start(tab, kind="sft", train_texts=0)["error"] == (
        "train texts is 0: the lowest value is 1"
    )


def test_dpo_without_pairs_or_beta_is_refused_in_a_sentence_before_anything_starts(tab):
    assert "is not in the list" in start(tab, kind="dpo", data="/etc/passwd")["error"]
    assert start(tab, kind="dpo", beta=None)["error"] == "beta is empty: give a number"
    assert start(tab, kind="dpo", epochs=1.5)["error"] == "epochs is 1.5: give a whole number"
    assert "beta is 0.0: the lowest" in start(tab, kind="dpo", beta=0.0)["error"]
    assert not [row for row in tab.shared.jobs.overview() if not row["example"]]


def test_form_shows_the_settings_that_the_method_has(tab):
    def shown(kind):
        _, button, data, _, preset, *fields = tab.take_method(kind)
        names = [*NAMES, *[f"offline {name}" for name in OFFLINE_NAMES]]
        assert data["visible"] == (kind in ("dpo", "sft")) != preset["visible"]
        return button["value"], {
            name for name, field in zip(names, fields, strict=True) if field["visible"]
        }

    of_values = {"value_clip_range", "value_coef", "gamma", "gae_lambda"}
    assert shown("ppo") == ("Start PPO", set(NAMES) - {"samples_per_prompt"})
    assert shown("rloo") == ("Start RLOO", set(NAMES) - of_values)
    assert shown("grpo") == ("Start GRPO", set(NAMES) - of_values)
    offline = {f"offline {name}" for name in OFFLINE_NAMES}
    assert shown("dpo") == ("Start DPO", offline - {"offline train_texts"})
    of_pairs = {"offline beta", "offline train_pairs"}
    assert shown("sft") == ("Start SFT", offline - of_pairs)
    kl_coef = [tab.take_method(kind)[5 + NAMES.index("kl_coef")] for kind in ("ppo", "grpo")]
    assert kl_coef[0]["info"].startswith("initial KL coefficient")
    assert kl_coef[1]["info"].startswith("initial weight of the mean KL per token")
    kinds = ("ppo", "rloo", "grpo", "dpo", "sft")
    assert tab.method.choices == [(kind.upper(), kind) for kind in kinds]
