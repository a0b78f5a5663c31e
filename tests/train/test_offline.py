"""Token ids of texts that a policy learns from: EOS, cut responses, long prompts."""

import pytest
import torch

from rlhf_demo.errors import DataError
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import prompt_tokens
from rlhf_demo.train.offline import encode_responses


@pytest.fixture(scope="module")
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=torch.device("cpu"))


def ids(policy, text):
    return policy.tokenizer.encode(text, add_special_tokens=False)


def test_response_ends_with_eos_unless_it_was_cut(policy):
    eos, long = policy.tokenizer.eos_token_id, " was so very bad indeed"
    assert encode_responses(policy, [" bad", long], 32) == [
        [*ids(policy, " bad"), eos],
        [*ids(policy, long), eos],
    ]
    count = len(ids(policy, long))
    assert encode_responses(policy, [long], count) == [ids(policy, long)]
    assert encode_responses(policy, [long], count - 1) == [ids(policy, long)[:-1]]


def test_response_that_ends_with_eos_gets_no_second_one(policy):
    """A chat template may write it."""
    written = " bad" + policy.tokenizer.eos_token
    assert encode_responses(policy, [written], 32) == [
        [*ids(policy, " bad"), policy.tokenizer.eos_token_id]
    ]


def test_empty_prompt_is_the_start_of_a_text(policy):
    assert prompt_tokens(policy, [""], 8)[0] == [[policy.tokenizer.eos_token_id]]


def test_prompt_that_leaves_too_little_room_loses_its_beginning(policy):
    [prompt], cut = prompt_tokens(policy, ["word " * 200], 8)
    assert cut == 1
    assert len(prompt) == policy.lm.config.max_position_embeddings - 8
    assert prompt == policy.tokenizer("word " * 200)["input_ids"][-len(prompt) :]


def test_text_without_a_token_is_named(policy):
    with pytest.raises(DataError, match="no token at all"):
        encode_responses(policy, ["b", ""], 8)
