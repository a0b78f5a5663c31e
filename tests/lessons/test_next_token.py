"""The next token: figures of the shipped models, and a temperature that keeps the order."""

import pytest
import torch

from rlhf_demo.lessons import next_token


def probabilities(look, temperature=0.7):
    return (torch.tensor(look["logits"]) / temperature).softmax(-1)


def test_figures_of_the_shipped_models(models):
    base = next_token.look(models, {})
    first = dict(zip(base["tokens"], probabilities(base).tolist(), strict=False))
    assert first[" good"] == pytest.approx(0.09, abs=0.005)
    assert first[" terrible"] == pytest.approx(0.07, abs=0.005)
    all_of_them = probabilities(base)
    entropy = -(all_of_them * all_of_them.log()).sum().item()
    assert entropy == pytest.approx(3.75, abs=0.01)
    ppo = next_token.look(models, {"model": "ppo"})
    first = dict(zip(ppo["tokens"], probabilities(ppo).tolist(), strict=False))
    assert first[" superb"] == pytest.approx(0.27, abs=0.01)
    assert first[" excellent"] == pytest.approx(0.24, abs=0.01)


def test_after_the_sister(models):
    text = "I watched this with my sister and I was"
    for model, very, entropy in (("base", 0.40, 2.9), ("ppo", 0.63, 1.65)):
        look = next_token.look(models, {"text": text, "model": model})
        shares = probabilities(look)
        assert look["tokens"][0] == " very"
        assert shares[0].item() == pytest.approx(very, abs=0.01)
        assert -(shares * shares.log()).sum().item() == pytest.approx(entropy, abs=0.02)


def test_every_token_is_there_and_the_highest_comes_first(models):
    look = next_token.look(models, {})
    assert len(look["logits"]) == 8192
    assert look["logits"] == sorted(look["logits"], reverse=True)
    assert len(look["tokens"]) == next_token.SHOWN


def test_the_leader_stays(models):
    result = next_token.outcome(models)
    assert result["answer"] == 0
    assert "“good” leads both times" in result["result"]
    low, high = (probabilities(next_token.look(models, {}), t)[0].item() for t in (0.7, 2.0))
    assert f"{low:.2f} at 0.7 and {high:.3f} at 2" in result["result"]
