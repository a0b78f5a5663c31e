"""Two models side by side: fair, repeatable, and silent about what cannot be compared."""

import json
import math
import statistics
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.config.evaluation import CompareConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.best_of_n import BestOf, Candidates, sample_candidates
from rlhf_demo.evaluation.compare import (
    Answers,
    Contestant,
    by_n,
    compare,
    compare_models,
    report,
    side_by_side,
    table,
)
from rlhf_demo.evaluation.text_stats import read_with_base
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import generate
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.models.word_judge import WordJudge
from tests.tiny import save_tiny_model

CPU = torch.device("cpu")
FIGURES = {
    "name",
    "scores",
    "length",
    "eos_rate",
    "distinct_1",
    "distinct_2",
    "different_responses",
}


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
    for judge in report["judges"]:
        assert (judge["wins"], judge["ties"], judge["losses"]) == (0, 6, 0)
        assert judge["win_rate"] == 0.5
        assert judge["win_rate_low"] < 0.5 < judge["win_rate_high"]
    for model in report["models"]:
        assert model["kl"] == model["kl_se"] == 0.0  # it is the base, too


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
        "base", "split", "models", "prompts", "seed", "temperature", "max_new_tokens", "counted",
        "judges", "rows",
    }  # fmt: skip
    left, right = report["models"]
    assert set(left) == set(right) == FIGURES | {"kl", "kl_se", "perplexity"}
    assert left["kl"] == 0.0
    assert right["kl"] > 0.1  # other weights
    assert report["prompts"] == len(report["rows"]) == 6
    for judge in report["judges"]:
        assert set(judge) == {
            "name", "wins", "ties", "losses", "win_rate", "win_rate_low", "win_rate_high",
        }  # fmt: skip
        assert judge["wins"] + judge["ties"] + judge["losses"] == 6


def test_every_judge_has_a_verdict_that_follows_from_the_rows(
    tiny_model_folder, other_folder, config
):
    report = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    assert [judge["name"] for judge in report["judges"]] == ["longer", "word-judge"]
    words = WordJudge()
    for row in report["rows"]:
        by_length, by_words = row["scores"]
        assert by_length == [len(response) for response in row["responses"]]
        prompt = row["prompt"]
        expected = [words.score(prompt + response) for response in row["responses"]]
        assert by_words == pytest.approx(expected, abs=1e-4)
    for place, judge in enumerate(report["judges"]):
        scores = [row["scores"][place] for row in report["rows"]]
        wins, ties = sum(b > a for a, b in scores), sum(b == a for a, b in scores)
        assert judge["win_rate"] == (wins + ties / 2) / 6
        for side, model in enumerate(report["models"]):
            mean = sum(pair[side] for pair in scores) / 6
            assert model["scores"][place] == pytest.approx(mean, abs=1e-4)


def test_word_judge_asked_for_is_checked_by_the_star_rater(tiny_model_folder, config):
    name = str(tiny_model_folder)
    report = compare_models(name, name, config(rater="word-judge"), WordJudge())
    assert [judge["name"] for judge in report["judges"]] == ["word-judge", "star-rater"]


def test_kl_is_the_mean_over_prompts_of_the_exact_sums(tiny_model_folder, other_folder, config):
    report = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    base, other = (load_policy(str(name), device=CPU) for name in (tiny_model_folder, other_folder))
    prompts = [row["prompt"] for row in report["rows"]]
    how = {"max_new_tokens": 6, "temperature": 0.7}
    ids = generate(other, prompts, **how, seed=0)
    sums = [float(one.kl.sum()) for one in read_with_base(other, base, prompts, ids, 0.7)]
    mean, variance = sum(sums) / 6, statistics.variance(sums)
    assert report["models"][1]["kl"] == pytest.approx(mean, rel=1e-5)
    assert report["models"][1]["kl_se"] == pytest.approx((variance / 6) ** 0.5, rel=1e-4)


def test_diversity_of_both_sides_is_counted_on_equally_many_ngrams():
    side = Contestant("one", SimpleNamespace(tokenizer=SimpleNamespace(eos_token_id=0)))
    # Left has 4 tokens and 2 pairs in all; of the right's 7 and 5 the first 4 and 2 count.
    left = Answers(side, [[1, 2], [1, 2]], ["a", "b"], {"judge": [0.0, 0.0]})
    right = Answers(side, [[3, 3, 3, 4], [5, 6, 7]], ["c", "d"], {"judge": [1.0, -1.0]})
    found = report(["p", "q"], left, right)
    assert found["counted"] == {"distinct_1": 4, "distinct_2": 2}
    one, other = found["models"]
    assert (one["distinct_1"], one["distinct_2"]) == (2 / 4, 1 / 2)
    assert (other["distinct_1"], other["distinct_2"]) == (2 / 4, 1 / 2)  # 3 3 3 4 and 33 33
    assert found["judges"][0]["wins"] == found["judges"][0]["losses"] == 1


def test_sides_swapped_swap_the_win_rate(tiny_model_folder, other_folder, config):
    one = compare_models(str(tiny_model_folder), str(other_folder), config(), longer)
    two = compare_models(str(other_folder), str(tiny_model_folder), config(), longer)
    for place in (0, 1):
        rates = [report["judges"][place]["win_rate"] for report in (one, two)]
        assert sum(rates) == pytest.approx(1.0)
    assert two["models"] == one["models"][::-1]


def test_model_with_other_tokens_gets_no_kl_and_no_perplexity(
    tiny_model_folder, foreign_folder, config
):
    report = compare_models(str(tiny_model_folder), str(foreign_folder), config(), longer)
    own, foreign = report["models"]
    assert set(own) == FIGURES | {"kl", "kl_se", "perplexity"}
    assert set(foreign) == FIGURES
    assert " -" in table(report)  # and the table shows a gap


def test_count_takes_the_first_prompts(tiny_model_folder, config):
    name = str(tiny_model_folder)
    report = compare_models(name, name, config(count=2), longer)
    assert [row["prompt"] for row in report["rows"]] == ["The film was", "I liked the"]


def test_one_prompt_has_no_standard_error(tiny_model_folder, config):
    name = str(tiny_model_folder)
    report = compare_models(name, name, config(count=1), longer)
    assert "kl" in report["models"][0] and "kl_se" not in report["models"][0]
    assert "its standard error" in table(report)


def test_texts_for_people_name_both_models_and_the_result(tiny_model_folder, config):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    left, right = Contestant("base", policy), Contestant("after PPO", policy)
    report = compare(
        left, right, policy, ["The film was", "So"], {"longer": longer, "word-judge": WordJudge()},
        max_new_tokens=4, temperature=0.7, seed=0,
    )  # fmt: skip
    text = table(report)
    # Two ties count half each: 1 of 2.
    assert text.count("after PPO wins 50%") == 2
    assert "of 2 prompts against base by longer: 0 won, 2 tied" in text
    assert "of 2 prompts against base by word-judge: 0 won, 2 tied" in text
    assert "(simulated judge of another family: it adds up a weight for each word)" in text
    shown = side_by_side(report, 1)
    assert shown.startswith("Responses, each with its score by longer:\n\nThe film was\n")
    assert "after PPO" in shown and "So" not in shown.splitlines()


def test_prompts_are_those_of_the_test_split_unless_another_is_asked_for(tiny_model_folder, config):
    name = str(tiny_model_folder)
    for options, split in ({}, "test"), ({"split": "heldout"}, "heldout"):
        report = compare_models(name, name, config(prompts="shipped", count=3, **options), longer)
        assert [row["prompt"] for row in report["rows"]] == load_prompts("shipped", split)[:3]
        assert report["split"] == split


# -- best-of-n -------------------------------------------------------------------------------------


def test_model_that_answers_with_its_longest_of_four_wins_against_its_single_responses(
    tiny_model_folder, config
):
    name = str(tiny_model_folder)
    found = compare_models(name, name, config(best_of=4), longer, longer)
    single, chosen = found["models"]
    assert (chosen["name"], chosen["best_of"]) == (f"{name} (best of 4)", 4)
    assert "best_of" not in single
    assert found["chosen_by"] == "reward-mini"
    assert chosen["scores"][0] > single["scores"][0]
    # It is the base itself, so its KL is the bound: log 4 - 3/4.
    assert (chosen["kl"], chosen["kl_se"]) == pytest.approx((0.636294, 0.0), abs=1e-6)
    assert "kl" in single and single["kl"] == 0.0

    # The best of all four is what was compared.
    assert [row["n"] for row in found["by_n"]] == [1, 2, 4]
    last = found["by_n"][-1]
    assert last["kl_bound"] == pytest.approx(chosen["kl"])
    assert last["win_rates"] == pytest.approx([judge["win_rate"] for judge in found["judges"]])
    for judge, bounds in zip(found["judges"], last["intervals"], strict=True):
        assert bounds == pytest.approx([judge["win_rate_low"], judge["win_rate_high"]])
    text = table(found)
    assert "<= 0.64" in text
    assert "best of" in text.splitlines()[-4]


def test_wins_for_each_n_worked_by_hand():
    side = Contestant("one", SimpleNamespace())
    left = Answers(side, texts=["", ""], scores={"judge": [1.0, 2.0]})
    right = Answers(
        side,
        candidates=[Candidates([], [], [0.0, 5.0, 3.0]), Candidates([], [], [9.0, 8.0, 7.0])],
        candidate_scores={"judge": [[2.0, 3.0, 0.0], [2.0, 3.0, 4.0]]},
    )
    # Against 1: win, win, loss; of two, the second, third and second are chosen: 1, 0, 1.
    # Against 2: tie, win, win; of two, the first, first and second are chosen: 1/2, 1/2, 1.
    rows = by_n(left, right)
    assert [row["n"] for row in rows] == [1, 2, 3]
    of_one, of_two, of_three = 2 / 3 + 5 / 6, 2 / 3 + 2 / 3, 1 + 1 / 2
    expected = [of_one / 2, of_two / 2, of_three / 2]
    assert [row["win_rates"][0] for row in rows] == pytest.approx(expected)
    assert rows[1]["kl_bound"] == pytest.approx(math.log(2) - 0.5)


def test_kl_of_best_of_n_adds_the_bound_to_the_log_ratio_of_what_was_chosen(
    tiny_model_folder, other_folder, config
):
    base, other = (load_policy(str(name), device=CPU) for name in (tiny_model_folder, other_folder))
    found = compare_models(
        str(tiny_model_folder), str(other_folder), config(best_of=2), longer, longer
    )
    prompts = [row["prompt"] for row in found["rows"]]
    how = {"max_new_tokens": 6, "temperature": 0.7, "seed": 0}
    candidates = sample_candidates(other, prompts, BestOf(2, longer), **how)
    ids = [one.ids[one.best] for one in candidates]
    readings = read_with_base(other, base, prompts, ids, 0.7)
    ratios = [float(reading.log_ratio.sum()) for reading in readings]
    assert found["models"][1]["kl"] == pytest.approx(sum(ratios) / 6 + math.log(2) - 0.5, rel=1e-5)


def test_one_response_to_a_prompt_is_compared_as_ever(tiny_model_folder, other_folder, config):
    names = str(tiny_model_folder), str(other_folder)
    assert "by_n" not in compare_models(*names, config(best_of=1), longer)


def test_missing_prompts_are_named(tiny_model_folder, config):
    with pytest.raises(DataError, match=r"no file /no/such/prompts.txt"):
        compare_models(
            str(tiny_model_folder),
            str(tiny_model_folder),
            config(prompts="/no/such/prompts.txt"),
            longer,
        )
