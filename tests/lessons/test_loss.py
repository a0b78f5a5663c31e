"""Loss: which texts surprise the shipped models, and what a copy learns and forgets."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import loss


def test_texts_in_order_of_surprise(models):
    look = loss.look(models, {})
    base, ppo = zip(*(example["losses"] for example in look["examples"]), strict=True)
    assert base == pytest.approx([2.10, 7.72, 5.74, 6.48, 9.65], abs=0.01)
    assert ppo == pytest.approx([2.04, 7.23, 6.03, 6.68, 9.61], abs=0.01)
    assert look["nothing"] == pytest.approx(math.log(8192), abs=0.001)
    result = loss.outcome(models)
    assert result["answer"] == 1
    assert "its words in another order 7.7" in result["result"]


def test_a_texts_loss_is_the_mean_of_its_tokens(models):
    look = loss.look(models, {"text": "A good film"})
    assert look["pieces"] == ["A", " good", " film"]
    for surprises, mean in zip(look["surprises"], look["losses"], strict=True):
        assert sum(surprises) / 3 == pytest.approx(mean, abs=0.01)
    assert look["taught"] is None
    assert look["examples"] is None


def test_a_copy_learns_the_text_and_forgets_others(models):
    before = {name: tensor.clone() for name, tensor in models.base.lm.state_dict().items()}
    taught = loss.look(models, {"teach": True})["taught"]
    assert taught["losses"][0] == pytest.approx(5.74, abs=0.01)
    assert taught["losses"] == sorted(taught["losses"], reverse=True)
    assert len(taught["losses"]) == 11
    assert taught["losses"][-1] < 0.05
    film, *_ = taught["examples"]
    assert film == pytest.approx(2.71, abs=0.1)
    for name, tensor in models.base.lm.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_teaching_can_be_off_and_takes_yes_or_no(models):
    with pytest.raises(ConfigError, match="this page is public"):
        loss.look(replace(models, may_train=False), {"teach": True})
    for odd in (1, "yes", None, [True]):
        with pytest.raises(ConfigError, match="neither true nor false"):
            loss.look(models, {"teach": odd})
