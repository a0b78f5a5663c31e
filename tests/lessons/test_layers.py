"""Layer by layer: where the final word begins to lead."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.gpt2 import forward
from rlhf_demo.lessons import layers


def share(look, depth, token, model=0):
    return look["readings"][model]["shares"][depth][look["tokens"].index(token)]


def leader(look, depth, model=0):
    return look["tokens"][look["readings"][model]["top"][depth][0]]


def test_time_leads_after_layer_four(models):
    look = layers.look(models, {})
    assert [leader(look, depth) for depth in (0, 3, 4, 6)] == [" my", " life", " time", " time"]
    found = [(0, " my"), (3, " life"), (3, " time"), (4, " time"), (6, " time")]
    expected = [1.00, 0.15, 0.09, 0.54, 0.94]
    assert [share(look, *each) for each in found] == pytest.approx(expected, abs=0.006)
    assert share(look, 4, " time", model=1) == pytest.approx(0.51, abs=0.006)
    result = layers.outcome(models)
    assert result["answer"] == 2
    assert "“time” leads from layer 4 on" in result["result"]
    assert "0.54 there, and 0.94 at the end" in result["result"]


def test_seen_and_friend(models):
    seen = layers.look(models, {"text": "one of the worst movies I have ever"})
    found = [(3, " made"), (3, " seen"), (4, " seen")]
    assert [share(seen, *each) for each in found] == pytest.approx([0.13, 0.12, 0.72], abs=0.006)
    friend = layers.look(models, {"text": "She falls in love with her best"})
    assert leader(friend, 4) != " friend"
    assert share(friend, 5, " friend") == pytest.approx(0.92, abs=0.006)


def test_readings_of_both_models_end_in_their_own_outputs(models):
    look = layers.look(models, {"place": 2})
    assert [reading["model"] for reading in look["readings"]] == ["base", "ppo"]
    for model, reading in enumerate(look["readings"]):
        network, (ids,) = models.network(reading["model"]), models.tensors(look["text"])
        shares = forward(network, ids).out[2].softmax(-1)
        assert share(look, 6, leader(look, 6, model), model) == round(shares.max().item(), 3)
        assert [len(row) for row in reading["top"]] == [layers.LEADERS] * 7


def test_a_unit_promotes_the_tokens_whose_logits_its_vector_raises_most(models):
    """Layer 6 adds last: its unit's part of the logits, through a layer norm of fixed scale."""
    look = layers.look(models, {})
    network, (ids,) = models.network("base"), models.tensors(look["text"])
    trace = forward(network, ids)
    shown = look["readings"][0]["units"][5]
    activations = trace.layers[5].feed_forward.units[-1]
    activation = activations[shown["unit"] - 1]
    assert shown["activation"] == pytest.approx(activation.item(), abs=0.01)
    lengths = activations.abs() * network.layers[5].down.weight.norm(dim=-1)
    assert lengths[shown["unit"] - 1] == lengths.max()
    added = activation * network.layers[5].down.weight[shown["unit"] - 1]
    last = trace.depths[-1][-1]
    centred = (last - added) - (last - added).mean()
    without = centred / last.std(unbiased=False) * network.final_norm.weight
    raised = trace.out[-1] - (without + network.final_norm.bias) @ network.head
    assert models.names(raised.topk(3).indices.tolist()) == shown["tokens"]


def test_tokens_of_a_unit_can_be_read(models):
    for reading in layers.look(models, {})["readings"]:
        for unit in reading["units"]:
            assert len(unit["tokens"]) == layers.PROMOTED
            assert not any("\ufffd" in token for token in unit["tokens"])


def test_a_place_outside_the_text_is_refused(models):
    for odd in (7, -1, "2", True):
        with pytest.raises(ConfigError, match="choose a whole number"):
            layers.look(models, {"place": odd})
