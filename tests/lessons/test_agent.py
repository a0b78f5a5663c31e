"""The game: looking one token ahead, the PPO model, and moves that are none."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.lessons import agent


def play(models, choose, start=0):
    moves = []
    while (state := agent.look(models, {"start": start, "moves": moves}))["choices"]:
        moves = [*moves, choose(state["choices"])["token"]]
    return state


def test_the_ppo_model_beats_looking_one_token_ahead(models):
    outcome = agent.outcome(models)
    assert outcome["answer"] == 1
    assert "looks one token ahead scores +0.56" in outcome["result"]
    assert "the PPO model scores +1.05" in outcome["result"]


def test_a_game_ends_after_six_moves_or_with_the_text(models):
    state = play(models, lambda choices: choices[0], start=1)
    assert "".join(state["pieces"]) == " I was very disappointed.<|endoftext|>"
    assert state["score"] == pytest.approx(-0.60, abs=0.01)
    assert state["ppo_text"] == " I was very impressed.<|endoftext|>"
    assert state["ppo_score"] == pytest.approx(1.42, abs=0.01)
    assert (state["choices"], state["left"]) == ([], 0)
    early = play(models, lambda choices: choices[0])
    assert early["pieces"][-1] == "<|endoftext|>"
    assert len(early["pieces"]) < agent.MOVES


def test_a_game_begins_with_five_likely_tokens(models):
    state = agent.look(models, {})
    assert [choice["piece"] for choice in state["choices"]][:2] == [" great", " excellent"]
    shares = [choice["share"] for choice in state["choices"]]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == agent.CHOICES
    assert (state["score"], state["ppo_score"], state["left"]) == (None, None, 6)


def test_moves_that_are_none_get_a_sentence(models):
    first = agent.look(models, {})["choices"][0]["token"]
    end = models.base.tokenizer.eos_token_id
    for moves, sentence in (
        ([8191], "move 1 is not a choice in this game"),
        ([first, end, first], "is not a choice in this game"),
        ([first] * 7, "give at most 6 token ids"),
        ([8192], "give at most 6 token ids"),
        ([-1], "give at most 6 token ids"),
        ([True], "give a list of token ids"),
        ("abc", "give a list of token ids"),
        ({"a": 1}, "give a list of token ids"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            agent.look(models, {"moves": moves})
    for start in (3, -1, None, "0", 1.0):
        with pytest.raises(ConfigError, match="start is"):
            agent.look(models, {"start": start})
