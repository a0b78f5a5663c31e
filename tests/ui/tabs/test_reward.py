"""The reward-model tab's server functions: a run's report, and any text's score by word."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import pytest
import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.evaluation.reliability import preference
from rlhf_demo.explain.token_scores import word_contributions
from rlhf_demo.files import write_json
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import EXAMPLES, Shared
from rlhf_demo.ui.tabs.reward import SIMULATED, RewardTab
from tests.fake_jobs import fake, new_jobs, start  # noqa: F401  (fixtures among them)
from tests.vote_page import HTTP

CPU = torch.device("cpu")
TEXT = "I loved this film."


@pytest.fixture(scope="module")
def model_cache():
    return ModelCache()


@pytest.fixture
def tab(new_jobs, tmp_path, model_cache):
    """The tab over the shipped models and examples."""
    settings, jobs = Settings(runs=tmp_path / "runs"), new_jobs(scheduling=False, examples=EXAMPLES)
    choices = Choices(settings, jobs)
    return RewardTab(Shared(settings, jobs, choices, model_cache, ComputeLock(), *[None] * 5))


def test_text_is_scored_word_by_word_with_the_factor_of_the_shipped_model(tab):
    told = tab.score_text({"text": TEXT, "scorer": "reward-mini"})
    report = tab.reward_report({"run": "reward-shipped"})["report"]
    assert [word["piece"] for word in told["words"]] == ["I", " loved", " this", " film."]
    assert told["factor"] == report["score_std"]
    assert told | {"factor": None} == word_contributions(
        load_reward_model("reward-mini", device=CPU), TEXT
    ) | {"factor": None}
    assert "error" not in told  # which the page takes for a sentence that says what went wrong


def test_factor_turns_the_worst_pairs_into_the_probabilities_of_their_training(tab):
    """The page gives score differences of the saved model: the model itself gives the same ones."""
    report = tab.reward_report({"run": "reward-shipped"})["report"]
    model = load_reward_model("reward-mini", device=CPU)
    for pair in report["most_wrong"][:3]:
        chosen, rejected = model([pair["prompt"]] * 2, [pair["chosen"], pair["rejected"]]).tolist()
        assert pair["margin"] == pytest.approx(chosen - rejected, abs=0.02)
        assert preference(pair["margin"], report["score_std"]) < 0.1


def test_factor_is_not_known_of_a_rater_that_learned_from_no_pairs(tab):
    assert tab.score_text({"text": TEXT, "scorer": "star-rater"})["factor"] is None


def test_rules_are_not_listed_and_refused(tab):
    listed = [one for _, one in tab.scorers(0)["scorers"]]
    assert listed == ["reward-mini", "star-rater"]
    for rule in ("longer", "word-judge", "fluency-judge"):
        with pytest.raises(ConfigError, match=f"{rule} cannot be read word by word"):
            tab.score_text({"text": TEXT, "scorer": rule})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" ", "the text is empty"),
        ("a" * 2001, "2,001 characters: give at most 2,000"),
        ("film " * 260, "the model reads fewer than 256: shorten it"),
    ],
)
def test_text_that_cannot_be_scored_is_refused_in_a_sentence(tab, text, told):
    with pytest.raises(ConfigError, match=told):
        tab.score_text({"text": text, "scorer": "reward-mini"})


def test_scorer_that_is_in_no_list_is_refused(tab):
    with pytest.raises(ConfigError, match="is neither in the list nor a Hub id"):
        tab.score_text({"text": TEXT, "scorer": "../etc"})


def test_report_of_shipped_pairs_says_that_their_rater_is_simulated(tab, tmp_path):
    assert tab.reward_report({"run": "reward-shipped"})["rater"] == SIMULATED
    run = start(tab.shared.jobs, "reward", data=str(tmp_path / "mine.jsonl"))
    told = tab.reward_report({"run": run})
    assert told == {"report": None, "people": None, "votes": None, "rater": ""}
    report = {"accuracy": 0.5, "baseline_side": "longer"}
    write_json(tab.shared.jobs.find(run).folder / "report.json", report)
    assert tab.reward_report({"run": run})["report"] == report


@pytest.mark.parametrize("chosen", [" good.", " \\ud800"])
def test_uploaded_file_leaves_gradios_cache_whether_it_can_be_used_or_not(
    tab, tmp_path, monkeypatch, chosen
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    path = tmp_path / "cache" / ("a" * 64) / "mine.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"prompt": "It was", "chosen": "{chosen}", "rejected": " bad."}}')
    _, shown = tab.take_upload(str(path), "ann", HTTP)
    assert ("error" in shown) == (chosen != " good.") and not path.exists()
