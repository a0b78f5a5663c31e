"""An adapter on an adapter is saved as one on the base of both, and computes the same."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from rlhf_demo.errors import ConfigError
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from rlhf_demo.train.reward import save_model

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8]])


def moved(model, seed):
    """Move all weights that are trained, as a training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def trained(name, folder, *, rank, seed):
    """Train an adapter on a model, save it, and return the logits that it had."""
    policy = load_policy(str(name), device=CPU, for_training=True, lora_rank=rank)
    with torch.no_grad(), policy.as_reference() as reference:
        before = reference.lm(IDS).logits
    moved(policy, seed)
    policy.save(folder)
    with torch.no_grad():
        return before, policy.lm(IDS).logits


@pytest.fixture
def chain(tiny_model_folder, tmp_path):
    """Three adapters, each trained on the one before: folders and logits."""
    names, logits, name = [], [], tiny_model_folder
    for number, rank in enumerate((4, 2, 3)):
        before, after = trained(name, tmp_path / f"{number}", rank=rank, seed=number)
        if logits:
            assert_close(before, logits[-1], atol=1e-5, rtol=0)  # the one below is the reference
        name = tmp_path / f"{number}"
        names.append(name)
        logits.append(after)
    return names, logits


def test_each_adapter_of_a_chain_computes_what_it_did_when_it_was_saved(chain):
    for name, expected in zip(*chain, strict=True):
        with torch.no_grad():
            assert_close(
                load_policy(str(name), device=CPU).lm(IDS).logits, expected, atol=1e-4, rtol=0
            )
    first, last = chain[1][0], chain[1][-1]
    assert (first - last).abs().max() > 0.1


def test_it_is_one_plain_adapter_on_the_base_of_all(chain, tiny_model_folder):
    spec = json.loads((chain[0][-1] / "adapter_config.json").read_text())
    assert (spec["r"], spec["lora_alpha"]) == (9, 18)  # 4 + 2 + 3, and twice that
    assert spec["base_model_name_or_path"] == str(tiny_model_folder.resolve())
    plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    with torch.no_grad():
        logits = PeftModel.from_pretrained(plain, chain[0][-1]).eval()(IDS).logits
    assert_close(logits, chain[1][-1], atol=1e-4, rtol=0)


def test_scales_of_both_count(chain, tmp_path):
    """The lower one has half the scale of ours, as a foreign adapter may."""
    lower = chain[0][0]
    spec = json.loads((lower / "adapter_config.json").read_text())
    (lower / "adapter_config.json").write_text(json.dumps(spec | {"lora_alpha": spec["r"]}))
    _, expected = trained(lower, tmp_path / "upper", rank=2, seed=5)
    with torch.no_grad():
        logits = load_policy(str(tmp_path / "upper"), device=CPU).lm(IDS).logits
    assert_close(logits, expected, atol=1e-4, rtol=0)


def test_reward_model_may_start_from_a_policys_adapter(chain, tmp_path):
    model, tokenizer = new_reward_model(str(chain[0][0]), lora_rank=2, device=CPU)
    moved(model, 7)
    save_model(model, tokenizer, tmp_path / "reward")
    with torch.no_grad():
        expected = model.eval()(IDS).logits[0, 0]
    scorer = load_reward_model(str(tmp_path / "reward"), device=CPU)
    assert_close(scorer.score_ids([IDS[0].tolist()], 1)[0], expected, atol=1e-4, rtol=0)


def test_adapter_of_other_matrices_cannot_carry_another(chain):
    path = chain[0][0] / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if ".h.0." not in name}, path)
    spec = json.loads((chain[0][0] / "adapter_config.json").read_text())
    spec["target_modules"] = [
        f"h.1.{part}" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    (chain[0][0] / "adapter_config.json").write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match=r"--lora-rank is 4: .*0 is itself an adapter, of other"):
        load_policy(str(chain[0][0]), device=CPU, for_training=True, lora_rank=4)


def test_adapter_names_a_base_of_the_repository_by_its_place_in_it(tmp_path):
    """So that a folder of runs can move with its page."""
    policy = load_policy("gpt2-mini", device=CPU, for_training=True, lora_rank=2)
    policy.save(tmp_path / "model")
    spec = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert spec["base_model_name_or_path"] == "checkpoints/gpt2-mini"
    load_policy(str(tmp_path / "model"), device=CPU)
