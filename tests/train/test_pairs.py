"""Pairs: prompts of both splits stay apart, and each pair is judged on its own prompt."""

import hashlib

import pytest
import torch

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.errors import DataError
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.runs.run import Run
from rlhf_demo.train import pairs as module
from rlhf_demo.train.pairs import make_pairs, split_prompts
from tests.tiny import read_rows

# -- which prompts ---------------------------------------------------------------------------------


def test_own_prompts_without_a_split_are_divided(prompts_file):
    sides = split_prompts(PairsConfig(prompts=str(prompts_file)))
    assert (len(sides["train"]), len(sides["heldout"])) == (4, 2)  # a third of six is held out
    assert not set(sides["train"]) & set(sides["heldout"])


def test_two_prompts_give_one_to_each_side_and_the_seed_says_which(tmp_path):
    path = tmp_path / "two.txt"
    path.write_text("The film was\nI liked\n")
    held_out = set()
    for seed in range(8):
        sides = split_prompts(PairsConfig(prompts=str(path), seed=seed))
        assert len(sides["train"]) == len(sides["heldout"]) == 1
        held_out |= set(sides["heldout"])
    assert len(held_out) == 2


def test_all_own_prompts_serve_where_one_side_is_wanted(prompts_file):
    sides = split_prompts(PairsConfig(prompts=str(prompts_file), heldout_pairs=0))
    assert len(sides["train"]) == 6


def test_one_prompt_cannot_be_divided(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("The film was\n")
    with pytest.raises(DataError, match="holds 1 prompt"):
        split_prompts(PairsConfig(prompts=str(path)))


def test_shipped_prompts_keep_their_split():
    sides = split_prompts(PairsConfig())
    assert (len(sides["train"]), len(sides["heldout"])) == (382, 280)


# -- the pairs -------------------------------------------------------------------------------------


def opinion(prompts, responses):
    """Score by prompt and response together, so that a score of another prompt is another score."""
    texts = [f"{prompt}/{response}" for prompt, response in zip(prompts, responses, strict=True)]
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    return torch.tensor([int.from_bytes(d[:3], "big") / 2**24 for d in digests])


@pytest.fixture
def make(tmp_path, tiny_model_folder, prompts_file):
    """Make pairs with the tiny model and return the rows."""

    def make(scorer=opinion, **changes):
        options = {
            "model": str(tiny_model_folder), "prompts": str(prompts_file), "max_new_tokens": 4,
            "train_pairs": 10, "heldout_pairs": 5, "dtype": "float32",
        }  # fmt: skip
        config = PairsConfig(**options | changes)
        run = Run.create(tmp_path / f"run{len(list(tmp_path.glob('run*')))}", "make-pairs", {})
        make_pairs(config, run, scorer=scorer)
        return read_rows(run.folder / "pairs.jsonl")

    return make


def test_each_sides_pairs_stand_on_that_sides_prompts(make, prompts_file):
    sides = split_prompts(PairsConfig(prompts=str(prompts_file)))
    rows = make()
    assert [row["split"] for row in rows] == ["train"] * 10 + ["heldout"] * 5
    for split, prompts in sides.items():
        assert {row["prompt"] for row in rows if row["split"] == split} == set(prompts)


def test_chosen_is_what_the_rater_scores_higher_as_an_answer_to_this_prompt(make):
    for row in make():
        chosen, rejected = (opinion([row["prompt"]], [row[x]]) for x in ("chosen", "rejected"))
        assert chosen > rejected
        assert row["margin"] == pytest.approx(float(chosen - rejected), abs=1e-4)


def test_error_turns_the_pair_and_its_margin_round(make):
    truth = make()
    turned = [row for row in make(error_rate=0.5) if row["margin"] < 0]
    assert 0 < len(turned) < len(truth)
    for row in turned:
        chosen, rejected = (opinion([row["prompt"]], [row[x]]) for x in ("chosen", "rejected"))
        assert row["margin"] == pytest.approx(float(chosen - rejected), abs=1e-4)


def test_pairs_of_equal_texts_or_equal_scores_are_drawn_again(make):
    zero_or_one = lambda prompts, responses: opinion(prompts, responses).round()  # noqa: E731
    rows = make(zero_or_one, train_pairs=20, heldout_pairs=0)
    assert len(rows) == 20
    assert all(row["chosen"] != row["rejected"] and row["margin"] == 1 for row in rows)


def test_every_prompt_has_its_turn_before_the_next_lap_which_has_another_order(make, monkeypatch):
    monkeypatch.setattr(module, "PROMPTS_AT_ONCE", 4)
    rows = make(train_pairs=24, heldout_pairs=0)  # 6 prompts, 4 laps: no tie with this seed
    laps = [[row["prompt"] for row in rows[start : start + 6]] for start in range(0, 24, 6)]
    assert all(len(set(lap)) == 6 for lap in laps)
    assert len(set(map(tuple, laps))) > 1


def test_no_two_batches_laps_or_sides_share_their_random_numbers(make, monkeypatch):
    monkeypatch.setattr(module, "PROMPTS_AT_ONCE", 1)
    monkeypatch.setattr(module, "split_prompts", lambda config: {"train": ["I"] * 3, "heldout": []})
    rows = make(train_pairs=9, heldout_pairs=0, max_new_tokens=8, temperature=5.0)
    texts = [row[side] for row in rows for side in ("chosen", "rejected")]
    assert len(set(texts)) == 18


def test_temperature_and_length_reach_the_sampling(make, tiny_model_folder):
    def texts(**changes):
        rows = make(max_new_tokens=1, train_pairs=30, heldout_pairs=0, **changes)
        return [row[side] for row in rows for side in ("chosen", "rejected")]

    tokenizer = load_tokenizer(tiny_model_folder)
    tokens = {tokenizer.decode([i], skip_special_tokens=True) for i in range(len(tokenizer))}
    hot, cold = texts(temperature=5.0), texts(temperature=0.05)
    assert set(hot) | set(cold) <= tokens
    assert len(set(cold)) < len(set(hot)) / 2
