"""Two models side by side: fair, repeatable, and silent about what cannot be compared."""

import json

import pytest
import torch
from tiny import save_tiny_model

from rlhf_demo.compare import Contestant, compare, compare_models, side_by_side, table
from rlhf_demo.config import CompareConfig, GenerateConfig
from rlhf_demo.errors import DataError
from rlhf_demo.generate import generate_rows
from rlhf_demo.loading import load_tokenizer
from rlhf_demo.models import load_policy

CPU = torch.device("cpu")
FIGURES = {"name", "score", "length", "eos_rate", "distinct_1", "distinct_2", "different_responses"}


def longer(prompts, responses):
    return torch.tensor([float(len(response)) for response in responses])


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    """The tiny model's sister: other weights, same tokenizer."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="module")
def foreign_folder(tmp_path_factory, tiny_model_folder):
    """The tiny model under a vocabulary of its own: the same size, two words swapped."""
    folder = save_tiny_model(tmp_path_factory.mktemp("models") / "foreign")
    spec = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = spec["model"]["vocab"]
    vocabulary["!"], vocabulary["?"] = vocabulary["?"], vocabulary["!"]
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    assert load_tokenizer(folder).get_vocab() != load_tokenizer(tiny_model_folder).get_vocab()
    return folder


@pytest.fixture
def config(tiny_model_folder, prompts_file):
    def make(**changes):
        options = {
            "base": str(tiny_model_folder), "rater": "longer", "prompts": str(prompts_file),
            "max_new_tokens": 6, "dtype": "float32",
        }  # fmt: skip
        return CompareConfig(**options | changes)

    return make


def test_model_against_itself_writes_the_same_and_ties_everywhere(tiny_model_folder, config):
    name = str(tiny_model_folder)
    report = compare_models(name, name, config(), longer)
    assert all(left == right for left, right in (row["responses"] for row in report["rows"]))
    assert (report["wins"], report["ties"], report["losses"]) == (0, 6, 0)
    assert report["win_rate"] == 0.5
    assert report["win_rate_low"] < 0.5 < report["win_rate_high"]
    for model in report["models"]:
        assert model["kl"] == 0.0  # it is the base, too


def test_same_seed_gives_the_same_report_and_another_seed_another(
    tiny_model_folder, other_folder, config
):
    names = str(tiny_model_folder), str(other_folder)
    report = compare_models(*names, config(), longer)
    assert compare_models(*names, config(), longer) == report
    assert compare_models(*names, config(seed=1), longer)["rows"] != report["rows"]


def test_report_has_its_keys_and_is_json(tiny_model_folder, other_folder, config):
    report = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report) == {
        "base", "rater", "models", "prompts", "seed", "temperature", "max_new_tokens",
        "wins", "ties", "losses", "win_rate", "win_rate_low", "win_rate_high", "rows",
    }  # fmt: skip
    left, right = report["models"]
    assert set(left) == set(right) == FIGURES | {"kl", "perplexity"}
    assert left["kl"] == 0.0
    assert right["kl"] > 0.1  # other weights
    assert report["prompts"] == len(report["rows"]) == 6
    assert report["wins"] + report["ties"] + report["losses"] == 6


def test_figures_follow_from_the_rows(tiny_model_folder, other_folder, config):
    report = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    for side, model in enumerate(report["models"]):
        scores = [row["scores"][side] for row in report["rows"]]
        assert scores == [len(row["responses"][side]) for row in report["rows"]]
        assert model["score"] == pytest.approx(sum(scores) / 6)
    wins = sum(row["scores"][1] > row["scores"][0] for row in report["rows"])
    ties = sum(row["scores"][1] == row["scores"][0] for row in report["rows"])
    assert report["win_rate"] == (wins + ties / 2) / 6


def test_sides_swapped_swap_the_win_rate(tiny_model_folder, other_folder, config):
    one = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    two = compare_models(str(other_folder), str(tiny_model_folder), config(), longer)
    assert two["win_rate"] == pytest.approx(1 - one["win_rate"])
    assert two["models"] == one["models"][::-1]


def test_model_with_other_tokens_gets_no_kl_and_no_perplexity(
    tiny_model_folder, foreign_folder, config
):
    report = compare_models(str(tiny_model_folder), str(foreign_folder), config(), longer)
    own, foreign = report["models"]
    assert set(own) == FIGURES | {"kl", "perplexity"}
    assert set(foreign) == FIGURES
    assert " -" in table(report)  # and the table shows a gap


def test_count_takes_the_first_prompts(tiny_model_folder, config):
    name = str(tiny_model_folder)
    report = compare_models(name, name, config(count=2), longer)
    assert [row["prompt"] for row in report["rows"]] == ["The film was", "I liked the"]


def test_texts_for_people_name_both_models_and_the_result(tiny_model_folder, config):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    left, right = Contestant("base", policy), Contestant("after PPO", policy)
    report = compare(
        left, right, policy, ["The film was", "So"], longer,
        max_new_tokens=4, temperature=0.7, seed=0,
    )  # fmt: skip
    text = table(report)
    # Two ties count half each: 1 of 2.
    assert "after PPO wins 50%" in text
    assert "of 2 prompts against base" in text
    shown = side_by_side(report, 1)
    assert shown.startswith("The film was\n")
    assert "after PPO" in shown and "So" not in shown.splitlines()


def test_missing_prompts_are_named(tiny_model_folder, config):
    with pytest.raises(DataError, match=r"no file /no/such/prompts.txt"):
        compare_models(
            str(tiny_model_folder),
            str(tiny_model_folder),
            config(prompts="/no/such/prompts.txt"),
            longer,
        )


# -- generate --------------------------------------------------------------------------------------


def test_generate_rows_repeats_prompts_together_and_scores_them(tiny_model_folder, prompts_file):
    config = GenerateConfig(
        model=str(tiny_model_folder), prompts=str(prompts_file), samples=2, max_new_tokens=6,
        dtype="float32",
    )  # fmt: skip
    rows = generate_rows(config, longer)
    assert [row["prompt"] for row in rows[:4]] == ["The film was"] * 2 + ["I liked the"] * 2
    assert len(rows) == 12
    assert all(row["score"] == len(row["response"]) for row in rows)
    assert rows[0]["response"] != rows[1]["response"]
    assert generate_rows(config, longer) == rows
    assert [set(row) for row in generate_rows(config, None)] == [{"prompt", "response"}] * 12
