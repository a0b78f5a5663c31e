"""Scorers and the simulated voter: what they return, what they refuse, and how often they err."""

import numpy as np
import pytest
import torch

from rlhf_demo.errors import CheckpointError, ConfigError, DataError
from rlhf_demo.models.scorers import PythonScorer, SimulatedVoter, length_scores, load_scorer

CPU = torch.device("cpu")
MODULE = """
import numpy
import torch

def as_list(prompts, responses):
    return [len(prompt) + 10 * len(response) for prompt, response in zip(prompts, responses)]

def as_array(prompts, responses):
    return numpy.array(as_list(prompts, responses), dtype=numpy.float64)

def as_tensor(prompts, responses):
    return torch.tensor(as_list(prompts, responses), requires_grad=False)

def as_parameter(prompts, responses):
    return torch.tensor([float(n) for n in as_list(prompts, responses)], requires_grad=True)

def short(prompts, responses):
    return [1.0]

def single(prompts, responses):
    return 1.0

def words(prompts, responses):
    return responses

def nothing(prompts, responses):
    pass

def not_a_number(prompts, responses):
    return [0.0, float("nan")]

def crash(prompts, responses):
    raise KeyError("stars")

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the user's into the working folder; return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    name = f"scoring_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


# -- scorers --------------------------------------------------------------------------------------


def test_longer_counts_the_characters_of_the_response_only():
    scorer = load_scorer("longer", device=CPU)
    scores = scorer(["a long prompt", "b"], ["good", ""])
    assert scores.tolist() == [4.0, 0.0] and scores.dtype == torch.float32


@pytest.mark.parametrize("function", ["as_list", "as_array", "as_tensor", "as_parameter"])
def test_python_function_may_return_list_array_or_tensor(module, function):
    scorer = load_scorer(f"{module}:{function}", device=CPU, allow_python=True)
    scores = scorer(["ab", "c"], ["x", "yz"])
    # 2 + 10 * 1 and 1 + 10 * 2
    assert scores.tolist() == [12.0, 21.0]
    assert scores.dtype == torch.float32 and not scores.requires_grad


def test_python_function_is_refused_unless_allowed(module):
    with pytest.raises(ConfigError, match=f"{module}:as_list is a Python function"):
        load_scorer(f"{module}:as_list", device=CPU)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("short", r"returned numbers of shape \[1\]: return a list.* of 2 finite numbers"),
        ("single", r"returned numbers of shape \[\]"),
        ("words", r"returned list \['x', 'yz'\]"),
        ("nothing", r"returned NoneType None"),
        ("not_a_number", r"returned nan for response 1"),
        ("crash", r"failed with KeyError: 'stars' \(line \d+ of scoring_.*\.py\); fix"),
    ],
)
def test_python_function_with_a_bad_result_is_named(module, function, message):
    scorer = PythonScorer(f"{module}:{function}")
    with pytest.raises(DataError, match=f"{module}:{function} {message}"):
        scorer(["ab", "c"], ["x", "yz"])


@pytest.mark.parametrize("function", ["missing", "number"])
def test_python_function_that_is_none_is_named(module, function):
    with pytest.raises(ConfigError, match=f"has no function '{function}'"):
        PythonScorer(f"{module}:{function}")


def test_python_module_that_is_missing_or_broken_is_named(tmp_path, module):
    with pytest.raises(
        ConfigError, match="importing no_such_module_here failed with ModuleNotFound"
    ):
        PythonScorer("no_such_module_here:score")
    broken = f"broken_{module}"
    (tmp_path / f"{broken}.py").write_text("import os\nthreshold = 1 / 0\n")
    with pytest.raises(ConfigError, match=rf"ZeroDivisionError: .* \(line 2 of {broken}.py\)"):
        PythonScorer(f"{broken}:score")


def test_any_other_name_is_a_model(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_scorer(str(tmp_path / "missing"), device=CPU)
    # A folder with a colon in its name is a folder, not a function.
    folder = tmp_path / "runs:one"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="holds no model"):
        load_scorer(str(folder), device=CPU)


# -- the simulated voter ---------------------------------------------------------------------------


def test_simulated_voter_prefers_the_higher_score_and_gives_the_margin():
    voter = SimulatedVoter(length_scores)
    preferences, margins = voter.prefer(["p"] * 3, ["four", "a", "tie"], ["two", "seven77", "two"])
    assert preferences.tolist() == [1, -1, 0]
    # 4 - 3, 1 - 7, 3 - 3
    assert margins.tolist() == [1.0, -6.0, 0.0]


def test_simulated_voter_prefers_by_the_smallest_difference():
    shares = {"a": 0.25, "b": 0.375, "c": 0.3125}
    voter = SimulatedVoter(lambda prompts, responses: torch.tensor([shares[r] for r in responses]))
    preferences, margins = voter.prefer(["p"] * 2, ["a", "b"], ["b", "c"])
    assert preferences.tolist() == [-1, 1]
    assert margins.tolist() == [-0.125, 0.0625]


def test_simulated_voter_errs_at_the_given_rate_and_keeps_the_margin():
    count = 10_000
    voter = SimulatedVoter(length_scores, error_rate=0.2, seed=3)
    preferences, margins = voter.prefer(["p"] * count, ["longer"] * count, ["short"] * count)
    assert margins.eq(1.0).all()
    # Standard deviation of the share: sqrt(0.2 * 0.8 / 10000) = 0.004; five of them.
    assert abs(preferences.eq(-1).float().mean().item() - 0.2) < 0.02
    assert preferences.abs().eq(1).all()


def test_simulated_voter_that_always_errs_turns_all_but_ties():
    voter = SimulatedVoter(length_scores, error_rate=1.0)
    preferences, _ = voter.prefer(["p"] * 3, ["four", "a", "tie"], ["two", "seven77", "two"])
    assert preferences.tolist() == [-1, 1, 0]


def test_simulated_voter_errors_depend_on_the_seed_and_not_on_the_scores():
    def errors(seed, left):
        voter = SimulatedVoter(length_scores, error_rate=0.5, seed=seed)
        batches = [voter.prefer(["p"] * 50, [left] * 50, ["mid"] * 50) for _ in range(2)]
        return torch.cat([preferences * margins.sign().long() for preferences, margins in batches])

    assert errors(1, "longest").tolist() == errors(1, "s").tolist()
    assert errors(1, "longest").tolist() != errors(2, "longest").tolist()
    first, second = errors(1, "longest").split(50)
    assert first.tolist() != second.tolist()  # the draws go on from call to call


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan])
def test_simulated_voter_with_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ConfigError, match="error rate is"):
        SimulatedVoter(length_scores, error_rate=rate)


@pytest.mark.parametrize("name", ["longer", "word-judge", "operator:add"])
def test_label_of_what_has_none_is_refused(name):
    with pytest.raises(ConfigError, match=f"--label is 'good', but {name} has no labels"):
        load_scorer(name, device=torch.device("cpu"), label="good", allow_python=True)
