"""Measuring models for a frontier: tiny models, judges that can be followed by hand."""

import pytest
import torch

from rlhf_demo.config.evaluation import FrontierConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import ConfigError, ShapeError
from rlhf_demo.evaluation import frontier_measure
from rlhf_demo.evaluation.best_of_n import BestOf, kl_bound
from rlhf_demo.evaluation.compare import Answers, Contestant
from rlhf_demo.evaluation.frontier import half_wins, wins_of
from rlhf_demo.evaluation.frontier_measure import (
    Field,
    done,
    measure_best_of_n,
    measure_model,
    measure_run,
    new_record,
)
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.runs.frontier import AGAINST
from rlhf_demo.runs.run import Run, Status
from tests.tiny import save_tiny_model

CPU = torch.device("cpu")
JUDGES = {"longer": length_scores}


@pytest.fixture(scope="module")
def base(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="module")
def other(other_folder):
    return load_policy(str(other_folder), device=CPU)


@pytest.fixture
def field(base, prompts_file):
    options = {"prompts": str(prompts_file), "count": 3, "max_new_tokens": 4, "reward": "longer"}
    config = FrontierConfig(base="tiny", judge="longer", **options)
    return Field(base, JUDGES, new_record(config, base, JUDGES, torch.float32))


def test_the_base_answers_each_prompt_several_times_differently(field, base):
    record = field.record
    rows = record["against"]["longer"]
    assert [len(row) for row in rows] == [AGAINST] * 3
    second = generate(
        base, record["prompts"], max_new_tokens=4, temperature=0.7, seed=0, purpose="against 1"
    )
    lengths = length_scores(record["prompts"], decode(base, second)).tolist()
    assert [row[1] for row in rows] == lengths
    assert len({tuple(row[number] for row in rows) for number in range(AGAINST)}) > 1
    assert "reward_model" not in record


def test_model_is_measured_against_the_bases_responses(field, other, monkeypatch):
    monkeypatch.setattr(frontier_measure, "CHUNK", 2)
    answered = list(measure_model(field, other, "other", 7, seed=3))
    assert answered == [2, 3]
    point = done(measure_model(field, other, "other", 7, seed=3))
    side = Answers(Contestant("other", other))
    for number, prompts in enumerate((field.record["prompts"][:2], field.record["prompts"][2:])):
        side.answer(
            prompts, field.base, JUDGES, max_new_tokens=4, temperature=0.7, seed=3000 + number
        )
    expected = half_wins(side.scores["longer"], field.record["against"]["longer"])
    assert point["wins"] == {"longer": expected}
    assert point["step"] == 7
    assert point["kl"] == pytest.approx(sum(side.kl) / 3, abs=1e-4)
    assert point["kl"] > 0.1
    # Of three KLs, the variance with n - 1, over 3.
    mean = sum(side.kl) / 3
    se = (sum((kl - mean) ** 2 for kl in side.kl) / 2 / 3) ** 0.5
    assert point["kl_se"] == pytest.approx(se, abs=1e-3)


def test_the_base_itself_has_no_kl(field, base):
    point = done(measure_model(field, base, "base", 0, seed=0))
    assert point["kl"] == pytest.approx(0.0, abs=1e-5)


def test_model_with_other_tokens_is_refused(field, other, monkeypatch):
    monkeypatch.setattr(other.tokenizer, "get_vocab", lambda: {"other": 0})
    with pytest.raises(ShapeError, match=r"mine has other tokens than tiny.*--base"):
        next(measure_model(field, other, "mine", 1, seed=0))


def test_best_of_n_wins_more_with_n_and_its_kl_is_the_bound(field):
    run = done(measure_best_of_n(field, BestOf(6, length_scores), seed=2))
    assert [point["step"] for point in run["points"]] == [1, 2, 4, 6]
    assert [point["kl"] for point in run["points"]] == [kl_bound(n) for n in (1, 2, 4, 6)]
    rates = [sum(wins_of(point["wins"]["longer"])) for point in run["points"]]
    assert rates == sorted(rates)  # judge and chooser are the same
    assert rates[-1] > rates[0]
    assert (run["arm"], run["seed"], run["name"]) == ("best-of-n", 2, "best-of-n, seed 2")


def test_best_of_1_is_the_mean_over_its_candidates(field):
    run = done(measure_best_of_n(field, BestOf(2, length_scores), seed=0))
    side = Answers(Contestant("tiny", field.base, BestOf(2, length_scores)))
    side.answer(
        field.record["prompts"], field.base, JUDGES, max_new_tokens=4, temperature=0.7, seed=0
    )
    for judged, others, digit in zip(
        side.candidate_scores["longer"],
        field.record["against"]["longer"],
        wins_of(run["points"][0]["wins"]["longer"]),
        strict=True,
    ):
        both = [wins_of(half_wins([score], [others]))[0] for score in judged]
        assert digit == pytest.approx(sum(both) / 2, abs=1 / (4 * AGAINST))


# -- runs ------------------------------------------------------------------------------------------


def finished(folder, model, kind="ppo", **options):
    """Make a finished run whose final model and saved steps are one tiny model."""
    run = Run.create(folder, kind, STAGES[kind].config(**options).to_dict())
    run.append("metrics", [{"step": step} for step in (1, 2, 3, 4)])
    for target in (run.model_folder, run.step_folder(2), run.step_folder(4)):
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(model)
    run.set_status(Status.FINISHED)
    return run


def test_run_is_measured_at_its_saved_steps_and_its_end(field, other_folder, tmp_path):
    run = finished(tmp_path / "mine", other_folder, kl_coef=0.1, seed=5, batch_size=16)
    measured = measure_run(field, run)
    assert [point["step"] for point in measured["points"]] == [2, 4]
    assert (measured["name"], measured["arm"], measured["seed"]) == ("mine", "ppo", 5)
    assert measured["setting"] == "batch size 16, kl coef 0.1"
    assert measured["cost"]["read"] == 4 * 16 * 2
    assert measured["cost"]["labels"] == 1241
    assert measured["points"][0]["wins"] == measured["points"][1]["wins"]  # the same model and seed


# -- options ---------------------------------------------------------------------------------------


def test_judges_are_named_one_by_one():
    assert FrontierConfig(judge=" a, b ").judges == ["a", "b"]


@pytest.mark.parametrize("judge", ["", " , ", "a,a"])
def test_no_judge_and_the_same_judge_twice_are_refused(judge):
    with pytest.raises(ConfigError, match=r"--judge is .*: name one judge or several different"):
        FrontierConfig(judge=judge)
