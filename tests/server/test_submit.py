"""Rules for starting a run: what a visitor names is checked, then the run is queued."""

import pytest

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.submit import (
    MOST_PUBLIC,
    POLICY_OPTIONS,
    REWARD_OPTIONS,
    Submit,
    policy_options,
)
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)


@pytest.fixture
def submit(new_jobs, tmp_path):  # noqa: F811
    settings, jobs = Settings(runs=tmp_path / "runs", public=True), new_jobs(scheduling=False)
    return Submit(settings, jobs, Choices(settings, jobs))


def start_ppo(submit, **options):
    """Queue a PPO run; return its row."""
    run = submit.policy("ppo", "gpt2-mini", "reward-mini", "", "", options, "ann", "")
    return next(row for row in submit.jobs.overview() if row["id"] == run)


def test_judge_is_the_engines_default_where_nobody_names_one(submit):
    run = submit.policy("ppo", "gpt2-mini", "reward-mini", "", "", {}, "ann", "")
    assert submit.jobs.find(run).config["options"]["judge"] == PPOConfig().judge


def test_run_without_a_title_is_called_by_its_model_and_preset(submit):
    assert start_ppo(submit)["title"] == "gpt2-mini, quick"
    thorough = {"total_steps": 120, "learning_rate": 3e-4}
    assert start_ppo(submit, **thorough, seed=9)["title"] == "gpt2-mini, thorough"
    assert start_ppo(submit, **thorough, kl_coef=0.5)["title"] == "gpt2-mini, own settings"
    run = submit.reward("gpt2-mini", "shipped", "", {}, "ann", "")
    assert {row["id"]: row["title"] for row in submit.jobs.overview()}[run] == (
        "gpt2-mini on shipped pairs"
    )


def test_run_of_another_method_is_called_by_it_too(submit):
    run = submit.policy("rloo", "gpt2-mini", "reward-mini", "", "", {}, "ann", "")
    row = next(row for row in submit.jobs.overview() if row["id"] == run)
    assert (row["kind"], row["title"]) == ("rloo", "gpt2-mini by RLOO, quick")


def test_rude_title_is_refused_where_strangers_read_it(submit):
    starts = [
        lambda title: submit.reward("gpt2-mini", "shipped", title, {}, "ann", ""),
        lambda title: submit.policy("ppo", "gpt2-mini", "reward-mini", title, "", {}, "ann", ""),
        lambda title: submit.offline(
            "dpo", "gpt2-mini", "shipped", "reward-mini", title, "", {}, "ann", ""
        ),
        lambda title: submit.overoptimise(title, {}, "ann", ""),
    ]
    for start in starts:
        with pytest.raises(ConfigError, match="the title contains a rude word: choose another"):
            start("my shit run")
        with pytest.raises(ConfigError, match="the title contains a rude word: choose another"):
            start("a long title of a run that goes on and on and on and so cocktail")
    submit._called = lambda data: "votes: Which is less shit? (20 votes)"  # a title is made of it
    for start in (starts[0], starts[2]):
        with pytest.raises(ConfigError, match="the title contains a rude word: choose another"):
            start("")
        assert start("my run")
    submit.settings = Settings(runs=submit.settings.runs)
    assert starts[0]("my shit run") and starts[0]("")


def test_each_method_has_its_own_options():
    of_values = {"value_clip_range", "value_coef", "gamma", "gae_lambda"}
    assert set(POLICY_OPTIONS) - set(policy_options("ppo")) == {"samples_per_prompt"}
    for kind in ("rloo", "grpo"):
        assert set(POLICY_OPTIONS) - set(policy_options(kind)) == of_values


def test_tokens_of_a_rollout_are_bounded_on_a_public_page_alone(submit, monkeypatch):
    most = {"batch_size": 64, "max_new_tokens": 128}
    assert 64 * 128 == MOST_PUBLIC
    assert start_ppo(submit, **most)["status"] == "queued"
    with pytest.raises(ConfigError, match=r"is 8,256 tokens: choose at most 8,192, because"):
        start_ppo(submit, **most | {"max_new_tokens": 129})
    monkeypatch.setattr(submit, "settings", Settings(runs=submit.settings.runs))
    assert start_ppo(submit, **most | {"max_new_tokens": 129})["status"] == "queued"


def test_responses_of_best_of_n_are_bounded_on_a_public_page_alone(submit):
    """64 prompts with 64 responses of 32 tokens are 2 ** 17 tokens."""
    submit.overoptimise("", {"best_of_prompts": 64}, "ann", "")
    with pytest.raises(ConfigError, match="best of 64 on 65 prompts is up to 133,120 tokens: choo"):
        submit.overoptimise("", {"best_of_prompts": 65}, "ann", "")
    submit.settings = Settings()
    submit.overoptimise("", {"best_of_prompts": 65}, "ann", "")


def test_label_of_more_than_a_hundred_characters_is_refused(submit):
    with pytest.raises(ConfigError, match="the label has 50,000 characters: give at most"):
        submit.policy("grpo", "gpt2-mini", "reward-mini", "", "x" * 50_000, {}, "ann", "")
    assert submit.jobs.overview() == []


@pytest.mark.parametrize(
    ("reward", "label", "sentence"),
    [
        ("reward-mini", "x", "reward-mini has no label 'x': choose one from its list, or leave it"),
        ("longer", "x", "longer has no label 'x': choose one from its list, or leave it out"),
        ("harshness", "x", "harshness has no label 'x': choose one from its list"),
        ("harshness", ["harsh"], r"harshness has no label \['harsh'\]: choose one from"),
    ],
)
def test_label_that_the_reward_lacks_reaches_no_list(submit, reward, label, sentence):
    """A run that fails shows its label to everyone: `--label is 'fuck you all': choose ...`."""
    with pytest.raises(ConfigError, match=sentence):
        submit.policy("ppo", "gpt2-mini", reward, "", label, {}, "ann", "")
    assert submit.jobs.overview() == []


def test_label_that_the_reward_has_is_taken(submit):
    assert submit.policy("ppo", "gpt2-mini", "harshness", "", "not harsh", {}, "ann", "")


def test_no_visitor_sets_a_path_or_a_device():
    assert not {"prompts", "device", "data", "policy", "reward", "model", "judge", "label"} & {
        *POLICY_OPTIONS, *REWARD_OPTIONS
    }  # fmt: skip
