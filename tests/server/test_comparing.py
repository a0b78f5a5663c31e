"""Two models compared piece by piece: many chunks measure as one, and others compute in between."""

import math
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.evaluation.compare import Contestant, compare
from rlhf_demo.evaluation.text_stats import distinct_n, read_with_base
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.server import comparing
from rlhf_demo.server.comparing import ManyPrompts, frames
from rlhf_demo.server.compute_lock import ComputeLock

CPU = torch.device("cpu")
PROMPTS_6 = ["The film was", "I liked the", "We saw it and", "This is a", "My friend said", "In"]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


def test_frames_between_two_leave_the_turn_to_others_and_end_with_the_figures():
    compute_lock = ComputeLock()
    steps = (SimpleNamespace(finished=number == 9) for number in range(10))
    shown = []
    for state in frames(steps, compute_lock):
        assert not compute_lock.held
        shown.append(state.finished)
    assert shown[-1] is True
    assert True not in shown[:-1]


def halves(prompts, responses):
    """A second judge: 0 and 1 in turn."""
    return torch.arange(len(responses)).remainder(2).float()


JUDGES = {"longer": length_scores, "halves": halves}


def many(policy, other, *, base):
    sides = Contestant("one", policy), Contestant("other", other)
    options = DuelOptions(max_new_tokens=5, temperature=1.0)
    return ManyPrompts(*sides, base, JUDGES, PROMPTS_6, options)


def test_report_of_one_chunk_equals_that_of_the_command(tiny):
    asked = many(tiny, tiny, base=tiny)
    assert list(asked.steps(ComputeLock())) == [6]
    expected = compare(
        asked.left, asked.right, tiny, PROMPTS_6, JUDGES,
        max_new_tokens=5, temperature=1.0, seed=0,
    )  # fmt: skip
    assert asked.report() == expected


def test_figures_of_several_chunks_equal_those_measured_at_once(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 4)
    asked = many(tiny, tiny, base=tiny)
    assert list(asked.steps(ComputeLock())) == [4, 6]
    side = asked.sides[0]
    readings = read_with_base(tiny, tiny, PROMPTS_6, side.ids, 1.0)
    found = asked.report()["models"][0]
    assert found["length"] == sum(map(len, side.ids)) / 6
    assert found["distinct_2"] == distinct_n(side.ids, 2)
    assert found["scores"] == [sum(map(len, side.texts)) / 6, pytest.approx(0.5)]
    tokens = torch.cat([reading.base_logprobs for reading in readings])
    assert found["perplexity"] == pytest.approx(math.exp(-tokens.mean()), rel=1e-5)


def test_chunks_draw_numbers_of_their_own(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 1)
    asked = many(tiny, tiny, base=tiny)
    asked.prompts = ["The film was"] * 6
    assert list(asked.steps(ComputeLock())) == [1, 2, 3, 4, 5, 6]
    assert len(set(asked.sides[0].texts)) > 1
    assert asked.sides[0].texts == asked.sides[1].texts
