"""Figures of what models write, against numbers worked by hand."""

import math

import pytest
import torch

from rlhf_demo.evaluate import count_wins, distinct_n, mean_kl, perplexity, response_logprobs
from rlhf_demo.models import load_policy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


# -- diversity -------------------------------------------------------------------------------------


def test_distinct_n_worked_by_hand():
    responses = [[1, 2, 1, 2], [1, 2, 3]]
    # Single tokens: 7 in all, of which 1, 2 and 3 differ.
    assert distinct_n(responses, 1) == 3 / 7
    # Pairs: 12 21 12 | 12 23 are 5 in all, of which 12, 21 and 23 differ.
    assert distinct_n(responses, 2) == 3 / 5
    # Triples: 121 212 | 123.
    assert distinct_n(responses, 3) == 1.0


def test_distinct_n_counts_no_pair_across_two_responses():
    # 1 and 2 stand in different responses: there is no pair at all.
    assert distinct_n([[1], [2]], 2) == 0.0
    assert distinct_n([], 1) == 0.0


# -- log-probabilities -----------------------------------------------------------------------------


def test_perplexity_worked_by_hand():
    # Probabilities 1/2, 1/4 and 1/4: the mean negative logarithm is (1 + 2 + 2) / 3 * ln 2.
    logprobs = [torch.tensor([0.5]).log(), torch.tensor([0.25, 0.25]).log()]
    assert perplexity(logprobs) == pytest.approx(2 ** (5 / 3))


def test_perplexity_weighs_tokens_not_responses():
    # Seven tokens at 1/2 and one at 1/256: (7 * 1 + 8) / 8 * ln 2; per response 4.5.
    logprobs = [torch.full((7,), 0.5).log(), torch.tensor([1 / 256]).log()]
    assert perplexity(logprobs) == pytest.approx(2 ** (15 / 8))


def test_perplexity_of_what_is_nearly_impossible_stays_a_number():
    assert math.isfinite(perplexity([torch.tensor([-2000.0])]))


def test_mean_kl_worked_by_hand():
    ours = [torch.tensor([-1.0, -2.0]), torch.tensor([-3.0])]
    theirs = [torch.tensor([-2.0, -2.5]), torch.tensor([-1.0])]
    # Sums of the differences per response: 1 + 0.5 and -2; their mean.
    assert mean_kl(ours, theirs) == pytest.approx((1.5 - 2.0) / 2)
    assert mean_kl(ours, ours) == 0.0


def test_count_wins_worked_by_hand():
    scores, against = torch.tensor([1.0, 2.0, 3.0, 0.0]), torch.tensor([0.0, 2.0, 4.0, -1.0])
    assert count_wins(scores, against) == (2, 1, 1)


def test_response_logprobs_are_those_of_the_model_at_the_temperature(policy):
    prompts, responses = ["The film was", "So"], [[40, 50, 60], [70]]
    found = response_logprobs(policy, prompts, responses, temperature=0.5)
    assert [len(row) for row in found] == [3, 1]
    for prompt, ids, row in zip(prompts, responses, found, strict=True):
        prompt_ids = policy.tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            logits = policy.lm(input_ids=torch.tensor([prompt_ids + ids])).logits[0]
        all_logprobs = torch.log_softmax(logits / 0.5, dim=-1)
        for place, token in enumerate(ids):
            # What is thought of a token is read one place before it.
            expected = all_logprobs[len(prompt_ids) - 1 + place, token]
            assert row[place] == pytest.approx(float(expected), abs=1e-4)


def test_response_logprobs_do_not_depend_on_the_batch(policy):
    prompts = ["The film was", "So", "I liked the way it all ended"]
    responses = [[40, 50, 60], [70], [80, 90]]
    together = response_logprobs(policy, prompts, responses, 0.7)
    in_parts = response_logprobs(policy, prompts, responses, 0.7, batch_size=1)
    for one, other in zip(together, in_parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert mean_kl(together, in_parts) == pytest.approx(0.0, abs=1e-4)
