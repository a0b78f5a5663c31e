"""Best-of-n: which response it chooses, how far that moves the policy, and what n is worth."""

import itertools
import math
import random

import pytest
import torch

from rlhf_demo.evaluation.best_of_n import (
    BestOf,
    Candidates,
    expected_best,
    kl_bound,
    ranking,
    sample_candidates,
)
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate, sample
from rlhf_demo.models.scorers import length_scores

HOW = {"max_new_tokens": 5, "temperature": 1.0, "seed": 0}


def test_kl_bound_worked_by_hand():
    # log 2 - 1/2, log 4 - 3/4, log 64 - 63/64
    expected = {1: 0.0, 2: 0.193147, 4: 0.636294, 64: 3.174508}
    assert {n: kl_bound(n) for n in expected} == pytest.approx(expected, abs=1e-6)


def exact_kl(outcomes, n):
    """KL of the best of n from a policy of equally likely responses with different scores."""
    # The best of n is the k-th from below if all are among the lowest k, but not all below it.
    best = [(k**n - (k - 1) ** n) / outcomes**n for k in range(1, outcomes + 1)]
    return sum(p * math.log(p * outcomes) for p in best if p)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_exact_kl_stays_below_the_bound_and_reaches_it_where_no_response_is_likely(n):
    assert exact_kl(2, n) <= math.log(2)  # two responses: never more, however large n is
    assert exact_kl(2, n) < exact_kl(20, n) < exact_kl(2000, n) < kl_bound(n)
    assert exact_kl(20000, n) == pytest.approx(kl_bound(n), rel=1e-3)


def test_best_comes_first_and_of_equal_scores_the_first():
    assert ranking([0.5, 2.0, -1.0, 2.0]) == [1, 3, 0, 2]
    assert Candidates([[1], [2], [3]], ["a", "b", "c"], [0.0, 1.0, 1.0]).best == 1


def test_expected_best_worked_by_hand():
    # n = 2: the pairs (4, 1), (4, 2), (1, 2) have the maxima 4, 4, 2.
    assert expected_best([4.0, 1.0, 2.0]) == pytest.approx([7 / 3, 10 / 3, 4.0])
    assert expected_best([3.5]) == [3.5]
    assert expected_best([]) == []


def test_expected_value_of_the_choice_worked_by_hand():
    # n = 2 chooses the second, the third, the second: 20, 40, 20.
    chosen = expected_best([0.3, 0.9, 0.5], [10.0, 20.0, 40.0])
    assert chosen == pytest.approx([70 / 3, 80 / 3, 20.0])
    assert expected_best([1.0, 1.0], [5.0, 7.0]) == [6.0, 5.0]  # the first of equal scores wins


def test_estimate_is_the_mean_over_all_choices_of_n_responses():
    draw = random.Random(1)
    scores = [float(draw.randrange(4)) for _ in range(8)]  # with ties
    values = [draw.random() for _ in range(8)]
    for n, estimate in enumerate(expected_best(scores, values), start=1):
        chosen = [
            values[max(places, key=lambda place: (scores[place], -place))]
            for places in itertools.combinations(range(8), n)
        ]
        assert estimate == pytest.approx(sum(chosen) / len(chosen))


def test_estimate_has_no_bias():
    # Scores 0, 1 and 2, equally likely. The best of two is 2 in 5 of 9 cases and 1 in 3 of 9.
    samples = list(itertools.product((0.0, 1.0, 2.0), repeat=3))
    means = [sum(column) / 27 for column in zip(*map(expected_best, samples))]
    assert means == pytest.approx([1.0, 13 / 9, 5 / 3])


def test_most_responses_are_no_problem_for_the_numbers():
    draw = random.Random(2)
    scores = [draw.gauss(0, 1) for _ in range(64)]
    estimates = expected_best(scores)
    assert estimates[0] == pytest.approx(sum(scores) / 64)
    assert estimates[-1] == max(scores)
    assert estimates == sorted(estimates)


# -- sampling --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=torch.device("cpu"))


def test_candidates_are_scored_with_their_prompt_and_keep_their_order(policy):
    asked = []

    def scorer(prompts, responses):
        asked.extend(zip(prompts, responses))
        return torch.tensor([0.0, 1.0, 2.0, 5.0, 4.0, 3.0])

    one, two = sample_candidates(policy, ["The film", "I"], BestOf(3, scorer), **HOW)
    assert asked == [*(("The film", text) for text in one.texts), *(("I", t) for t in two.texts)]
    assert (one.scores, two.scores) == ([0.0, 1.0, 2.0], [5.0, 4.0, 3.0])
    assert (one.best, two.best) == (2, 0)
    assert decode(policy, one.ids) == one.texts
    assert len(set(one.texts)) == 3


def test_long_responses_are_sampled_fewer_at_once(policy, monkeypatch):
    width = len(policy.tokenizer("The film")["input_ids"]) + HOW["max_new_tokens"]
    attention = policy.lm.config.num_attention_heads * width**2
    monkeypatch.setattr("rlhf_demo.models.loading.MOST_ATTENTION", 2 * attention)
    rows = []

    def recorded(policy, prompt_ids, *arguments, **options):
        rows.append(len(prompt_ids))
        return sample(policy, prompt_ids, *arguments, **options)

    monkeypatch.setattr("rlhf_demo.models.sampling.sample", recorded)
    (one,) = sample_candidates(policy, ["The film"], BestOf(5, length_scores), **HOW)
    assert rows == [2, 2, 1]
    assert len(one.texts) == 5


def test_same_seed_gives_the_same_candidates_but_never_the_single_response(policy):
    def first(prompts, responses):
        return torch.zeros(len(prompts))

    prompts = ["The film", "I", "We saw"]
    found = [sample_candidates(policy, prompts, BestOf(1, first), **HOW) for _ in range(2)]
    assert found[0] == found[1]
    assert [one.ids[0] for one in found[0]] != generate(policy, prompts, **HOW)
