"""Sampling: the distribution that is asked for, from the seed alone, to the end token."""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_demo.errors import ShapeError
from rlhf_demo.models import sampling
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import (
    Part,
    decode,
    draw,
    encode_prompts,
    generate,
    keep_likely,
    sample,
    seeded,
    stream,
)
from tests.sampled import PROMPTS

CPU = torch.device("cpu")


@pytest.fixture
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU, for_training=True, value_head=True)


def test_draw_follows_the_tempered_distribution():
    # logits (0, ln 2) at temperature 0.5: probabilities 1/5 and 4/5. The share of ones among 20,000
    # draws has a standard deviation of sqrt(0.16 / 20000) = 0.0028; five of them are 0.014.
    logits = torch.tensor([0.0, math.log(2.0)]).expand(20_000, 2)
    share = draw(logits, 0.5, seeded(0, "draw", 0)).float().mean()
    assert abs(float(share) - 0.8) < 0.014


def test_rows_of_a_batch_that_are_drawn_elsewhere_get_the_same_tokens():
    logits = torch.randn(7, 50, generator=seeded(0, "logits", 0))
    whole = draw(logits, 0.7, seeded(0, "draw", 0))
    for rows in (slice(0, 4), slice(4, 7)):
        part = draw(logits[rows], 0.7, seeded(0, "draw", 0), Part(rows, of=7))
        assert part.tolist() == whole[rows].tolist()


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


def test_prompts_that_are_cut_are_logged(policy, caplog):
    generate(policy, ["the film " * 100, "I"], max_new_tokens=2, temperature=1.0, seed=0)
    assert "1 prompts are too long for the model and lost their beginning" in caplog.text


def test_long_prompts_are_sampled_fewer_at_once(policy, monkeypatch):
    """16 prompts of a model that the trial had tried with one text took 4.8 GB."""
    rows, original = [], sampling.sample

    def counted(policy, ids, *others, **more):
        rows.append(len(ids))
        return original(policy, ids, *others, **more)

    monkeypatch.setattr(sampling, "sample", counted)
    prompts = ["The film was good"] * 5
    length = encode_prompts(policy, prompts, 4)[0].shape[1] + 4
    monkeypatch.setattr("rlhf_demo.models.loading.MOST_READ", 2 * length)
    how = {"max_new_tokens": 4, "temperature": 1.0, "seed": 0}
    assert len(sampling.generate(policy, prompts, **how)) == 5
    assert rows == [2, 2, 1]
    assert sampling.generate(policy, [], **how) == []
