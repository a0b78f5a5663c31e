"""Sampling and reading back: what is sampled is what is scored, and padding changes nothing."""

import math
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
    decode,
    draw,
    encode_prompts,
    generate,
    keep_likely,
    sample,
    seeded,
    stream,
)
from rlhf_demo.train.rollout import Rollout, collect

CPU = torch.device("cpu")
PROMPTS = ["The film was", "I", "We saw it with my family and the"]


@pytest.fixture
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU, for_training=True, value_head=True)


def sample_batch(policy, seed=0, max_new_tokens=12, temperature=0.7):
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, max_new_tokens)
    sampled = sample(
        policy, prompt_ids, mask,
        max_new_tokens=max_new_tokens, temperature=temperature, generator=seeded(seed, "test", 0),
        keep_logits=True,
    )  # fmt: skip
    return prompt_ids, mask, sampled


def test_draw_follows_the_tempered_distribution():
    # logits (0, ln 2) at temperature 0.5: probabilities 1/5 and 4/5. The share of ones among 20,000
    # draws has a standard deviation of sqrt(0.16 / 20000) = 0.0028; five of them are 0.014.
    logits = torch.tensor([0.0, math.log(2.0)]).expand(20_000, 2)
    share = draw(logits, 0.5, seeded(0, "draw", 0)).float().mean()
    assert abs(float(share) - 0.8) < 0.014


def test_same_noise_and_nearly_same_logits_give_the_same_tokens():
    logits = torch.randn(500, 50, generator=torch.Generator().manual_seed(0))
    moved = logits + 0.01 * torch.randn(500, 50, generator=torch.Generator().manual_seed(1))
    same = draw(logits, 1.0, seeded(0, "draw", 0)) == draw(moved, 1.0, seeded(0, "draw", 0))
    assert same.float().mean() > 0.95
    other = draw(logits, 1.0, seeded(0, "draw", 0)) == draw(logits, 1.0, seeded(0, "draw", 1))
    assert other.float().mean() < 0.5


LN = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "kept"),
    [
        (1.0, 0, 1.0, 4),
        (1.0, 2, 1.0, 2),
        (1.0, 9, 1.0, 4),  # more than there are: all
        (1.0, 0, 0.75, 2),  # 0.5 is less than 0.75; 0.5 + 0.3 reaches it
        (1.0, 0, 0.9, 3),
        (1.0, 0, 0.0, 1),  # never none
        (1.0, 2, 0.6, 1),  # of the two 0.5 has 0.5 / 0.8 = 0.625, which reaches 0.6
        (0.5, 0, 0.6, 1),  # squared and normed: 0.25 / 0.365 = 0.685, which reaches 0.6
        (2.0, 0, 0.75, 3),  # roots: 0.707, 0.548, 0.387, 0.224 of 1.866; two are 0.673
    ],
)
def test_top_k_and_top_p_keep_the_likeliest(temperature, top_k, top_p, kept):
    order = torch.tensor([2, 0, 3, 1])  # the likeliest need not come first
    logits = torch.tensor([LN])[:, order]
    found = keep_likely(logits, temperature, top_k, top_p)
    expected = logits.masked_fill(order >= kept, -torch.inf)
    assert_close(found, expected, atol=0, rtol=0)


def test_stream_with_top_k_one_takes_the_likeliest_token_whatever_the_noise(policy):
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS[:1], 5)
    settings = {"max_new_tokens": 5, "temperature": 5.0, "top_k": 1, "eos_token_id": -1}
    ids = prompt_ids
    for drawn in stream(policy, prompt_ids, mask, generator=seeded(0, "k", 0), **settings):
        with torch.no_grad():
            logits = policy.lm(input_ids=ids).logits[:, -1]
        assert drawn.token_ids.tolist() == logits.argmax(-1).tolist()
        assert drawn.alive.tolist() == [True]
        # What is told of it is its probability among all tokens, not among those that were left.
        assert_close(drawn.logprobs, (logits / 5.0).log_softmax(-1).amax(-1), atol=1e-5, rtol=0)
        ids = torch.cat([ids, drawn.token_ids[:, None]], dim=1)
    assert ids.shape[1] == prompt_ids.shape[1] + 5


def test_stream_that_is_left_early_leaves_gradients_on(policy):
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, 5)
    tokens = stream(
        policy, prompt_ids, mask, max_new_tokens=5, temperature=1.0, generator=seeded(0, "g", 0)
    )
    next(tokens)
    assert torch.is_grad_enabled()
    tokens.close()
    assert torch.is_grad_enabled()


def test_break_off_ends_sampling_at_once(policy):
    def stop():
        raise KeyboardInterrupt

    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, 5)
    with pytest.raises(KeyboardInterrupt):
        sample(
            policy, prompt_ids, mask, max_new_tokens=5, temperature=1.0,
            generator=seeded(0, "s", 0), on_token=stop,
        )  # fmt: skip


def test_cached_sampling_agrees_with_reading_the_sequence_whole(policy):
    """Greedy through the cache equals greedy by full forward passes, by row, without padding."""
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, 8)
    ids = sample(
        policy,
        prompt_ids,
        mask,
        max_new_tokens=8,
        temperature=0.05,
        generator=seeded(0, "g", 0),
        eos_token_id=-1,
    ).response_ids
    noise = seeded(0, "g", 0)
    for time in range(8):
        gumbel = -(
            -torch.empty(3, policy.lm.config.vocab_size).uniform_(generator=noise).log()
        ).log()
        for row in range(3):
            alone = torch.cat([prompt_ids[row][mask[row]], ids[row, :time]])[None]
            with torch.no_grad():
                logits = policy.lm(input_ids=alone).logits[0, -1]
            assert int((logits / 0.05 + gumbel[row]).argmax()) == int(ids[row, time])


def test_response_ends_with_the_first_eos_and_is_padded_after_it(policy):
    policy.value_head.bias.data.fill_(0.5)  # so that padding would have a value
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, 12)
    settings = {"max_new_tokens": 12, "temperature": 1.0}
    free = sample(
        policy, prompt_ids, mask, **settings, generator=seeded(0, "e", 0), eos_token_id=-1
    ).response_ids
    end = int(free[1, 4])  # with this token as EOS the same draws end row 1 at its first appearance
    ended = sample(
        policy, prompt_ids, mask, **settings, generator=seeded(0, "e", 0), eos_token_id=end
    )
    ids, response_mask = ended.response_ids, ended.response_mask
    for row, real, unended in zip(ids, response_mask, free[:, : ids.shape[1]]):
        places = (unended == end).nonzero().flatten().tolist()
        length = places[0] + 1 if places else len(row)
        assert real.tolist() == [t < length for t in range(len(row))]
        assert row[:length].tolist() == unended[:length].tolist()
        assert (row[length:] == policy.tokenizer.pad_token_id).all()
    assert response_mask[1].sum() <= 5
    assert (ended.logprobs[~response_mask] == 0).all()
    assert (ended.values[~response_mask] == 0).all()


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


def test_eos_keeps_a_gradient(policy):
    """Pad is not EOS: the log-probability of a real EOS is trained like any token's."""
    assert policy.tokenizer.pad_token_id != policy.tokenizer.eos_token_id
    eos = policy.tokenizer.eos_token_id
    ids, mask, response_mask = pad_responses(policy, ["The film", "I"], [[7, 8, eos], [eos]])
    assert response_mask.tolist() == [[True, True, True], [True, False, False]]
    outputs = token_outputs(policy, ids, mask, response_mask, 1.0)
    outputs.logprobs[1, 0].backward()
    assert policy.lm.get_output_embeddings().weight.grad[eos].abs().sum() > 0


def test_prompts_leave_room_for_the_response(policy):
    long = "the film " * 100
    prompt_ids, _, cut = encode_prompts(policy, ["The film", long], 20)
    assert cut == 1
    assert prompt_ids.shape[1] == 64 - 20  # the tiny model has 64 positions
    assert prompt_ids[1].tolist() == policy.tokenizer(long)["input_ids"][-44:]  # its end is kept
    with pytest.raises(ShapeError, match="64 positions"):
        encode_prompts(policy, ["The film"], 64)


def test_empty_prompt_starts_with_the_begin_token(policy):
    prompt_ids, mask, _ = encode_prompts(policy, [""], 4)
    assert prompt_ids[mask].tolist() == [policy.tokenizer.bos_token_id]


def test_random_numbers_depend_on_seed_purpose_and_step_alone():
    def number(*what):
        return torch.rand(1, generator=seeded(*what)).item()

    assert number(0, "sample", 1) == number(0, "sample", 1)
    others = [number(1, "sample", 1), number(0, "epoch", 1), number(0, "sample", 2)]
    assert len({number(0, "sample", 1), *others}) == 4


def test_every_batch_meets_random_numbers_of_its_own(policy):
    settings = {"max_new_tokens": 8, "temperature": 5.0, "seed": 0, "batch_size": 1}
    first, second = generate(policy, ["I", "I"], **settings)
    assert first != second


def test_generate_is_repeatable_and_depends_on_the_seed(policy):
    def write(seed):
        ids = generate(policy, PROMPTS, max_new_tokens=6, temperature=1.0, seed=seed)
        return decode(policy, ids)

    assert write(1) == write(1) != write(2)


def test_prompts_that_are_cut_are_told_of(policy, caplog):
    generate(policy, ["the film " * 100, "I"], max_new_tokens=2, temperature=1.0, seed=0)
    assert "1 prompts lost their beginning" in caplog.text


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
    part = whole.part(rows)
    longest_prompt = int(prompt_mask[rows].sum(-1).max())
    assert part.response_mask.tolist() == [[True, True], [True, False]]
    assert part.sequence_ids.shape == part.attention_mask.shape == (2, longest_prompt + 2)
    assert part.responses() == [[12, 13], [7]]
    assert part.scores.tolist() == [2.0, 1.0]
    for name in ("old_logprobs", "ref_logprobs", "kl", "old_values"):
        assert_close(getattr(part, name), getattr(whole, name)[rows, :2], atol=0, rtol=0)
    again = token_outputs(policy, part.sequence_ids, part.attention_mask, part.response_mask, 0.7)
    assert_close(again.logprobs, whole.old_logprobs[rows, :2], atol=1e-5, rtol=0)


def test_nothing_is_said_of_padding(policy):
    ids, mask, response_mask = pad_responses(policy, ["The film", "I"], [[7, 8, 9], [7]])
    now = token_outputs(policy, ids, mask, response_mask, 0.7)
    for outputs in (now.logprobs, now.entropy, now.values):
        assert outputs.shape == (2, 3)
        assert (outputs[1, 1:] == 0).all()
    assert (now.logprobs[response_mask] < 0).all()


def test_policy_without_a_value_head_is_sampled_and_read_all_the_same(policy, tiny_model_folder):
    """What a method without values needs: the same texts and log-probabilities, and no values."""
    plain = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    made = []
    for one in (policy, plain):
        prompt_ids, mask, sampled = sample_batch(one)
        rollout = collect(one, prompt_ids, mask, sampled, torch.zeros(3), 0.7)
        part = rollout.part(torch.tensor([0, 2]))
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
