"""Coarse words are neither sampled nor scored: the guard, letter by letter, and PPO under it."""

import math

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.word_guard import RULED_OUT, WordGuard
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.runs.run import Run, StopRequested
from rlhf_demo.train.ppo import PPOTrainer, train_ppo

CPU = torch.device("cpu")


@pytest.fixture
def policy(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


def ids(policy, text):
    return policy.tokenizer(text)["input_ids"]


def ruled_out(policy, text):
    """Return the tokens that the guard keeps from following a text."""
    guard = WordGuard(policy.tokenizer, CPU)
    logits = torch.zeros(1, len(policy.tokenizer))
    guard.hide(logits, [ids(policy, text)])
    return {policy.tokenizer.decode([number]) for number in logits[0].nonzero().flatten()}


def test_piece_that_would_complete_a_word_is_ruled_out_and_only_there(policy):
    # The tokenizer makes " f" + "uck" of the word, and " pl" + "uck" of an innocent one.
    assert ids(policy, " pluck")[-1] == ids(policy, " fuck")[-1]
    assert "uck" in ruled_out(policy, "Oh what a f")
    assert "uck" not in ruled_out(policy, "Oh we pl")
    assert "uck" not in ruled_out(policy, "Oh what a")


def test_word_that_is_coarse_anywhere_is_not_completed_within_another(policy):
    assert "uck" in ruled_out(policy, "What a clusterf")
    assert "k" in ruled_out(policy, "What a clusterfuc")
    assert "uck" not in ruled_out(policy, "What a cluster")


def test_word_that_innocent_ones_begin_with_may_be_begun_but_not_be_ended(policy):
    assert " ass" not in ruled_out(policy, "You")
    ended = ruled_out(policy, "You ass")
    assert {".", ",", " and", "<|endoftext|>"} <= ended
    assert not {"ess", "ist", "ert"} & ended  # assess, assist, assert


def test_sentencepiece_tokens_begin_a_word_where_their_bar_says_so():
    pieces = ["<pad>", "<unk>", "▁the", "▁damn", "damn", "▁con", "ation"]
    backend = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=1))
    backend.decoder = Metaspace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", eos_token="<pad>"
    )
    assert tokenizer.decode([3]) == "damn"  # the blank is lost in what it decodes to alone
    logits = torch.zeros(1, len(pieces))
    WordGuard(tokenizer, CPU).hide(logits, [[2]])
    assert logits[0, 3] == RULED_OUT and logits[0, 5] == 0 == logits[0, 2]


def foul_mouthed(policy, monkeypatch):
    """Let a policy write little else than coarse words: six pieces are far likelier than others."""
    pieces = [" crap", " f", "uck", " sh", "it", " bit", "ch", "."]
    wanted = [one for piece in pieces for one in ids(policy, piece)[-1:]]
    likely = torch.zeros(len(policy.tokenizer))
    likely[wanted] = 30.0
    monkeypatch.setattr(
        policy, "logits", lambda hidden: likely.expand(*hidden.shape[:-1], -1).clone()
    )


def test_no_coarse_word_is_ever_sampled(policy, monkeypatch):
    foul_mouthed(policy, monkeypatch)
    settings = {"max_new_tokens": 24, "temperature": 1.0, "seed": 3}
    prompts = ["The film was", "He is full of sh"] * 32
    spoken = decode(policy, generate(policy, prompts, **settings))
    assert sum(map(has_coarse_word, spoken)) > 50
    policy.keep_words_clean()
    clean = decode(policy, generate(policy, prompts, **settings))
    whole = [prompt + text for prompt, text in zip(prompts, clean, strict=True)]
    assert not any(map(has_coarse_word, whole))


def test_what_is_left_is_a_distribution_again_and_its_entropy_is_finite(policy, monkeypatch):
    size = len(policy.tokenizer)
    monkeypatch.setattr(policy, "logits", lambda hidden: torch.zeros(*hidden.shape[:-1], size))
    policy.keep_words_clean()
    sequence = torch.tensor([[*ids(policy, "Oh what a f"), 5]])
    seen = token_outputs(
        policy, sequence, torch.ones_like(sequence, dtype=torch.bool), torch.tensor([[True]]), 0.7
    )
    # All others are equally likely: each has 1 / n, and the entropy is log n.
    left = size - len(ruled_out_ids(policy, "Oh what a f"))
    assert float(seen.logprobs) == pytest.approx(-math.log(left), abs=1e-5)
    assert float(seen.entropy) == pytest.approx(math.log(left), abs=1e-4)


def ruled_out_ids(policy, text):
    logits = torch.zeros(1, len(policy.tokenizer))
    policy.guard.hide(logits, [ids(policy, text)])
    return logits[0].nonzero().flatten().tolist()


def test_gradient_of_a_token_that_is_ruled_out_is_zero_and_of_the_others_finite(policy):
    policy.keep_words_clean()
    leaf = torch.randn(1, len(policy.tokenizer), requires_grad=True)
    logits = leaf * 1.0
    policy.guard.hide(logits, [ids(policy, "Oh what a f")])
    logprobs, entropy = token_logprobs(logits, torch.tensor([5]), 0.7)
    (logprobs + entropy).sum().backward()
    assert leaf.grad.isfinite().all()
    assert leaf.grad[0, ruled_out_ids(policy, "Oh what a f")].abs().max() == 0.0


@pytest.fixture
def config(tiny_model_folder, prompts_file):
    return PPOConfig(
        policy=str(tiny_model_folder), reward="longer", prompts=str(prompts_file), total_steps=3,
        batch_size=8, minibatch_size=4, max_new_tokens=8, kl_budget=1e6, warmup_steps=1,
        dtype="float32", clean_words=True,
    )  # fmt: skip


def longer(prompts, responses):
    return torch.tensor([len(response) / 10 for response in responses])


def test_kl_before_the_first_update_is_zero(config, tmp_path):
    run = Run.create(tmp_path / "run", "ppo", config.to_dict())
    train_ppo(config, run, scorer=longer)
    rows = run.read("metrics")
    assert abs(rows[0]["objective/kl"]) < 1e-5 and abs(rows[0]["objective/kl_k1"]) < 1e-5
    assert abs(rows[-1]["objective/kl"]) > 1e-4
    assert all(math.isfinite(row["policy/entropy"]) for row in rows)


def test_reference_beside_the_policy_has_the_same_guard(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    policy.keep_words_clean()
    with policy.as_reference() as reference:
        assert reference is not policy and reference.guard is policy.guard


def test_stopped_and_resumed_equals_uninterrupted(config, tmp_path):
    whole = Run.create(tmp_path / "whole", "ppo", config.to_dict())
    train_ppo(config, whole, scorer=longer)
    halves = Run.create(tmp_path / "halves", "ppo", config.to_dict())
    trainer = PPOTrainer(config, halves, longer)
    trainer.save_state()
    trainer.run_step()
    (halves.folder / "stop").touch()
    with pytest.raises(StopRequested):
        trainer.train(resume=False)
    (halves.folder / "stop").unlink()
    train_ppo(config, halves, scorer=longer, resume=True)

    def told(run):
        rows = run.read("metrics")
        return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]

    assert told(halves) == told(whole)
    assert halves.read("samples") == whole.read("samples")
