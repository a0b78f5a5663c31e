"""The readable forward pass: equal to transformers, worked by hand, and edited."""

import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from rlhf_demo.errors import CheckpointError
from rlhf_demo.explain.gpt2 import (
    Affine,
    Edits,
    Layer,
    attend,
    forward,
    layer_norm,
    network_of,
    read_out,
    with_changes,
)
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model

CPU = torch.device("cpu")
TEXTS = (
    "The actress was very good and",
    "I watched this with my sister and I was",
    "one of the worst movies I have ever seen, and the music was terrible.",
)


@pytest.fixture(scope="module")
def base():
    return load_policy("gpt2-mini", device=CPU)


@pytest.fixture(scope="module")
def ppo():
    return load_policy("gpt2-mini-ppo", device=CPU)


@pytest.fixture(scope="module")
def reward():
    return load_reward_model("reward-mini", device=CPU)


def ids_of(policy, text):
    return torch.tensor(policy.tokenizer(text)["input_ids"])


@pytest.mark.parametrize("text", TEXTS)
def test_logits_equal_those_of_transformers(base, ppo, text):
    for policy in (base, ppo):
        ids = ids_of(policy, text)
        with torch.no_grad():
            expected = policy.lm(ids[None], output_hidden_states=True, output_attentions=True)
        trace = forward(network_of(policy.lm), ids)
        torch.testing.assert_close(trace.out, expected.logits[0], atol=1e-4, rtol=0)
        for ours, theirs in zip(trace.layers, expected.attentions, strict=True):
            torch.testing.assert_close(ours.attention.pattern, theirs[0], atol=1e-5, rtol=0)
        for ours, theirs in zip(trace.depths[:-1], expected.hidden_states, strict=False):
            torch.testing.assert_close(ours, theirs[0], atol=1e-3, rtol=0)


def test_layers_that_have_read_the_text_need_not_read_it_again(base, ppo):
    ids = ids_of(base, TEXTS[2])
    networks = [network_of(policy.lm) for policy in (base, ppo)]
    read = forward(networks[0], ids).layers
    for number in range(len(read)):
        mixed = with_changes(*networks, [number])
        found, whole = forward(mixed, ids, known=read[:number]), forward(mixed, ids)
        torch.testing.assert_close(found.out, whole.out, atol=0, rtol=0)
        assert len(found.layers) == len(whole.layers)
        off = Edits(heads_off={(number, 0)})
        found = forward(networks[0], ids, off, known=read[:number])
        torch.testing.assert_close(found.out, forward(networks[0], ids, off).out, atol=0, rtol=0)


@pytest.mark.parametrize("text", TEXTS)
def test_score_equals_the_reward_models(reward, text):
    ids = torch.tensor(reward.encode(text))
    trace = forward(network_of(reward.model, reward.label), ids)
    assert trace.out[-1].item() == pytest.approx(reward.score_texts([text]).item(), abs=1e-4)


def test_logits_equal_those_of_a_larger_network_with_random_weights():
    torch.manual_seed(1)
    config = GPT2Config(
        n_layer=3, n_head=6, n_embd=48, n_positions=20, vocab_size=50, initializer_range=0.3
    )
    model = GPT2LMHeadModel(config).eval()
    ids = torch.arange(20) * 7 % 50
    with torch.no_grad():
        expected = model(ids[None]).logits[0]
    torch.testing.assert_close(forward(network_of(model), ids).out, expected, atol=1e-4, rtol=1e-4)


def test_attention_worked_by_hand():
    """Two tokens, one head of width 1: query 2 and 3, keys 1 and 2, values 10 and 20."""
    nothing = torch.zeros(1)
    layer = Layer(
        norm_1=Affine(nothing, nothing),
        qkv=Affine(torch.tensor([[1.0, 1.0, 10.0]]), torch.tensor([1.0, 0.0, 0.0])),
        attention_out=Affine(torch.tensor([[2.0]]), torch.tensor([0.5])),
        norm_2=Affine(nothing, nothing),
        up=Affine(nothing, nothing),
        down=Affine(nothing, nothing),
    )
    result = attend(layer, torch.tensor([[1.0], [2.0]]), heads=1)
    assert result.products.tolist() == [[[2.0, -math.inf], [3.0, 6.0]]]
    second = math.exp(6) / (math.exp(3) + math.exp(6))  # 0.9526
    expected = torch.tensor([[[1.0, 0.0], [1 - second, second]]])
    torch.testing.assert_close(result.pattern, expected)
    mixed = (1 - second) * 10 + second * 20
    torch.testing.assert_close(result.mixed, torch.tensor([[[10.0], [mixed]]]))
    torch.testing.assert_close(result.out, torch.tensor([[20.5], [2 * mixed + 0.5]]))


def test_two_heads_divide_by_the_root_of_their_own_width():
    """Width 4, two heads of width 2: products are divided by the root of 2, not of 4."""
    eye = torch.eye(4)
    layer = Layer(
        norm_1=Affine(eye[0], eye[0]),
        qkv=Affine(torch.cat([eye, eye, eye], dim=1), torch.zeros(12)),
        attention_out=Affine(eye, torch.zeros(4)),
        norm_2=Affine(eye[0], eye[0]),
        up=Affine(eye[0], eye[0]),
        down=Affine(eye[0], eye[0]),
    )
    result = attend(layer, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), heads=2)
    expected = torch.tensor([[[5 / math.sqrt(2)]], [[25 / math.sqrt(2)]]])
    torch.testing.assert_close(result.products, expected)


def test_layer_norm_worked_by_hand():
    norm = Affine(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]))
    result = layer_norm(torch.tensor([1.0, 5.0]), norm, epsilon=0.0)
    assert result.tolist() == [-1.0, 3.0]  # mean 3, deviation 2


def test_later_tokens_never_change_earlier_ones(base):
    network = network_of(base.lm)
    ids = ids_of(base, TEXTS[0])
    for end in range(1, len(ids)):
        part = forward(network, ids[:end]).out
        torch.testing.assert_close(part, forward(network, ids).out[:end], atol=1e-4, rtol=0)


def test_leaving_nothing_out_changes_nothing(base):
    network, ids = network_of(base.lm), ids_of(base, TEXTS[0])
    assert torch.equal(forward(network, ids, Edits()).out, forward(network, ids).out)


def test_a_head_that_is_off_equals_zeros_in_its_place_in_transformers(base):
    """The head's columns of c_proj's input become zero, by a hook on a network of its own."""
    model = load_policy("gpt2-mini", device=CPU).lm
    head, width = 1, 64
    columns = slice(head * width, (head + 1) * width)

    def silence(module, inputs):
        (mixed,) = inputs
        mixed = mixed.clone()
        mixed[..., columns] = 0
        return (mixed,)

    model.base_model.h[5].attn.c_proj.register_forward_pre_hook(silence)
    ids = ids_of(base, TEXTS[0])
    with torch.no_grad():
        expected = model(ids[None]).logits[0]
    off = forward(network_of(base.lm), ids, Edits(heads_off={(5, 1)})).out
    torch.testing.assert_close(off, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("edits", "name"),
    [(Edits(attention_off={2}), "attn"), (Edits(feed_forward_off={2}), "mlp")],
)
def test_a_part_that_is_off_adds_nothing(base, edits, name):
    model = load_policy("gpt2-mini", device=CPU).lm

    def nothing(module, inputs, output):
        if isinstance(output, tuple):
            return (torch.zeros_like(output[0]), *output[1:])
        return torch.zeros_like(output)

    getattr(model.base_model.h[2], name).register_forward_hook(nothing)
    ids = ids_of(base, TEXTS[1])
    with torch.no_grad():
        expected = model(ids[None]).logits[0]
    off = forward(network_of(base.lm), ids, edits).out
    torch.testing.assert_close(off, expected, atol=1e-4, rtol=0)


def test_without_positions_the_order_of_earlier_tokens_is_lost_only_through_the_mask(base):
    network = network_of(base.lm)
    ids = torch.tensor([0, 5, 5, 5])
    off = forward(network, ids, Edits(positions_off=True))
    torch.testing.assert_close(off.embedded[1], off.embedded[2])
    assert not torch.allclose(forward(network, ids).embedded[1], forward(network, ids).embedded[2])


def test_the_last_sum_reads_as_the_output(base):
    network = network_of(base.lm)
    trace = forward(network, ids_of(base, TEXTS[0]))
    assert torch.equal(read_out(network, trace.depths[-1]), trace.out)


def test_changes_in_all_layers_make_the_tuned_network_and_in_none_the_base(base, ppo):
    ours, theirs = network_of(base.lm), network_of(ppo.lm)
    ids = ids_of(base, TEXTS[0])
    everywhere = forward(with_changes(ours, theirs, range(6)), ids).out
    torch.testing.assert_close(everywhere, forward(theirs, ids).out, atol=1e-4, rtol=0)
    assert torch.equal(forward(with_changes(ours, theirs, ()), ids).out, forward(ours, ids).out)
    mixed = with_changes(ours, theirs, {3}, ("attention",))
    assert mixed.layers[3].qkv is theirs.layers[3].qkv
    assert mixed.layers[3].up is ours.layers[3].up
    assert mixed.layers[2] is ours.layers[2]


def test_other_networks_are_refused_with_a_sentence():
    llama = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            num_key_value_heads=1, vocab_size=9,
        )
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="of type llama: choose a GPT-2"):
        network_of(llama)
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 9}
    for odd in ({"scale_attn_by_inverse_layer_idx": True}, {"activation_function": "relu"}):
        model = GPT2LMHeadModel(GPT2Config(**shape, **odd))
        with pytest.raises(CheckpointError, match="unusual way"):
            network_of(model)
