"""Two models compared piece by piece: many chunks measure as one, and others compute in between."""

import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.config.evaluation import BestOfOptions, DuelOptions
from rlhf_demo.errors import ConfigError
from rlhf_demo.evaluation.best_of_n import BestOf, Candidates
from rlhf_demo.evaluation.compare import Answers, Contestant, compare
from rlhf_demo.evaluation.text_stats import distinct_n, read_with_base
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import encode_prompts
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.server import comparing
from rlhf_demo.server.comparing import ManyPrompts, best_of_state, check_sampled, frames
from rlhf_demo.server.compute_lock import ComputeLock, Priority

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


def test_chunk_holds_only_as_many_long_prompts_as_the_models_may_read_at_once(tiny, monkeypatch):
    asked = many(tiny, tiny, base=tiny)
    ids, *_ = encode_prompts(tiny, PROMPTS_6, 5)
    attention = tiny.lm.config.num_attention_heads * (ids.shape[1] + 5) ** 2
    monkeypatch.setattr("rlhf_demo.models.loading.MOST_ATTENTION", 2 * attention)
    assert list(asked.steps(ComputeLock())) == [2, 4, 6]


# -- best-of-n -------------------------------------------------------------------------------------


def test_chunks_of_best_of_n_have_fewer_prompts_so_that_others_wait_no_longer(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 6)
    asked = many(tiny, tiny, base=tiny)
    asked.right = replace(asked.right, best_of=BestOf(3, length_scores))
    asked.sides = Answers(asked.left), Answers(asked.right)
    assert list(asked.steps(ComputeLock())) == [2, 4, 6]
    found = asked.report()
    assert found["models"][1]["best_of"] == 3
    assert [row["n"] for row in found["by_n"]] == [1, 2, 3]
    assert found["by_n"][-1]["win_rates"][0] == found["judges"][0]["win_rate"]


def test_others_compute_between_two_tokens_and_change_nothing(tiny, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.compute_lock.PAUSED_AFTER_SECONDS", 0)
    asked = many(tiny, tiny, base=tiny)
    asked.right = replace(asked.right, best_of=BestOf(4, length_scores))
    asked.sides = Answers(asked.left), Answers(asked.right)
    lock, ended, turns = ComputeLock(), threading.Event(), []

    def compute():
        while not ended.is_set():
            with lock.hold(Priority.VISITORS):
                turns.append(torch.rand(3))

    other = threading.Thread(target=compute)
    other.start()
    try:
        assert list(asked.steps(lock)) == [6]  # in two holds
    finally:
        ended.set()
        other.join()
    assert len(turns) > 10
    expected = compare(
        asked.left, asked.right, tiny, PROMPTS_6, JUDGES,
        max_new_tokens=5, temperature=1.0, seed=0,
    )  # fmt: skip
    assert asked.report() == expected


@pytest.mark.parametrize(
    ("prompts", "best_of", "tokens"), [(64, 64, 32), (256, 16, 32), (256, 4, 128), (256, 1, 1024)]
)
def test_prompts_times_responses_times_tokens_are_bounded(prompts, best_of, tokens):
    options, most = BestOfOptions(best_of=best_of, max_new_tokens=tokens), 64 * 64 * 32
    check_sampled(prompts, options, most)
    if best_of > 1:
        with pytest.raises(ConfigError, match=f"{prompts + 1} prompts, {best_of} responses to"):
            check_sampled(prompts + 1, options, most)


def test_state_names_the_best_the_median_and_the_worst():
    settings = {"best_of": 5}
    texts = list("abcde")
    found = best_of_state(settings, Candidates([], texts[:4], [1.0, 4.0, 2.0, 3.0]))
    assert (found["best"], found["median"], found["worst"]) == (1, 2, 0)  # the lower middle one
    assert found["finished"] is False
    found = best_of_state(settings, Candidates([], texts, [1.0, 4.0, 2.0, 3.0, 0.0]))
    assert (found["best"], found["median"], found["worst"]) == (1, 2, 4)
    assert found["finished"] is True
    assert found["responses"][1] == {"text": "b", "score": 4.0}
    found = best_of_state(settings, Candidates([], [], []))
    assert (found["best"], found["responses"], found["expected"]) == (None, [], [])


def test_chunks_draw_numbers_of_their_own(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 1)
    asked = many(tiny, tiny, base=tiny)
    asked.prompts = ["The film was"] * 6
    assert list(asked.steps(ComputeLock())) == [1, 2, 3, 4, 5, 6]
    assert len(set(asked.sides[0].texts)) > 1
    assert asked.sides[0].texts == asked.sides[1].texts
