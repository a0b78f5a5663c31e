"""Rollouts: the policy before its update beside the reference, exact and without padding."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.errors import ShapeError
from rlhf_demo.models import reading
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import pad_responses, token_outputs
from rlhf_demo.models.sampling import (
    Sampled,
    seeded,
)
from rlhf_demo.train.rollout import Rollout, collect
from tests.sampled import sample_batch

CPU = torch.device("cpu")


@pytest.fixture
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU, for_training=True, value_head=True)


def test_before_the_first_update_kl_and_ratio_are_exact(policy):
    prompt_ids, mask, sampled = sample_batch(policy)
    response_mask = sampled.response_mask
    rollout = collect(policy, prompt_ids, mask, sampled, torch.zeros(3), 0.7)
    assert_close(rollout.old_logprobs, rollout.ref_logprobs, atol=1e-5, rtol=0)
    rows = torch.tensor([2, 0])  # another batch than the rollout's
    again = token_outputs(
        policy, rollout.sequence_ids[rows], rollout.attention_mask[rows], response_mask[rows], 0.7
    )
    ratio = torch.exp((again.logprobs - rollout.old_logprobs[rows]) * response_mask[rows])
    assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)


def ended_early(policy, sampled, lengths):
    """Let responses end after so many tokens, as if EOS had been drawn there."""
    places = torch.arange(sampled.response_ids.shape[1])
    mask = places < torch.tensor(lengths)[:, None]
    ids = sampled.response_ids.masked_fill(~mask, policy.tokenizer.pad_token_id)
    for row, length in enumerate(lengths):
        if length < len(places):
            ids[row, length - 1] = policy.tokenizer.eos_token_id
    return replace(sampled, response_ids=ids, response_mask=mask)


def test_what_the_reference_says_is_what_plain_transformers_give_row_by_row(policy, monkeypatch):
    """Read two at a time and shortest first, so in another order than the rows'."""
    monkeypatch.setattr(reading, "READ_AT_ONCE", 2)
    with torch.no_grad():
        for weight in policy.lm.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=seeded(0, str(weight.shape), 0))
    prompt_ids, mask, sampled = sample_batch(policy)
    sampled = ended_early(policy, sampled, (5, 3, 12))
    whole = collect(policy, prompt_ids, mask, sampled, torch.zeros(3), 0.7)
    assert whole.has_eos.tolist() == [True, True, False]
    for row, response in enumerate(sampled.responses()):
        prompt = prompt_ids[row][mask[row]].tolist()
        ids = torch.tensor([prompt + response])
        with torch.no_grad():
            ours, theirs = (
                torch.distributions.Categorical(
                    logits=lm(ids).logits[0, len(prompt) - 1 : -1] / 0.7
                )
                for lm in (policy.lm, policy.reference.lm)
            )
        expected = torch.distributions.kl_divergence(ours, theirs)
        assert float(expected.min()) > 0.01
        assert_close(whole.kl[row, : len(response)], expected, atol=1e-4, rtol=1e-3)
        logprobs = theirs.log_prob(torch.tensor(response))
        assert_close(whole.ref_logprobs[row, : len(response)], logprobs, atol=1e-4, rtol=1e-3)
        for column in (whole.kl, whole.ref_logprobs):
            assert (column[row, len(response) :] == 0).all()


def test_lora_reference_is_the_same_network_with_the_adapter_off(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    batch = sample_batch(policy)
    before = collect(policy, *batch, torch.zeros(3), 0.7)
    assert_close(before.old_logprobs, before.ref_logprobs, atol=1e-5, rtol=0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    after = collect(policy, *batch, torch.zeros(3), 0.7)
    assert_close(after.ref_logprobs, before.ref_logprobs, atol=0, rtol=0)
    moved = sample_batch(policy)[2].logprobs  # the same noise
    assert (moved[:, 0] - before.old_logprobs[:, 0]).abs().max() > 1e-3


def test_rollout_with_tensors_that_do_not_fit_is_refused():
    time = torch.zeros(2, 3)
    with pytest.raises(ShapeError, match="do not fit"):
        Rollout(
            sequence_ids=torch.zeros(2, 5), attention_mask=torch.zeros(2, 5), response_mask=time,
            old_logprobs=time, ref_logprobs=time[:, :2], kl=time, old_values=time,
            scores=torch.zeros(2), has_eos=torch.zeros(2),
        )  # fmt: skip


def test_part_of_a_rollout_leaves_out_columns_of_padding_and_reads_the_same(policy):
    prompts, responses = ["The film was", "I", "Oh"], [[7, 8, 9, 11], [7], [12, 13]]
    ids, mask, response_mask = pad_responses(policy, prompts, responses)
    time = response_mask.shape[1]
    prompt_ids, prompt_mask = ids[:, :-time], mask[:, :-time]
    read = token_outputs(policy, ids, mask, response_mask, 0.7)
    noted = (
        read.logprobs.detach(),
        read.values.detach(),
        torch.zeros(time, 3, policy.lm.config.vocab_size),
    )
    sampled = Sampled(ids[:, -time:], response_mask, *noted)
    whole = collect(policy, prompt_ids, prompt_mask, sampled, torch.arange(3.0), 0.7)
    rows = torch.tensor([2, 1])
    part = whole.select(rows)
    longest_prompt = int(prompt_mask[rows].sum(-1).max())
    assert part.response_mask.tolist() == [[True, True], [True, False]]
    assert part.sequence_ids.shape == part.attention_mask.shape == (2, longest_prompt + 2)
    assert part.responses() == [[12, 13], [7]]
    assert part.scores.tolist() == [2.0, 1.0]
    for name in ("old_logprobs", "ref_logprobs", "kl", "old_values"):
        assert_close(getattr(part, name), getattr(whole, name)[rows, :2], atol=0, rtol=0)
    again = token_outputs(policy, part.sequence_ids, part.attention_mask, part.response_mask, 0.7)
    assert_close(again.logprobs, whole.old_logprobs[rows, :2], atol=1e-5, rtol=0)


def test_policy_without_a_value_head_is_sampled_and_read_all_the_same(policy, tiny_model_folder):
    """What a method without values needs: the same texts and log-probabilities, and no values."""
    plain = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    made = []
    for one in (policy, plain):
        prompt_ids, mask, sampled = sample_batch(one)
        rollout = collect(one, prompt_ids, mask, sampled, torch.zeros(3), 0.7)
        part = rollout.select(torch.tensor([0, 2]))
        ids, attended, real = part.sequence_ids, part.attention_mask, part.response_mask
        made.append((rollout, part, token_outputs(one, ids, attended, real, 0.7)))
    (with_head, _, read), (without, part, now) = made
    assert with_head.old_values is not None and read.values is not None
    assert without.old_values is part.old_values is now.values is None
    assert torch.equal(with_head.sequence_ids, without.sequence_ids)
    assert torch.equal(with_head.old_logprobs, without.old_logprobs)
    assert torch.equal(read.logprobs, now.logprobs)
    assert "old_values" not in without.tensors()
    assert torch.equal(Rollout(**without.tensors()).kl, without.kl)
