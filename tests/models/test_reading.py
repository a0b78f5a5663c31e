"""Reading back: what is sampled is what is scored, and nothing is said of padding."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import pad_responses, token_outputs
from tests.sampled import sample_batch

CPU = torch.device("cpu")


@pytest.fixture
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU, for_training=True, value_head=True)


def test_what_sampling_notes_and_what_reading_says_match_plain_transformers_row_by_row(policy):
    with torch.no_grad():
        policy.value_head.weight.normal_(generator=torch.Generator().manual_seed(0))
        policy.value_head.bias.fill_(0.5)
    prompt_ids, mask, sampled = sample_batch(policy)
    ids, response_mask = sampled.response_ids, sampled.response_mask
    now = token_outputs(
        policy,
        torch.cat([prompt_ids, ids], 1),
        torch.cat([mask, response_mask], 1),
        response_mask,
        0.7,
    )
    for row in range(3):
        length = int(response_mask[row].sum())
        alone = torch.cat([prompt_ids[row][mask[row]], ids[row, :length]])[None]
        with torch.no_grad():
            read = policy.lm(input_ids=alone, output_hidden_states=True)
            values = policy.value_head(read.hidden_states[-1][0, -length - 1 : -1])[:, 0]
        expected = torch.log_softmax(read.logits[0, -length - 1 : -1] / 0.7, -1).gather(
            -1, ids[row, :length, None]
        )[:, 0]
        for ours in (sampled, now):
            assert_close(ours.logprobs[row, :length], expected, atol=1e-5, rtol=0)
            assert_close(ours.values[row, :length], values, atol=1e-5, rtol=0)


def test_eos_keeps_a_gradient(policy):
    """Pad is not EOS: the log-probability of a real EOS is trained like any token's."""
    assert policy.tokenizer.pad_token_id != policy.tokenizer.eos_token_id
    eos = policy.tokenizer.eos_token_id
    ids, mask, response_mask = pad_responses(policy, ["The film", "I"], [[7, 8, eos], [eos]])
    assert response_mask.tolist() == [[True, True, True], [True, False, False]]
    outputs = token_outputs(policy, ids, mask, response_mask, 1.0)
    outputs.logprobs[1, 0].backward()
    assert policy.lm.get_output_embeddings().weight.grad[eos].abs().sum() > 0


def test_nothing_is_said_of_padding(policy):
    ids, mask, response_mask = pad_responses(policy, ["The film", "I"], [[7, 8, 9], [7]])
    now = token_outputs(policy, ids, mask, response_mask, 0.7)
    for outputs in (now.logprobs, now.entropy, now.values):
        assert outputs.shape == (2, 3)
        assert (outputs[1, 1:] == 0).all()
    assert (now.logprobs[response_mask] < 0).all()
