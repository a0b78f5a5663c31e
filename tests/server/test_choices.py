"""What a visitor may name, and what it means."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import CheckpointError, ConfigError, DataError, DemoError
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.choices import Choices, newest_model
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.parts import answering
from tests.fake_jobs import fake, new_jobs, row, start  # noqa: F401  (two are fixtures)
from tests.tiny import save_tiny_classifier, save_tiny_model


@pytest.fixture
def jobs(new_jobs):  # noqa: F811
    return new_jobs(scheduling=False)


@pytest.fixture
def choices(jobs, tmp_path):
    return Choices(Settings(runs=tmp_path / "runs"), jobs)


@pytest.mark.parametrize("name", ["checkpoints/pairs.jsonl", "/etc/passwd", "..", "a b", 5])
def test_data_named_by_a_path_is_refused(choices, monkeypatch, name):
    monkeypatch.chdir(CHECKPOINTS.parent)
    with pytest.raises(DataError, match="is neither in the list nor a Hub id"):
        choices.pairs(name)


def test_data_that_is_not_chosen_is_asked_for(choices):
    with pytest.raises(
        DataError, match=r"^no data is chosen: choose some from the list, or upload"
    ):
        choices.pairs(None)


@pytest.mark.parametrize("name", ["os:system", "/etc", "checkpoints/gpt2-mini", "star-rater", "-"])
def test_model_that_is_in_no_list_is_refused(choices, monkeypatch, name):
    monkeypatch.chdir(CHECKPOINTS.parent)
    with pytest.raises(ConfigError):
        choices.policy(name)


def test_shipped_classifier_rewards_a_policy_by_a_label_but_scores_nothing_by_itself(choices):
    def ids(listed):
        return [chosen for _, chosen in listed]

    assert "harshness" in ids(choices.rewards())
    assert "harshness" not in ids(choices.scorers()) + ids(choices.judges())
    assert "harshness" not in ids(choices.policies()) + ids(choices.contestants())
    assert choices.reward("harshness") == "harshness"
    assert choices.labels("harshness") == ["not harsh", "harsh"]


def test_run_without_a_model_is_no_choice_yet(choices, jobs):
    run = start(jobs)
    assert run not in [one for _, one in choices.policies()]
    with pytest.raises(ConfigError):
        choices.policy(run)


def test_public_page_takes_hub_models_from_the_owners_list_only(jobs, tmp_path):
    settings = Settings(runs=tmp_path / "runs", public=True, hub=("owner/model",))
    choices = Choices(settings, jobs)
    assert choices.policy("owner/model") == "owner/model"
    with pytest.raises(ConfigError, match="this page is public"):
        choices.policy("owner/other")
    with pytest.raises(DataError, match="is not in the list"):
        choices.pairs("owner/data")


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError, OverflowError])
def test_request_of_the_wrong_shape_is_answered_in_words(error):
    def function(request):
        raise error("x")

    assert "reload the page" in answering(function)(None)["error"]


def test_runs_are_found_though_the_page_was_started_from_another_folder(
    choices, tmp_path, monkeypatch
):
    inside = CHECKPOINTS.parent / "runs" / "ppo-x"
    assert choices.path(inside) == "runs/ppo-x"  # as the command line would name it
    monkeypatch.chdir(tmp_path)
    assert choices.path(inside) == str(inside)


def test_texts_of_a_run_that_may_be_resumed_are_kept_under_the_model_that_wrote_them(
    choices, jobs, monkeypatch
):
    """A blind vote gave the finished model the votes on what its first two steps had written."""

    def gone(path):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    run = jobs.find(start(jobs))
    name = with_model(run)
    weights = run.model_folder / "model.safetensors"
    weights.write_bytes(b"stopped at step 2")
    with run.recording():
        first = choices.author(name)
        assert first.startswith(f"{name}#")
        weights.write_bytes(b"stopped at step 9")
        assert choices.author(name) != first
        with monkeypatch.context() as replaced:  # the folder, while the model is read
            replaced.setattr("rlhf_demo.hub.locate.open_plain", gone)
            with pytest.raises(CheckpointError, match=r"cannot be read \(No such file"):
                choices.author(name)
    assert choices.author(name) == name  # it has finished: this model stays
    (run.folder / "job.json").unlink()  # the command line may make another under this name
    assert choices.author(name).startswith(f"{name}#")
    assert choices.author(f"{name}@5") == f"{name}@5" and choices.author("gpt2-mini") == "gpt2-mini"


def test_newest_model_is_of_a_saved_step_while_training_and_the_last_one_at_the_end(jobs):
    run = jobs.find(start(jobs))
    assert newest_model(run, run.read("metrics")) == (0, None)
    with run.recording():
        run.append("metrics", [{"step": step} for step in range(1, 16)])
        for step in (5, 10):
            run.step_folder(step).mkdir(parents=True)
        run.model_folder.mkdir()
        (run.model_folder / "config.json").write_text("{}")  # of an earlier part of a resumed run
        assert newest_model(run, run.read("metrics")) == (10, run.step_folder(10))
    assert newest_model(run, run.read("metrics")) == (15, run.model_folder)


def test_copied_run_with_odd_steps_or_closed_folders_leaves_the_lists_to_the_others(
    choices, jobs, monkeypatch
):
    sound, odd, closed = (jobs.find(start(jobs)) for _ in range(3))
    for run in (sound, odd, closed):
        run.model_folder.mkdir()
        (run.model_folder / "config.json").write_text("{}")
        run.step_folder(20).mkdir(parents=True)
    (odd.steps_folder / "\u00b2").mkdir()
    listdir, stat = os.listdir, os.stat

    def refuse(call):
        def refusing(path, *args, **kwargs):
            if Path(path) in (closed.steps_folder, closed.model_folder / "config.json"):
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *args, **kwargs)

        return refusing

    monkeypatch.setattr(os, "listdir", refuse(listdir))
    monkeypatch.setattr(os, "stat", refuse(stat))
    monkeypatch.setattr("genericpath.os.stat", refuse(stat))
    listed = {chosen for _, chosen in choices.contestants()}
    for run in (sound, odd):
        assert {run.folder.name, f"{run.folder.name}@20"} <= listed
    assert closed.folder.name not in listed
    assert choices.policy(f"{odd.folder.name}@20").endswith("steps/20")
    for step in ("\u00b2", "\u0662\u0660", "020", "21"):
        with pytest.raises(ConfigError, match="no saved step"):
            choices.policy(f"{odd.folder.name}@{step}")


def with_model(run, steps=()):
    for folder in (run.model_folder, *map(run.step_folder, steps)):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    return run.folder.name


def test_lists_have_the_newest_runs_and_steps_but_the_ids_of_others_work(
    choices, jobs, monkeypatch
):
    monkeypatch.setattr("rlhf_demo.server.choices.MOST_RUNS", 2)
    monkeypatch.setattr("rlhf_demo.server.choices.MOST_STEPS", 3)
    oldest, middle, newest = [with_model(jobs.find(start(jobs)), (10, 20)) for _ in range(3)]
    shipped = ["gpt2-mini", "gpt2-mini-ppo"]
    runs, hub = [newest, middle], list(choices.settings.hub)
    steps = [f"{newest}@10", f"{newest}@20", f"{middle}@10"]
    assert [chosen for _, chosen in choices.policies()] == shipped + runs + hub
    assert [chosen for _, chosen in choices.contestants()] == shipped + runs + hub + steps
    for chosen in (oldest, f"{oldest}@20"):
        assert choices.policy(chosen)


def test_only_ids_that_a_setting_can_mean_are_looked_up(choices, jobs):
    first, second = (jobs.find(start(jobs)) for _ in range(2))
    with_model(first, (20,))
    with_model(second)
    asked = []

    def engine_name(chosen):
        asked.append(chosen)
        return choices.policy(chosen)

    listed = choices.contestants()
    for value, chosen in (
        ("gpt2-mini", "gpt2-mini"),
        (choices.path(second.folder), second.folder.name),
        (choices.path(first.step_folder(20)), f"{first.folder.name}@20"),
    ):
        assert choices.listed_as(value, listed, engine_name) == chosen == asked.pop()
    for value in (f"/elsewhere/{second.folder.name}", "module:function", "a" * 5000, None):
        assert choices.listed_as(value, listed, engine_name) is None
    assert asked == [second.folder.name]


def options_of(kind, **named):
    return STAGES[kind].config(**named).to_dict()


def test_options_of_a_sent_run_are_checked_as_a_forms_ids_are(choices, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.choices.hub_refusal", lambda *_: None)
    monkeypatch.setattr("rlhf_demo.server.choices.hub_megabytes", lambda *_: 10.0**9)
    for kind in ("pairs", "reward", "ppo"):
        choices.check_names(options_of(kind))
    for kind, named, told in [
        ("ppo", {"policy": "evil/huge"}, "1,000,000,000 MB to fetch"),
        ("ppo", {"reward": "runs.sent.payload:score"}, "neither in the list nor a Hub id"),
        ("ppo", {"judge": "evil/huge"}, "1,000,000,000 MB to fetch"),
        ("pairs", {"model": "evil/huge"}, "1,000,000,000 MB to fetch"),
        ("pairs", {"rater": "payload:score"}, "neither in the list nor a Hub id"),
        ("reward", {"data": "evil/huge"}, "1,000,000,000 MB of data"),
        ("reward", {"data": "a/" + 5000 * "b"}, "is neither in the list nor a Hub id"),
    ]:
        with pytest.raises(DemoError, match=told):
            choices.check_names(options_of(kind, **named))


def test_labels_of_a_classifier_are_listed_and_of_no_other_scorer(choices, jobs, tmp_path):
    base = save_tiny_model(tmp_path / "base")
    run = jobs.find(jobs.start("reward", RewardConfig(), title="", secret="ann"))
    several = save_tiny_classifier(tmp_path / "three", base, labels=3)
    shutil.copytree(several, run.model_folder, dirs_exist_ok=True)
    jobs.overview()
    assert choices.labels(run.folder.name) == ["dull", "fair", "fine"]
    for name in ("reward-mini", "star-rater", "longer", "word-judge"):
        assert choices.labels(name) == []
    (run.model_folder / "config.json").write_text(json.dumps({"id2label": ["a", "b"]}))
    assert choices.labels(run.folder.name) == []  # odd: the trainer will say so
    with pytest.raises(DemoError, match="neither in the list nor a Hub id"):
        choices.labels("/etc/passwd")


def test_model_that_the_hub_does_not_have_is_refused_without_naming_paths(choices, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.choices.hub_refusal", lambda *_: "the Hub has no such")
    with pytest.raises(CheckpointError) as error:
        choices.policy("nobody/model")
    assert str(error.value) == (
        "model 'nobody/model' is not available: the Hub has no such; check the name, or choose "
        "from the list"
    )


def test_board_does_not_make_the_page_fetch_models(choices):
    """It loads them without a click, and a run that was copied here may name any."""
    choices.check_here("gpt2-mini", "star-rater", "gpt2")  # gpt2: listed
    with pytest.raises(ConfigError, match="'evil/huge' would have to be fetched from the Hub"):
        choices.check_here("gpt2-mini", "evil/huge")
    with pytest.raises(ConfigError, match="the run sft-x is not here any more"):
        choices.check_here(choices.path(choices.settings.runs / "sft-x"))
    with pytest.raises(ConfigError, match="would have to be fetched"):
        choices.check_here("a\0/b")


def test_options_of_a_resumed_run_may_name_what_lies_on_this_machine(choices, tmp_path):
    for name in ("policy", "reward"):
        choices.check_names(options_of("ppo", **{name: str(tmp_path)}))


@pytest.mark.parametrize("name", ["a" * 5000 + "/b", "a/" + "b" * 5000])
def test_name_that_no_file_can_have_is_refused_in_a_sentence(choices, name):
    for ask in (choices.policy, choices.reward, choices.pairs):
        with pytest.raises(DemoError, match="nor a Hub id"):
            ask(name)


@pytest.mark.parametrize("name", ["prompts", "data"])
def test_resumed_run_shows_strangers_no_file_from_elsewhere(choices, tmp_path, monkeypatch, name):
    """A copied run named a diary as its prompts; after one click, everyone could read the lines."""
    kind = {"prompts": "ppo", "data": "reward"}[name]
    diary, own = tmp_path / "diary.txt", choices.settings.runs / "votes.jsonl"
    for file in (diary, own):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("secret")
    choices.check_names(options_of(kind, **{name: str(diary)}))  # at home, it is the user's own
    monkeypatch.setattr(choices, "settings", replace(choices.settings, public=True))
    for file in ("shipped", str(own)):
        choices.check_names(options_of(kind, **{name: file}))
    with pytest.raises(DemoError, match=rf"reads its {name} from \S*diary.txt, and everyone would"):
        choices.check_names(options_of(kind, **{name: str(diary)}))
