"""Policies: plain files, a reference that stays put, no dropout."""

import json
import math

import pytest
import torch
from peft import PeftModel
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CohereConfig,
    CohereForCausalLM,
)

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models import network_config
from rlhf_demo.models.policy import load_policy

CPU = torch.device("cpu")


def policy_logits(policy, ids):
    with torch.no_grad():
        hidden = policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)).last_hidden_state
        return policy.logits(hidden)


def random_ids(policy, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, len(policy.tokenizer), (3, 9), generator=generator)


def move_weights(policy):
    """Stand in for training: move everything that is trainable, a little."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)


# -- the policy ------------------------------------------------------------------------------------


def test_trained_policy_saved_whole_gives_the_same_logits_in_plain_transformers(
    tiny_model_folder, tmp_path
):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True)
    move_weights(policy)
    policy.save(tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = random_ids(policy)
    with torch.no_grad():
        assert_close(plain(input_ids=ids).logits, policy_logits(policy, ids), atol=1e-5, rtol=0)
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab()
        == policy.tokenizer.get_vocab()
    )
    assert not list((tmp_path / "model").glob("*.bin"))


def test_trained_adapter_saved_gives_the_same_logits_in_plain_peft(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    move_weights(policy)
    policy.save(tmp_path / "model")
    ids = random_ids(policy)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    with torch.no_grad():
        before = base(input_ids=ids).logits
        plain = PeftModel.from_pretrained(base, tmp_path / "model")
        assert_close(plain(input_ids=ids).logits, policy_logits(policy, ids), atol=1e-5, rtol=0)
        assert (before - policy_logits(policy, ids)).abs().max() > 1e-2
    written = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(tiny_model_folder)
    # Ours merges the adapter into its base on loading.
    assert_close(
        policy_logits(load_policy(str(tmp_path / "model"), device=CPU), ids),
        policy_logits(policy, ids), atol=1e-4, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("rank", [0, 4])
def test_value_head_starts_at_zero_and_comes_back_after_saving(tiny_model_folder, tmp_path, rank):
    policy = load_policy(
        str(tiny_model_folder), device=CPU, for_training=True, lora_rank=rank, value_head=True
    )
    hidden = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    assert policy.values(hidden).tolist() == [[0.0] * 3] * 2
    move_weights(policy)
    policy.save(tmp_path / "model")
    again = load_policy(str(tmp_path / "model"), device=CPU)
    assert policy.values(hidden).abs().min() > 0
    assert_close(again.values(hidden), policy.values(hidden), atol=0, rtol=0)


def test_policy_without_a_value_head_has_no_values_and_saves_none(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    assert policy.value_head is None and policy.values(torch.randn(2, 3, 32)) is None
    policy.save(tmp_path / "model")
    assert not (tmp_path / "model" / "value_head.safetensors").exists()
    assert load_policy(str(tmp_path / "model"), device=CPU).value_head is None


def test_policy_without_a_value_head_leaves_out_the_one_that_it_finds(tiny_model_folder, tmp_path):
    with_head = load_policy(str(tiny_model_folder), device=CPU, value_head=True)
    with_head.save(tmp_path / "model")
    for wanted, found in ((None, True), (True, True), (False, False)):
        policy = load_policy(str(tmp_path / "model"), device=CPU, value_head=wanted)
        assert (policy.value_head is not None) is found


@pytest.mark.parametrize("rank", [0, 4])
def test_reference_stays_the_base_bit_for_bit_while_the_policy_moves(tiny_model_folder, rank):
    base = load_policy(str(tiny_model_folder), device=CPU)
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=rank)
    ids = random_ids(policy)
    move_weights(policy)
    with policy.as_reference() as reference:
        assert_close(policy_logits(reference, ids), policy_logits(base, ids), atol=0, rtol=0)
    assert (policy_logits(policy, ids) - policy_logits(base, ids)).abs().max() > 1e-2


def test_policy_that_only_writes_is_frozen_and_keeps_no_reference(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    assert not any(parameter.requires_grad for parameter in policy.parameters())
    with pytest.raises(CheckpointError, match="keeps no reference"), policy.as_reference():
        pass


def test_model_that_changes_its_logits_after_the_output_layer_is_refused(
    tiny_model_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(network_config, "KNOWN_TYPES", {"cohere"})
    """Cohere's models scale them; trained without, they would be another policy's."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    config = CohereConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, logit_scale=0.5, initializer_range=0.2,
    )  # fmt: skip
    CohereForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    name = "/".join(tmp_path.parts[-2:])
    with pytest.raises(
        CheckpointError, match=f"^{name}: models of type 'cohere' change their logits"
    ):
        load_policy(str(tmp_path), device=CPU)


@pytest.mark.parametrize("weight", [math.nan, 1e38])
def test_model_whose_logits_are_not_finite_is_refused(tiny_model_folder, tmp_path, weight):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    with torch.no_grad():
        model.transformer.wte.weight.fill_(weight)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path)
    name = "/".join(tmp_path.parts[-2:])
    with pytest.raises(
        CheckpointError, match=f"^{name} gives logits that are not finite numbers: restore or"
    ):
        load_policy(str(tmp_path), device=CPU)


def test_padding_on_the_left_changes_no_logits(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    ids = random_ids(policy)
    pads = torch.full((3, 4), policy.tokenizer.pad_token_id)
    mask = torch.cat(
        [torch.zeros(3, 4, dtype=torch.bool), torch.ones(3, 9, dtype=torch.bool)], dim=1
    )
    with torch.no_grad():
        hidden = policy.hidden(torch.cat([pads, ids], dim=1), mask).last_hidden_state
        assert_close(policy.logits(hidden[:, 4:]), policy_logits(policy, ids), atol=1e-5, rtol=0)


def test_dropout_is_off_in_a_policy_being_trained(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    assert policy.lm.config.resid_pdrop > 0  # there would be some
    ids = random_ids(policy)
    assert_close(policy_logits(policy, ids), policy_logits(policy, ids), atol=0, rtol=0)
    assert not any(m.training for m in policy.lm.modules() if isinstance(m, torch.nn.Dropout))


def test_all_weights_of_an_adapter_may_be_trained(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    again = load_policy(str(tmp_path / "model"), device=CPU, for_training=True)
    assert again.reference is not None and again.adapter is None
