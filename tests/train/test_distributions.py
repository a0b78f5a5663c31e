"""What the page draws of a step, counted by hand."""

from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.train.distributions import distribution_row, ratio_counts, word_advantages
from rlhf_demo.train.ppo_rows import Movement, StepTensors

PIECES = [" The", " film", "s", " was", ".", " the", "", "It", "'"]


class Tokenizer:
    def decode(self, ids, skip_special_tokens):
        return "".join(PIECES[number] for number in ids)


POLICY = SimpleNamespace(tokenizer=Tokenizer())


def rollout(responses, values):
    time = max(map(len, responses))
    mask = torch.tensor([[place < len(row) for place in range(time)] for row in responses])
    return SimpleNamespace(
        response_mask=mask, responses=lambda: responses, baseline=torch.tensor(values)
    )


def test_ratios_are_counted_in_bins_of_a_twentieth():
    counts = ratio_counts(torch.tensor([0.0, 0.04, 0.96, 1.01, 1.04, 2.99, 3.0, 40.0]))
    assert len(counts) == 60 and sum(counts) == 8
    found = {place: count for place, count in enumerate(counts) if count}
    assert found == {0: 2, 19: 1, 20: 2, 59: 3}


def test_words_are_put_together_from_their_tokens_and_those_met_once_left_out():
    # " The film s was .": "films" is one word of two tokens; "The" and "the" are one word.
    responses = [[0, 1, 2, 3, 4], [5, 1, 2, 4, 6]]
    advantages = torch.tensor([[1.0, 2.0, 4.0, 9.0, 0.5], [3.0, -1.0, -3.0, 1.5, 99.0]])
    assert word_advantages(POLICY, rollout(responses, []), advantages) == [
        (".", 2, 1.0),  # (0.5 + 1.5) / 2
        ("films", 2, 0.5),  # (3 - 2) / 2
        ("the", 2, 2.0),  # (1 + 3) / 2; "was" stands once, the end of text is no word
    ]


def test_row_has_every_score_and_the_middle_of_every_response():
    responses = [[0, 1, 3, 4], [0, 1]]
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    zero, one = torch.zeros(2, 4), torch.ones(2, 4)
    tensors = StepTensors(
        scores=torch.tensor([0.5, -1.25]), log_ratio=zero, rewards=zero, advantages=zero,
        returns=zero, realised=torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 0.0]]),
    )  # fmt: skip
    moved = Movement(
        ratio=torch.stack([one, 2 * one]), clipped=torch.zeros(2, 2, 4, dtype=torch.bool),
        ratio_after=torch.full((1, 4), 0.51), mask_after=mask[1:], entropy_after=one[:1],
    )  # fmt: skip
    values = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.0, 0.0]]
    row = distribution_row(7, POLICY, rollout(responses, values), tensors, moved)
    assert row["step"] == 7 and row["scores"] == [0.5, -1.25]
    # Of four tokens the second is the middle, of two the first.
    assert row["values"] == [pytest.approx([0.2, 2.0]), pytest.approx([0.5, 5.0])]
    first, second, after = row["ratio"]
    assert (first[20], second[40], after[10]) == (6, 6, 2)  # padding is not counted
    assert sum(first) == sum(second) == 6 and sum(after) == 2
