"""What a visitor may ask of a lesson."""

import gc
import weakref
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.lessons.request import Models, number_of, rounded, text_of, which_of
from rlhf_demo.models.policy import Policy


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the text is empty"),
        ("  \n", "the text is empty"),
        (3, "the text is empty"),
        (None, "the text is empty"),
        ("a" * 501, "has 501 characters: write at most 500"),
        ("good " * 25, "has 26 tokens: write at most 24"),
        ("хороший фильм", "only read English"),
        ("映画は", "only read English"),
    ],
)
def test_a_text_that_cannot_be_used_gets_a_sentence(models, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        text_of({"text": text}, "The film", models)


def test_a_text_is_the_visitors_or_the_lessons(models):
    assert text_of({}, "The film", models) == "The film"
    assert text_of({"text": "A café, naïve"}, "The film", models) == "A café, naïve"


def test_a_model_is_one_of_two():
    assert [which_of({}), which_of({"model": "ppo"})] == ["base", "ppo"]
    for odd in ("reward", "../x", 3, None, ["base"]):
        with pytest.raises(ConfigError, match="choose base or ppo"):
            which_of({"model": odd})


def test_a_number_is_whole_and_in_its_range():
    assert number_of({"layer": 6}, "layer", 1, 1, 6) == 6
    assert number_of({}, "layer", 2, 1, 6) == 2
    for odd in (0, 7, 1.0, True, "3", None):
        with pytest.raises(ConfigError, match="choose a whole number, 1 to 6"):
            number_of({"layer": odd}, "layer", 1, 1, 6)


def test_a_token_has_one_id(models):
    assert models.pieces([models.id_of(" she")]) == [" she"]
    with pytest.raises(ConfigError, match="a word of one token"):
        models.id_of("unbelievable masterpiece")


def test_figures_are_rounded():
    assert rounded(torch.tensor([[0.123456, 2.0]]), 3) == [[0.123, 2.0]]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (
            {"n_layer": 17, "n_head": 10},
            "170 attention heads, and the lessons look into at most 160",
        ),
        ({"n_positions": 24}, "reads 24 tokens of 8192, and the lessons need 25 of 8192"),
        ({"vocab_size": 8000}, "reads 64 tokens of 8000, and the lessons need 25 of 8192"),
    ],
)
def test_a_network_that_is_too_large_or_reads_too_little_is_refused(models, shape, sentence):
    usual = {"n_layer": 1, "n_head": 2, "n_embd": 20, "n_positions": 64, "vocab_size": 8192}
    network = GPT2LMHeadModel(GPT2Config(**usual | shape))
    own = Models(models.base, Policy(network, models.base.tokenizer, Path()), models.reward)
    with pytest.raises(CheckpointError, match=sentence):
        own.network("ppo")
    own.network("base")


def test_what_depends_on_a_model_alone_is_computed_once_and_goes_with_it(models):
    computed = []

    def compute():
        computed.append(1)
        return len(computed)

    assert [models.kept("base", "a test", compute) for _ in range(3)] == [1, 1, 1]
    assert models.kept("ppo", "a test", compute) == 2
    again = Models(models.base, models.ppo, models.reward)  # as the server makes it for each look
    assert again.kept("base", "a test", compute) == 1
    config = GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=8192)
    network = GPT2LMHeadModel(config)
    small = Models(Policy(network, models.base.tokenizer, Path()), models.ppo, models.reward)
    assert small.kept("base", "a test", compute) == 3
    gone = weakref.ref(network)
    del network, small
    gc.collect()
    assert gone() is None
