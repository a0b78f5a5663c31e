"""Figures of what models write, against numbers worked by hand."""

import math

import pytest
import torch

from rlhf_demo.evaluation import text_stats
from rlhf_demo.evaluation.text_stats import (
    count_ngrams,
    count_wins,
    distinct_n,
    perplexity,
    read_with_base,
    standard_error,
)
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import generate
from rlhf_demo.models.word_guard import RULED_OUT

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


@pytest.fixture(scope="module")
def moved(tiny_model_folder):
    """The tiny model, moved a little."""
    policy = load_policy(str(tiny_model_folder), device=CPU)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.lm.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return policy


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


def test_distinct_n_of_a_count_looks_at_the_first_ngrams_alone():
    responses = [[1, 2, 1, 2], [1, 2, 3]]
    assert count_ngrams(responses, 2) == 5
    assert count_ngrams([[1], [], [1, 2, 3]], 2) == 2
    # Of 12 21 12 | 12 23, the first three are two different ones, the first four no more.
    assert distinct_n(responses, 2, 3) == 2 / 3
    assert distinct_n(responses, 2, 4) == 2 / 4
    assert distinct_n(responses, 2, 5) == distinct_n(responses, 2)


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


def test_standard_error_worked_by_hand():
    # 1, 2, 3, 4: squared deviations 2.25, 0.25, 0.25, 2.25, so the variance is 5/3, over 4 numbers.
    assert standard_error(torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx((5 / 12) ** 0.5)
    assert standard_error(torch.tensor([3.0])) == 0.0  # nothing is known; the page draws no bar


def test_count_wins_worked_by_hand():
    scores, against = torch.tensor([1.0, 2.0, 3.0, 0.0]), torch.tensor([0.0, 2.0, 4.0, -1.0])
    assert count_wins(scores, against) == (2, 1, 1)


# -- read beside the base --------------------------------------------------------------------------


def all_logprobs(policy, prompt, ids, temperature):
    """log p of every token of the vocabulary before each response token: [time, vocabulary]."""
    prompt_ids = policy.tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        logits = policy.lm(input_ids=torch.tensor([prompt_ids + ids])).logits[0]
    # What is thought of a token is read one place before it.
    return torch.log_softmax(logits / temperature, dim=-1)[len(prompt_ids) - 1 : -1]


def test_reading_is_the_kl_over_the_vocabulary_and_the_ratio_of_the_written_token(policy, moved):
    prompts, responses = ["The film was", "So"], [[40, 50, 60], [70]]
    readings = read_with_base(moved, policy, prompts, responses, temperature=0.5)
    for prompt, ids, reading in zip(prompts, responses, readings, strict=True):
        ours = all_logprobs(moved, prompt, ids, 0.5)
        base = all_logprobs(policy, prompt, ids, 0.5)
        plain = all_logprobs(policy, prompt, ids, 1.0)
        assert len(reading.kl) == len(reading.log_ratio) == len(reading.base_logprobs) == len(ids)
        for place, token in enumerate(ids):
            both = zip(ours[place].tolist(), base[place].tolist(), strict=True)
            kl = sum(math.exp(p) * (p - q) for p, q in both)
            assert reading.kl[place].item() == pytest.approx(kl, abs=1e-4)
            ratio = ours[place, token] - base[place, token]
            assert reading.log_ratio[place].item() == pytest.approx(ratio.item(), abs=1e-4)
            assert reading.base_logprobs[place].item() == pytest.approx(
                plain[place, token].item(), abs=1e-4
            )
    assert min(reading.kl.min().item() for reading in readings) > 0.01  # the two do differ


def test_model_beside_itself_has_no_kl(policy):
    (reading,) = read_with_base(policy, policy, ["The film was"], [[40, 50, 60]], 0.7)
    assert reading.kl.tolist() == [0.0] * 3
    assert reading.log_ratio.tolist() == [0.0] * 3


def test_readings_do_not_depend_on_what_is_read_at_once(policy, moved, monkeypatch):
    prompts = ["The film was", "So", "I liked the way it all ended"]
    responses = [[40, 50, 60], [70], [80, 90]]
    together = read_with_base(moved, policy, prompts, responses, 0.7)
    monkeypatch.setattr("rlhf_demo.models.reading.READ_AT_ONCE", 1)
    alone = read_with_base(moved, policy, prompts, responses, 0.7)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.kl, other.kl, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.log_ratio, other.log_ratio, atol=1e-5, rtol=0)


def test_no_more_is_read_at_once_than_either_model_may(policy, moved, monkeypatch):
    read, unnoted = [], text_stats._read

    def fewest(model, prompts, longest):
        return 1 if model is policy else 3

    monkeypatch.setattr("rlhf_demo.evaluation.text_stats.read_at_once", fewest)
    monkeypatch.setattr(
        "rlhf_demo.evaluation.text_stats._read",
        lambda *what: read.append(len(what[1])) or unnoted(*what),
    )
    for one, other in ((policy, moved), (moved, policy)):
        read_with_base(one, other, ["The film", "So", "I"], [[40], [70], [80]], 0.7)
    assert read == [1] * 12


def test_mean_of_the_log_ratio_is_the_exact_kl_where_the_model_wrote(policy, moved):
    # k1 of a response has the exact KL as its mean: over 512 responses they agree within 4 errors.
    prompts = ["The film was"] * 512
    responses = generate(moved, prompts, max_new_tokens=4, temperature=1.0, seed=0)
    readings = read_with_base(moved, policy, prompts, responses, 1.0)
    differences = torch.stack([one.log_ratio.sum() - one.kl.sum() for one in readings])
    assert abs(differences.mean()) < 4 * differences.std() / 512**0.5


def test_words_that_a_guard_hides_count_for_nothing(policy, moved):
    """A guarded model puts no weight on hidden tokens; the base may."""
    hidden = 50

    class Guard:
        def hide(self, logits, texts):
            logits[:, hidden] = RULED_OUT

    (free,) = read_with_base(moved, policy, ["The film was"], [[40]], 1.0)
    moved.guard = Guard()
    try:
        (guarded,) = read_with_base(moved, policy, ["The film was"], [[40]], 1.0)
    finally:
        moved.guard = None
    ours = all_logprobs(moved, "The film was", [40], 1.0)[0]
    base = all_logprobs(policy, "The film was", [40], 1.0)[0]
    kept = [place for place in range(len(ours)) if place != hidden]
    rest = ours[kept] - ours[kept].logsumexp(0)
    expected = (rest.exp() * (rest - base[kept])).sum().item()
    assert guarded.kl.item() == pytest.approx(expected, abs=1e-4)
    assert guarded.kl.item() != pytest.approx(free.kl.item(), abs=1e-4)
